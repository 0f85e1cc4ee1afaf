//! The atom cache of a connection, one for each direction: 2048 slots that headers fill and name.
//!
//! ```text
//! u8 N · (N/2)+1 bytes of half-bytes · N entries       (N = 0: nothing more)
//! half-byte i < N   bits 0..2 segment, bit 3 new       entry  u8 index in the segment [length text]
//! half-byte N       bit 0 lengths are u16
//! ```
//!
//! A new entry replaces what its slot held. Headers change the cache in the order of their frames.

use super::error::Error;
use crate::etf::DecodeError;
use crate::etf::reader::Reader;
use crate::etf::token::AtomText;
use crate::term::Atom;

/// Eight segments of 256.
const SLOTS: usize = 2048;
const SEGMENT: usize = 256;

/// In the half-byte of an entry: the text follows.
const NEW: u8 = 8;

/// What the peer has sent us.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Made when first used: most connections to quiet peers need few.
    segments: [Option<Box<[Option<Atom>; SEGMENT]>>; SLOTS / SEGMENT],
}

impl Received {
    /// Reads a header, changes the cache as it says, and leaves in `atoms` those that the message refers to.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, atoms: &mut Vec<Atom>) -> Result<(), Error> {
        atoms.clear();
        let count = reader.u8().map_err(Error::Header)?;
        if count == 0 {
            return Ok(());
        }
        let flags = reader.take(usize::from(count / 2) + 1).map_err(Error::Header)?;
        let long = half_byte(flags, count) & 1 != 0;
        for at in 0..count {
            let flag = half_byte(flags, at);
            let index = reader.u8().map_err(Error::Header)?;
            let new = if flag & NEW == 0 { None } else { Some(text(reader, long).map_err(Error::Header)?) };
            atoms.push(self.entry(flag & 7, index, new)?);
        }
        Ok(())
    }

    fn entry(&mut self, segment: u8, index: u8, new: Option<Atom>) -> Result<Atom, Error> {
        let empty = || Error::EmptySlot(u16::from(segment) << 8 | u16::from(index));
        let cached = self.segments.get_mut(usize::from(segment)).ok_or_else(empty)?;
        match new {
            Some(atom) => {
                let cached = cached.get_or_insert_with(|| Box::new([None; SEGMENT]));
                cached[usize::from(index)] = Some(atom);
                Ok(atom)
            }
            None => cached.as_ref().and_then(|cached| cached[usize::from(index)]).ok_or_else(empty),
        }
    }
}

/// What we have sent the peer. What refers to it must be written in the order in which it was made.
pub(super) struct Sending {
    slots: Box<[Option<Atom>; SLOTS]>,
    /// What the message that is being made refers to.
    entries: Vec<Reference>,
}

#[derive(Clone, Copy)]
struct Reference {
    atom: Atom,
    slot: usize,
    /// The slot held another atom, or none.
    new: bool,
}

impl Default for Sending {
    fn default() -> Self {
        Self { slots: Box::new([None; SLOTS]), entries: Vec::with_capacity(16) }
    }
}

impl Sending {
    /// The number that stands for the atom in this message. `None`: it has to be spelt out.
    pub(super) fn refer(&mut self, atom: Atom) -> Option<u8> {
        if let Some(at) = self.entries.iter().position(|entry| entry.atom == atom) {
            return u8::try_from(at).ok();
        }
        let slot = atom.phash() as usize % SLOTS;
        let at = u8::try_from(self.entries.len()).ok().filter(|at| *at < u8::MAX)?;
        // A message that used one slot for two atoms would be legal, but nobody else sends such.
        if self.entries.iter().any(|entry| entry.slot == slot) {
            return None;
        }
        self.entries.push(Reference { atom, slot, new: self.slots[slot] != Some(atom) });
        Some(at)
    }

    /// Writes the header of the message that was made.
    pub(super) fn write_header(&self, out: &mut Vec<u8>) {
        let count = self.entries.len();
        out.push(u8::try_from(count).expect("refer() stops at 255"));
        if count == 0 {
            return;
        }
        let long = self.entries.iter().any(|entry| entry.new && entry.atom.as_str().len() > 255);
        let flags = out.len();
        out.resize(flags + count / 2 + 1, 0);
        let half_bytes = self.entries.iter().map(|entry| {
            let segment = (entry.slot / SEGMENT) as u8;
            if entry.new { segment | NEW } else { segment }
        });
        for (at, half_byte) in half_bytes.chain([u8::from(long)]).enumerate() {
            out[flags + at / 2] |= half_byte << (4 * (at & 1));
        }
        for entry in &self.entries {
            out.push((entry.slot % SEGMENT) as u8);
            if entry.new {
                let text = entry.atom.as_str().as_bytes();
                let len = (text.len() as u16).to_be_bytes();
                out.extend_from_slice(if long { &len } else { &len[1..] });
                out.extend_from_slice(text);
            }
        }
    }

    /// The message goes out: the peer will know what it names.
    pub(super) fn commit(&mut self) {
        for entry in self.entries.drain(..) {
            self.slots[entry.slot] = Some(entry.atom);
        }
    }

    /// The message does not go out.
    pub(super) fn abandon(&mut self) {
        self.entries.clear();
    }
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sending({} atoms)", self.slots.iter().flatten().count())
    }
}

fn half_byte(flags: &[u8], at: u8) -> u8 {
    let byte = flags.get(usize::from(at / 2)).copied().unwrap_or_default();
    byte >> (4 * (at & 1)) & 15
}

fn text(reader: &mut Reader<'_>, long: bool) -> Result<Atom, DecodeError> {
    let len = if long { usize::from(reader.u16()?) } else { usize::from(reader.u8()?) };
    let text = AtomText::Utf8(reader.take(len)?);
    reader.intern(text)
}

#[cfg(test)]
mod tests;
