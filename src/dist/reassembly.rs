//! Messages that come in fragments, until their last one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::error::Error;
use crate::term::Atom;

/// What a message of one full fragment has beyond that, most often: its control message, a tuple around it.
const A_BIT_MORE: usize = 1024;

/// The messages of one connection that came in part. Dropping it abandons them.
#[derive(Debug)]
pub(super) struct Reassembly {
    open: HashMap<u64, Sequence>,
    /// How many bytes all of them hold.
    buffered: usize,
    max_open: usize,
    max_buffered: usize,
}

#[derive(Debug)]
struct Sequence {
    /// The number of the fragment that is due.
    next: u64,
    /// Those of the header, which only the first fragment has.
    atoms: Arc<[Atom]>,
    /// What came so far. Copied while it is still near the processor, so that the frames it came in are free again.
    joined: BytesMut,
}

/// All fragments of a message, joined.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) bytes: Bytes,
    pub(super) atoms: Arc<[Atom]>,
}

impl Reassembly {
    pub(super) fn new(max_open: usize, max_buffered: usize) -> Self {
        Self { open: HashMap::new(), buffered: 0, max_open, max_buffered }
    }

    /// How many bytes incomplete messages take.
    #[cfg(any(test, fuzzing))]
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// The first fragment of a message that has more than one: `number` more are to come, less one.
    pub(super) fn start(&mut self, sequence: u64, number: u64, atoms: Arc<[Atom]>, data: &[u8]) -> Result<(), Error> {
        if self.open.len() >= self.max_open {
            return Err(Error::TooManySequences(self.max_open));
        }
        self.admit(data)?;
        let Entry::Vacant(vacant) = self.open.entry(sequence) else { return Err(Error::OpenTwice(sequence)) };
        // Many messages are just over the length of one fragment.
        let mut joined = BytesMut::with_capacity(data.len() + A_BIT_MORE);
        joined.extend_from_slice(data);
        vacant.insert(Sequence { next: number.saturating_sub(1), atoms, joined });
        self.buffered += data.len();
        Ok(())
    }

    /// A further fragment; with the last one the message is whole.
    pub(super) fn go_on(&mut self, sequence: u64, number: u64, data: &[u8]) -> Result<Option<Joined>, Error> {
        self.admit(data)?;
        let Entry::Occupied(mut open) = self.open.entry(sequence) else {
            return Err(Error::UnknownSequence(sequence));
        };
        let expected = open.get().next;
        if number != expected {
            return Err(Error::FragmentOrder { sequence, expected, got: number });
        }
        open.get_mut().joined.extend_from_slice(data);
        self.buffered += data.len();
        if number > 1 {
            open.get_mut().next -= 1;
            return Ok(None);
        }
        let Sequence { atoms, joined, .. } = open.remove();
        self.buffered -= joined.len();
        Ok(Some(Joined { bytes: joined.freeze(), atoms }))
    }

    /// Whether a message of that id is incomplete.
    pub(super) fn is_open(&self, sequence: u64) -> bool {
        self.open.contains_key(&sequence)
    }

    fn admit(&self, data: &[u8]) -> Result<(), Error> {
        if data.len() > self.max_buffered - self.buffered {
            return Err(Error::TooMuchBuffered(self.max_buffered));
        }
        Ok(())
    }
}
