//! What a node tells an EPMD about itself, and an EPMD its peers.

use crate::epmd::Error;

/// A node as an EPMD knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name before the `@`.
    pub name: String,
    /// Where the node listens.
    pub port: u16,
    /// 77 for a normal node, 72 for a hidden one. A BEAM always says 77.
    pub node_type: u8,
    /// 0: TCP.
    pub protocol: u8,
    /// The highest version of the distribution protocol that the node speaks.
    pub highest: u16,
    /// The lowest one.
    pub lowest: u16,
    /// Reserved for future use; kept and handed out as it came.
    pub extra: Vec<u8>,
}

impl Registration {
    /// The node type of a normal, visible node.
    pub const NORMAL: u8 = 77;
    /// The node type of a hidden node.
    pub const HIDDEN: u8 = 72;
    /// The version of the distribution protocol that OTP 25 and all later releases speak.
    pub const VERSION: u16 = 6;

    /// A normal node that listens for today's distribution protocol.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            port,
            node_type: Self::NORMAL,
            protocol: 0,
            highest: Self::VERSION,
            lowest: Self::VERSION,
            extra: Vec::new(),
        }
    }

    /// The same, as a hidden node.
    pub fn hidden(self) -> Self {
        Self { node_type: Self::HIDDEN, ..self }
    }

    /// Whether an EPMD could take it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if name_of(self.name.as_bytes()).is_none() || self.name.contains('\0') {
            return Err(Error::InvalidName(self.name.clone()));
        }
        if self.extra.len() > MAX_BYTES {
            return Err(Error::ExtraTooLong(self.extra.len()));
        }
        Ok(())
    }
}

/// The name in these bytes, if an EPMD would register it: UTF-8, 1 to 255 characters.
pub(crate) fn name_of(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?;
    (!name.is_empty() && name.chars().count() <= MAX_CHARS).then_some(name)
}

/// As many characters as an atom can have.
pub(crate) const MAX_CHARS: usize = 255;
/// That many, of four bytes each; also the limit of the extra data.
pub(crate) const MAX_BYTES: usize = 4 * MAX_CHARS;
