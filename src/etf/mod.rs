//! The external term format, as the distribution speaks it.

mod encoded;

pub use self::encoded::Encoded;
