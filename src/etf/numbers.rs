//! Lists of nothing but numbers, built in one go.
//!
//! Such lists are long where they occur, and the decoder's loop costs more than the numbers: it keeps
//! its place in memory between two steps. Here the list is measured first and written once, where it
//! is to stay.

use std::sync::Arc;

use super::reader::Reader;
use super::tag::Tag;
use crate::term::{Integer, List, Term};

/// The list of `count` elements whose head was read, if all of them are numbers, none of more than 255
/// bytes, and it ends in `[]`; the reader is then behind it. Otherwise the reader stays where it is.
pub(super) fn list_of_numbers(reader: &mut Reader<'_>, count: usize) -> Option<List> {
    let bytes = reader.ahead();
    let len = measure(bytes, count)?;
    let mut rest = &bytes[..len];
    let terms: Arc<[Term]> = (0..count).map(|_| next(&mut rest).unwrap_or_default()).collect();
    // The numbers and the tag of the tail.
    reader.take(len + 1).ok()?;
    Some(List::from_elements(terms))
}

/// Whether a term that starts with this byte is worth a try.
#[inline]
pub(super) fn is_number(first: Option<u8>) -> bool {
    matches!(first.map(Tag), Some(Tag::SMALL_INTEGER | Tag::INTEGER | Tag::NEW_FLOAT | Tag::SMALL_BIG))
}

/// How many bytes the numbers take, if so many of them and the end of the list follow.
fn measure(bytes: &[u8], count: usize) -> Option<usize> {
    let mut at = 0;
    for _ in 0..count {
        let (tag, rest) = bytes.get(at..)?.split_first()?;
        at += match Tag(*tag) {
            Tag::SMALL_INTEGER => 2,
            Tag::INTEGER => 5,
            Tag::NEW_FLOAT if f64::from_be_bytes(*rest.first_chunk()?).is_finite() => 9,
            // Its length, its sign.
            Tag::SMALL_BIG => 3 + usize::from(*rest.first()?),
            _ => return None,
        };
    }
    (*bytes.get(at)? == Tag::NIL.0).then_some(at)
}

/// The number at the front, one of those that were measured.
#[inline(always)]
fn next(rest: &mut &[u8]) -> Option<Term> {
    let (tag, bytes) = rest.split_first()?;
    let (number, after) = match Tag(*tag) {
        Tag::SMALL_INTEGER => {
            let (byte, after) = bytes.split_first()?;
            (Term::from(*byte), after)
        }
        Tag::INTEGER => {
            let (word, after) = bytes.split_first_chunk()?;
            (Term::from(i32::from_be_bytes(*word)), after)
        }
        Tag::NEW_FLOAT => {
            let (word, after) = bytes.split_first_chunk()?;
            (Term::Float(f64::from_be_bytes(*word)), after)
        }
        _ => {
            let ([len, sign], bytes) = bytes.split_first_chunk()?;
            let (magnitude, after) = bytes.split_at_checked(usize::from(*len))?;
            (Term::Integer(Integer::from_magnitude(*sign != 0, magnitude)), after)
        }
    };
    *rest = after;
    Some(number)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::{DecodeErrorKind, Limits, decode, decode_with};
    use super::*;
    use crate::term;

    const FLOAT: [u8; 9] = [70, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0];

    /// 131, a list of `count` and what follows.
    fn list(count: u8, rest: &[&[u8]]) -> Bytes {
        [&[131, 108, 0, 0, 0, count][..], &rest.concat()].concat().into()
    }

    #[test]
    fn numbers_of_every_kind() {
        let big = [110, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let padded = [110, 3, 0, 5, 0, 0];
        let bytes = list(5, &[&[97, 255], &[98, 255, 255, 255, 254], &FLOAT, &big, &padded, &[106]]);
        let expected = term!([255, -2, 1.5, (-(1_i128 << 64)), 5]);
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_list_of_bytes_is_a_string_whatever_wrote_it() {
        let string: Bytes = [131, 107, 0, 2, 7, 9].to_vec().into();
        let listed = list(2, &[&[97, 7], &[98, 0, 0, 0, 9], &[106]]);
        assert_eq!(decode(&listed).unwrap(), decode(&string).unwrap());
    }

    #[test]
    fn what_comes_after_it_is_read_on() {
        let inner = &list(2, &[&[98, 0, 0, 1, 0], &[97, 1], &[106]])[1..];
        let bytes = list(3, &[inner, &[97, 1], inner, &[106]]);
        assert_eq!(decode(&bytes).unwrap(), term!([[256, 1], 1, [256, 1]]));
    }

    #[test]
    fn other_tails_and_elements_are_left_to_the_loop() {
        assert_eq!(decode(&list(1, &[&[97, 1], &[97, 2]])).unwrap(), List::improper(vec![1.into()], 2.into()));
        assert_eq!(decode(&list(1, &[&[97, 1], &[107, 0, 1, 2]])).unwrap(), term!([1, 2]));
        assert_eq!(decode(&list(2, &[&[97, 1], &[119, 1, b'a'], &[106]])).unwrap(), term!([1, :a]));
    }

    #[test]
    fn bad_input_is_refused_as_anywhere() {
        let infinite = [70, 0x7F, 0xF0, 0, 0, 0, 0, 0, 0];
        assert!(decode(&list(2, &[&[97, 1], &infinite, &[106]])).is_err());
        let whole = list(3, &[&[98, 0, 0, 1, 0], &FLOAT, &[110, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[106]]);
        assert!(decode(&whole).is_ok());
        for len in 0..whole.len() {
            assert!(decode(&whole.slice(..len)).is_err(), "cut at {len}");
        }
        let more = list(255, &[&[97, 1], &[106]]);
        assert!(decode(&more).is_err());
    }

    #[test]
    fn it_counts_as_a_level() {
        let limits = Limits { max_depth: 0, ..Limits::default() };
        let error = decode_with(&list(1, &[&[97, 1], &[106]]), &limits).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TooDeep);
    }

    /// A number as it may be written, well or badly.
    fn written() -> impl Strategy<Value = Vec<u8>> {
        let with_tag = |tag: u8| move |bytes: Vec<u8>| [&[tag][..], &bytes].concat();
        prop_oneof![
            any::<u8>().prop_map(|byte| vec![97, byte]),
            vec(any::<u8>(), 4).prop_map(with_tag(98)),
            vec(any::<u8>(), 8).prop_map(with_tag(70)),
            (any::<u8>(), vec(prop_oneof![Just(0), any::<u8>()], 0..30))
                .prop_map(|(sign, magnitude)| { [&[110, magnitude.len() as u8, sign][..], &magnitude].concat() }),
        ]
    }

    proptest! {
        /// A tuple of the same numbers goes through the loop.
        #[test]
        fn the_loop_reads_the_same_numbers(numbers in vec(written(), 1..20)) {
            let (count, bytes) = (numbers.len() as u8, numbers.concat());
            let tuple: Bytes = [&[131, 104, count][..], &bytes].concat().into();
            let in_one_go = decode(&list(count, &[&bytes, &[106]]));
            match decode(&tuple) {
                Ok(term) => {
                    let numbers = term.as_tuple().expect("a tuple").to_vec();
                    prop_assert_eq!(in_one_go.unwrap(), Term::from(numbers));
                }
                Err(error) => prop_assert_eq!(in_one_go.unwrap_err().kind, error.kind),
            }
        }
    }
}
