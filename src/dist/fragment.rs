//! A large message as frames: slices of what it is made of, each behind its own few bytes.
//!
//! The control message lies wholly in the first fragment, and fragments count down to 1. Between two of
//! them the writer may write whatever else there is, but no signal of the same sender.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::etf::tag::VERSION;

/// How much of a message a fragment carries, as on a BEAM (`ERTS_DIST_FRAGMENT_SIZE`).
pub(super) const FRAGMENT: usize = 64 << 10;

/// Frames of one message, each a list of slices to be written one behind the other.
#[derive(Debug)]
pub(crate) struct Frames {
    /// What stands behind the length of a frame that is not a fragment.
    front: &'static [u8],
    /// What is left of control message and payload.
    slices: VecDeque<Bytes>,
    /// How much of that goes into the next frame at least: the control message.
    together: usize,
    left: usize,
    /// The number of the next fragment, and the id of the sequence; `None` if the message is one frame.
    fragment: Option<(u64, u64)>,
    first: bool,
}

impl Frames {
    pub(super) fn new(
        front: &'static [u8],
        control: Bytes,
        payload: Vec<Bytes>,
        len: usize,
        sequence: Option<u64>,
    ) -> Self {
        let together = control.len();
        let after_first = len.saturating_sub(together.max(FRAGMENT));
        let number = 1 + after_first.div_ceil(FRAGMENT) as u64;
        let mut slices = VecDeque::with_capacity(1 + payload.len());
        slices.push_back(control);
        slices.extend(payload);
        Self { front, slices, together, left: len, fragment: sequence.map(|id| (number, id)), first: true }
    }

    /// What stands in front of a fragment.
    fn front(&self, number: u64, sequence: u64) -> BytesMut {
        let mut front = BytesMut::with_capacity(23);
        front.put_u32(0);
        front.put_slice(&[VERSION, if self.first { 69 } else { 70 }]);
        front.put_u64(sequence);
        front.put_u64(number);
        if self.first {
            // A header that names no atom.
            front.put_u8(0);
        }
        front
    }

    /// The next `size` bytes, as they lie.
    fn take(&mut self, mut size: usize, frame: &mut Vec<Bytes>) {
        while size > 0 {
            let Some(slice) = self.slices.front_mut() else { return };
            if slice.len() > size {
                frame.push(slice.split_to(size));
                return;
            }
            size -= slice.len();
            if slice.has_remaining() {
                frame.push(std::mem::take(slice));
            }
            self.slices.pop_front();
        }
    }
}

impl Iterator for Frames {
    type Item = Vec<Bytes>;

    fn next(&mut self) -> Option<Vec<Bytes>> {
        if self.left == 0 {
            return None;
        }
        let (mut front, size) = match &mut self.fragment {
            Some((number, sequence)) => {
                let (number_now, sequence) = (*number, *sequence);
                *number -= 1;
                (self.front(number_now, sequence), FRAGMENT.max(self.together).min(self.left))
            }
            None => {
                let mut front = BytesMut::with_capacity(4 + self.front.len());
                front.put_u32(0);
                front.put_slice(self.front);
                (front, self.left)
            }
        };
        let len = u32::try_from(front.len() - 4 + size).expect("only a message that fits is one frame");
        front[..4].copy_from_slice(&len.to_be_bytes());
        let mut frame = vec![front.freeze()];
        self.take(size, &mut frame);
        self.left -= size;
        (self.together, self.first) = (0, false);
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
