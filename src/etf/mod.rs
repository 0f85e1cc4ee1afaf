//! The external term format, as the distribution speaks it.
//!
//! [`decode`] and [`encode`] are `binary_to_term` and `term_to_binary`. [`Encoded`] is a term that
//! stays as bytes until somebody wants to look.

mod build;
pub(crate) mod decode;
pub(crate) mod encode;
mod encoded;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod numbers;
pub(crate) mod put;
pub(crate) mod reader;
pub(crate) mod tag;
pub(crate) mod token;
pub(crate) mod walk;

#[cfg(any(test, fuzzing))]
pub(crate) use self::decode::decode_front;
pub use self::decode::{Limits, decode, decode_with};
pub use self::encode::encode;
pub(crate) use self::encode::encode_into;
pub use self::encoded::{Elements, Encoded};
pub use self::error::{DecodeError, DecodeErrorKind, EncodeError};
#[cfg(any(test, fuzzing))]
pub(crate) use self::walk::skip;
pub(crate) use self::walk::skip_one;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
