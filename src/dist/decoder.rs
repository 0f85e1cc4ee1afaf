//! Frames to signals, in the order in which they were read.

use std::sync::Arc;

use bytes::Bytes;

use super::atom_cache::Received;
use super::decode::Message;
use super::error::Error;
use super::reassembly::Reassembly;
use crate::dflags::DFlags;
use crate::etf::reader::Reader;
use crate::etf::tag::VERSION;
use crate::signal::Signal;
use crate::term::{Atom, NodeName};

/// How much of a peer's unfinished business we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest frame that is accepted; for [`next_frame`](super::next_frame).
    pub(crate) max_frame: usize,
    /// How many messages may be incomplete at once.
    pub(crate) max_open: usize,
    /// How many bytes incomplete messages may take in all.
    pub(crate) max_buffered: usize,
}

impl Default for Limits {
    /// Far beyond what a sane peer sends, and less than what would take the machine down.
    fn default() -> Self {
        Self { max_frame: 512 << 20, max_open: 10_000, max_buffered: 1 << 30 }
    }
}

/// The receiving half of a connection. It belongs to the one task that reads.
///
/// After an error the connection is to be closed; dropping the decoder frees what was incomplete.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    /// Whether frames have a header, and whether they may be fragments.
    headers: bool,
    fragments: bool,
    peer: Atom,
    cache: Received,
    /// The atoms of the header at hand.
    header: Vec<Atom>,
    /// The same to be kept: shared with every message that came with the same header.
    atoms: Arc<[Atom]>,
    none: Arc<[Atom]>,
    reassembly: Reassembly,
}

/// What stands in front of the messages of a link without headers.
const PASS_THROUGH: u8 = 112;

/// What stands behind 131 in front of a header, a first fragment, and any other fragment.
const HEADER: u8 = 68;
const FIRST_FRAGMENT: u8 = 69;
const FRAGMENT: u8 = 70;

impl FrameDecoder {
    /// For a link with `peer` on which `flags` hold.
    pub(crate) fn new(peer: NodeName, flags: DFlags, limits: &Limits) -> Self {
        Self {
            headers: flags.has_headers(),
            fragments: flags.contains(DFlags::FRAGMENTS),
            peer: peer.atom(),
            cache: Received::default(),
            header: Vec::new(),
            atoms: Arc::new([]),
            none: Arc::new([]),
            reassembly: Reassembly::new(limits.max_open, limits.max_buffered),
        }
    }

    /// Takes the next frame (no tick). `None`: it was part of a message whose end has not come.
    pub(crate) fn decode(&mut self, frame: Bytes) -> Result<Option<Signal>, Error> {
        match *frame {
            [PASS_THROUGH, ..] if !self.headers => self.signal(&frame, 1, &self.none).map(Some),
            [VERSION, HEADER, 0, ..] if self.headers => self.signal(&frame, 3, &self.none).map(Some),
            [VERSION, HEADER, ..] if self.headers => self.whole(&frame),
            [VERSION, FIRST_FRAGMENT, ..] if self.fragments => self.first(&frame),
            [VERSION, FRAGMENT, ..] if self.fragments => self.go_on(&frame),
            [first, second, ..] => Err(Error::Form([first, second])),
            [first] => Err(Error::Form([first, 0])),
            [] => Err(Error::Form([0; 2])),
        }
    }

    /// How many bytes of incomplete messages are held.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn buffered(&self) -> usize {
        self.reassembly.buffered()
    }

    fn whole(&mut self, frame: &Bytes) -> Result<Option<Signal>, Error> {
        let start = self.header(frame, 2)?;
        let atoms = if self.header.is_empty() { &self.none } else { &self.atoms };
        self.signal(frame, start, atoms).map(Some)
    }

    fn first(&mut self, frame: &Bytes) -> Result<Option<Signal>, Error> {
        let (sequence, number, start) = fragment(frame)?;
        if self.reassembly.is_open(sequence) {
            return Err(Error::OpenTwice(sequence));
        }
        let start = self.header(frame, start)?;
        let atoms = if self.header.is_empty() { &self.none } else { &self.atoms };
        match number {
            0 => Err(Error::FragmentOrder { sequence, expected: 0, got: 0 }),
            // "A first fragment that is the last is a complete message", and BEAMs send such.
            1 => self.signal(frame, start, atoms).map(Some),
            _ => {
                let message = self.message(frame, start, atoms);
                message.control_end().map_err(|_cut_short| Error::SplitControl)?;
                let atoms = Arc::clone(atoms);
                self.reassembly.start(sequence, number, atoms, frame.get(start..).unwrap_or_default())?;
                Ok(None)
            }
        }
    }

    fn go_on(&mut self, frame: &Bytes) -> Result<Option<Signal>, Error> {
        let (sequence, number, start) = fragment(frame)?;
        let Some(joined) = self.reassembly.go_on(sequence, number, frame.get(start..).unwrap_or_default())? else {
            return Ok(None);
        };
        self.signal(&joined.bytes, 0, &joined.atoms).map(Some)
    }

    /// Reads the header that starts at `at`, and says where it ends.
    fn header(&mut self, frame: &Bytes, at: usize) -> Result<usize, Error> {
        let mut reader = Reader::new(frame, &[]);
        reader.take(at).map_err(Error::Header)?;
        self.cache.read(&mut reader, &mut self.header)?;
        // Streams of like messages come with like headers.
        if !self.header.is_empty() && *self.header != *self.atoms {
            self.atoms = self.header.as_slice().into();
        }
        Ok(reader.offset())
    }

    fn message<'a>(&self, bytes: &'a Bytes, start: usize, atoms: &'a Arc<[Atom]>) -> Message<'a> {
        Message { bytes, start, atoms, versions: !self.headers, peer: self.peer }
    }

    fn signal(&self, bytes: &Bytes, start: usize, atoms: &Arc<[Atom]>) -> Result<Signal, Error> {
        self.message(bytes, start, atoms).decode()
    }
}

/// The sequence, the number and the length of what stands in front of a fragment.
fn fragment(frame: &Bytes) -> Result<(u64, u64, usize), Error> {
    let mut reader = Reader::new(frame, &[]);
    let mut read = || {
        reader.take(2)?;
        Ok((reader.u64()?, reader.u64()?, reader.offset()))
    };
    read().map_err(Error::Header)
}

/// Feeds arbitrary bytes to decoders of every kind of link; they may fail, never panic.
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzz target is outside the crate"))]
pub fn fuzz_dist(data: &[u8]) {
    let peer = NodeName::new("peer@h").expect("a literal node name");
    let limits = Limits { max_frame: 1 << 20, max_open: 3, max_buffered: 1 << 16 };
    for flags in [DFlags::default(), DFlags::DIST_HDR_ATOM_CACHE, DFlags::FRAGMENTS, DFlags::default_visible()] {
        let mut decoder = FrameDecoder::new(peer, flags, &limits);
        let mut buffer = bytes::BytesMut::from(data);
        while let Ok(Some(frame)) = super::next_frame(&mut buffer, limits.max_frame) {
            let super::Frame::Message(frame) = frame else { continue };
            let Ok(signal) = decoder.decode(frame) else { break };
            if let Some(signal) = signal {
                let mut out = Vec::new();
                let _ = super::encode::encode(&signal, flags, &mut out);
            }
            assert!(decoder.buffered() <= limits.max_buffered, "the bound on incomplete messages holds");
        }
    }
}

#[cfg(test)]
mod tests;
