//! What can go wrong between a Rust type and a term.

use std::fmt::Display;

use crate::etf::{DecodeError, EncodeError};

/// A Rust value that has no term, or a term that is no value of the Rust type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The term has another shape than the type, or the type's own code refused it.
    #[error("{0}")]
    Shape(String),
    /// The bytes are no term.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The value has no encoding.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The term nests deeper than types are followed.
    #[error("nested too deep")]
    TooDeep,
}

impl serde::ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}
