//! Messages that come in fragments, until their last one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::error::Error;
use crate::term::Atom;

/// The messages of one connection that came in part. Dropping it abandons them.
#[derive(Debug)]
pub(super) struct Reassembly {
    open: HashMap<u64, Sequence>,
    /// What the fragments of all of them weigh.
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
    parts: Vec<Bytes>,
}

/// All fragments of a message, joined.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) bytes: Bytes,
    pub(super) atoms: Arc<[Atom]>,
}

/// What a fragment weighs beside its data, so that empty ones cannot pile up for nothing.
const OVERHEAD: usize = 64;

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
    pub(super) fn start(&mut self, sequence: u64, number: u64, atoms: Arc<[Atom]>, data: Bytes) -> Result<(), Error> {
        if self.open.len() >= self.max_open {
            return Err(Error::TooManySequences(self.max_open));
        }
        let weight = self.weigh(&data)?;
        let Entry::Vacant(vacant) = self.open.entry(sequence) else { return Err(Error::OpenTwice(sequence)) };
        vacant.insert(Sequence { next: number.saturating_sub(1), atoms, parts: vec![data] });
        self.buffered += weight;
        Ok(())
    }

    /// A further fragment; with the last one the message is whole.
    pub(super) fn go_on(&mut self, sequence: u64, number: u64, data: Bytes) -> Result<Option<Joined>, Error> {
        let weight = self.weigh(&data)?;
        let Entry::Occupied(mut open) = self.open.entry(sequence) else {
            return Err(Error::UnknownSequence(sequence));
        };
        let expected = open.get().next;
        if number != expected {
            return Err(Error::FragmentOrder { sequence, expected, got: number });
        }
        open.get_mut().parts.push(data);
        self.buffered += weight;
        if number > 1 {
            open.get_mut().next -= 1;
            return Ok(None);
        }
        let Sequence { atoms, parts, .. } = open.remove();
        self.buffered -= parts.iter().map(|part| part.len() + OVERHEAD).sum::<usize>();
        Ok(Some(Joined { bytes: join(&parts), atoms }))
    }

    /// Whether a message of that id is incomplete.
    pub(super) fn is_open(&self, sequence: u64) -> bool {
        self.open.contains_key(&sequence)
    }

    fn weigh(&self, data: &Bytes) -> Result<usize, Error> {
        let weight = data.len() + OVERHEAD;
        if weight > self.max_buffered - self.buffered {
            return Err(Error::TooMuchBuffered(self.max_buffered));
        }
        Ok(weight)
    }
}

fn join(parts: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined.freeze()
}
