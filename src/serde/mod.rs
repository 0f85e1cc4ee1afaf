//! The user's own types, straight from and to the external term format.
//!
//! | Rust | Erlang, Elixir | also read from |
//! |---|---|---|
//! | integers of every width | integer | |
//! | `f32`, `f64` | float | integers |
//! | `bool` | `true`, `false` | |
//! | `()` | `nil` | `ok`, `undefined`, `[]`, `{}` |
//! | `Option` | `nil` or the value | `undefined` |
//! | `String`, `&str` | binary | charlists, atoms |
//! | `char` | its code point | a binary of one character |
//! | `&[u8]`, `serde_bytes` | binary | lists of bytes |
//! | `Vec<T>`, sets | list | tuples, binaries (as bytes) |
//! | `(A, B)`, `[T; N]`, tuple structs | tuple | lists of that length |
//! | maps | map, keys of any type | keyword lists |
//! | struct | map with atoms as keys | keyword lists, binaries as keys |
//! | unit struct | atom of its name | |
//! | newtype struct | what it holds | |
//! | `Variant` | atom | a binary |
//! | `Variant(a)`, `Variant(a, b)` | `{variant, a}`, `{variant, a, b}` | |
//! | `Variant { a }` | `{variant, #{a => …}}` | |
//! | `Result` | `{ok, value}`, `{error, reason}` | `ok`, `error` |
//!
//! Names are atoms exactly as serde knows them: `#[serde(rename_all = "snake_case")]` on an enum makes
//! `Get` the atom `get`. [`Term`], [`Encoded`], [`Atom`](crate::term::Atom), [`Pid`](crate::term::Pid),
//! [`Ref`](crate::term::Ref), [`Integer`](crate::term::Integer) and the other value types stand for
//! themselves and survive exactly. (Inside `#[serde(untagged)]` enums and `#[serde(flatten)]`, where
//! serde keeps values in a form of its own, identifiers survive too, but a [`Term`] sees atoms as
//! binaries and tuples as lists. With `#[serde(flatten)]` the texts that are keys of the
//! flattened part become atoms as the names of the fields do.)
//!
//! A struct becomes an Elixir struct by the name of its module, which is written as `__struct__`, and
//! checked when it is there on reading. Where `__struct__` comes unasked it is passed over.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use tiebeam::etf::Encoded;
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(rename = "Elixir.MyApp.User")]
//! struct User {
//!     name: String,
//!     age: Option<u8>,
//! }
//!
//! let user = User { name: "Ann".into(), age: None };
//! let encoded = Encoded::of(&user)?;       // %MyApp.User{name: "Ann", age: nil}
//! assert_eq!(encoded.decode::<User>()?, user);
//! assert!(encoded.term()?.as_map().unwrap().get_atom("__struct__").unwrap().is_atom("Elixir.MyApp.User"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod de;
mod error;
mod ser;
mod tunnel;
mod values;

use serde::de::{Deserialize, DeserializeOwned};
use serde::ser::Serialize;

pub use self::error::Error;
use crate::etf::Encoded;
use crate::etf::encode::Output;
use crate::term::Term;

/// Encodes a value.
///
/// # Errors
/// For floats that are not finite, atoms of more than 255 characters, a key that stands twice, and
/// what the type's own code refuses.
pub fn to_encoded<T: Serialize + ?Sized>(value: &T) -> Result<Encoded, Error> {
    let mut out = Output::in_pieces();
    value.serialize(ser::Serializer { out: &mut out })?;
    Ok(Encoded::of_pieces(out.finish()))
}

/// Decodes a value; texts and bytes can be borrowed from the term.
///
/// # Errors
/// If the term is not of the type's shape, or its bytes are no term.
pub fn from_encoded<'de, T: Deserialize<'de>>(encoded: &'de Encoded) -> Result<T, Error> {
    let mut deserializer = de::Deserializer::new(encoded);
    let value = T::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// The term of a value.
///
/// # Errors
/// As [`to_encoded`].
pub fn to_term<T: Serialize + ?Sized>(value: &T) -> Result<Term, Error> {
    Ok(to_encoded(value)?.term()?)
}

/// The value of a term.
///
/// # Errors
/// As [`from_encoded`].
pub fn from_term<T: DeserializeOwned>(term: &Term) -> Result<T, Error> {
    from_encoded(&Encoded::new(term)?)
}

impl Encoded {
    /// Encodes a value of a type that serde knows; see [`crate::serde`] for what becomes what.
    ///
    /// # Errors
    /// As [`to_encoded`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        to_encoded(value)
    }

    /// Decodes a value of a type that serde knows; see [`crate::serde`] for what becomes what.
    ///
    /// # Errors
    /// As [`from_encoded`].
    pub fn decode<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Error> {
        from_encoded(self)
    }
}

#[cfg(test)]
mod tests;
