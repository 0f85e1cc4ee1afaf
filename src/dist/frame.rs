//! Cutting what was read into frames, without copying.

use bytes::{Buf, Bytes, BytesMut};

use super::error::Error;

/// What goes over the wire as a tick: a frame of no bytes.
pub(crate) const TICK: [u8; 4] = [0; 4];

/// How many bytes of length stand before a frame.
const PREFIX: usize = 4;

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The peer lives.
    Tick,
    /// For the [`FrameDecoder`](super::FrameDecoder); never empty.
    Message(Bytes),
}

/// Cuts the first whole frame off what was read. `None`: more has to come.
///
/// A frame longer than `limit` is refused as soon as its length is known.
pub(crate) fn next_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, Error> {
    let Some(len) = announced(buffer) else { return Ok(None) };
    if len > limit {
        return Err(Error::TooLong { len, limit });
    }
    if buffer.len() - PREFIX < len {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    if len == 0 {
        return Ok(Some(Frame::Tick));
    }
    Ok(Some(Frame::Message(buffer.split_to(len).freeze())))
}

/// How many bytes the first frame still lacks, as far as is known: what a reader may make room for,
/// little by little, since the length is only a claim.
pub(crate) fn missing(buffer: &BytesMut) -> usize {
    match announced(buffer) {
        Some(len) => (PREFIX + len).saturating_sub(buffer.len()),
        None => PREFIX - buffer.len(),
    }
}

fn announced(buffer: &BytesMut) -> Option<usize> {
    let prefix = buffer.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*prefix)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn frames(buffer: &mut BytesMut) -> Vec<Frame> {
        std::iter::from_fn(|| next_frame(buffer, LIMIT).expect("short frames")).collect()
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let wire = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01d\0\0\0\0";
        let expected = [Frame::Message(b"abc"[..].into()), Frame::Tick, Frame::Message(b"d"[..].into()), Frame::Tick];
        for chunk in 1..=wire.len() {
            let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(chunk) {
                buffer.extend_from_slice(piece);
                got.extend(frames(&mut buffer));
            }
            assert_eq!(got, expected, "{chunk} bytes at a time");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn an_empty_frame_is_a_tick() {
        assert_eq!(frames(&mut BytesMut::from(&TICK[..])), [Frame::Tick]);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_its_bytes_come() {
        let mut buffer = BytesMut::from(&[0xFF; 4][..]);
        assert_eq!(next_frame(&mut buffer, LIMIT), Err(Error::TooLong { len: 0xFFFF_FFFF, limit: LIMIT }));
    }

    #[test]
    fn a_frame_is_cut_out_of_the_buffer_and_not_copied() {
        let mut buffer = BytesMut::from(&b"\0\0\0\x03abc"[..]);
        let at = buffer[4..].as_ptr();
        assert!(matches!(&frames(&mut buffer)[..], [Frame::Message(bytes)] if bytes.as_ptr() == at));
    }

    #[test]
    fn what_is_missing_is_known_from_the_length_on() {
        assert_eq!(missing(&BytesMut::new()), 4);
        assert_eq!(missing(&BytesMut::from(&b"\0\0"[..])), 2);
        assert_eq!(missing(&BytesMut::from(&b"\0\0\0\x03a"[..])), 2);
        assert_eq!(missing(&BytesMut::from(&b"\0\0\0\x01ab"[..])), 0);
    }
}
