//! Any bytes at all, through every reader of terms: they agree, and none of them panics.

use std::sync::Arc;

use bytes::Bytes;

use super::{Encoded, Limits, decode, decode_front, encode, skip};
use crate::phash2::hash32;
use crate::term::{Atom, Term};

/// The bytes as a stored term, with its 131, and as one inside a frame with three cached atoms.
///
/// # Panics
/// Where two readers disagree.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzz target is outside the crate"))]
pub fn fuzz_etf(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(term) = decode(&bytes) {
        survives(&term);
    }
    inside_a_frame(&bytes);
}

fn inside_a_frame(bytes: &Bytes) {
    let atoms: Arc<[Atom]> = [Atom::new("ok"), Atom::new("node@host"), Atom::new("é")].into();
    let skipped = skip(bytes, &atoms);
    let decoded = decode_front(bytes, &atoms, &Limits::default());
    let Ok(len) = skipped else {
        assert!(decoded.is_err(), "decoded but not passed over: {decoded:?}");
        return;
    };
    let encoded = Encoded::from_frame(bytes.slice(..len), Arc::clone(&atoms));
    let hash = encoded.hash32();
    let _ = encoded.decode::<Vec<(String, Option<i64>)>>();
    let _ = encoded.elements().map(Iterator::count);
    let standalone = encoded.standalone();
    assert_eq!(standalone.hash32(), hash, "spelt out, it hashes otherwise");
    let Ok((term, decoded)) = decoded else { return };
    assert_eq!(decoded, len, "decoded and passed over different lengths");
    assert_eq!(hash, Ok(hash32(&term)), "the bytes hash otherwise than the term");
    assert_eq!(standalone.term().as_ref(), Ok(&term), "spelt out, it is another term");
    assert_eq!(encoded.decode::<Term>().as_ref(), Ok(&term), "serde sees another term");
    survives(&term);
}

fn survives(term: &Term) {
    let written = encode(term).expect("what was decoded can be encoded");
    assert_eq!(decode(&written).as_ref(), Ok(term), "it does not survive");
}
