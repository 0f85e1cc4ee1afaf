//! A term as bytes: what frames carry, mailboxes hold and connections forward.

use std::sync::Arc;

use bytes::Bytes;

use crate::term::Atom;

/// One term in the external format, without the version byte 131, not yet looked at.
///
/// It is a slice of the frame it came in, with the atoms that the frame's header named: data changes
/// form as late as possible, in the task of the process that wants it.
#[derive(Clone)]
pub struct Encoded {
    bytes: Bytes,
    /// What `ATOM_CACHE_REF` bytes in it stand for.
    atoms: Arc<[Atom]>,
}

impl Encoded {
    /// A term that starts at the beginning of `bytes`, with the atoms of its frame's header.
    #[must_use]
    pub(crate) fn from_frame(bytes: Bytes, atoms: Arc<[Atom]>) -> Self {
        Self { bytes, atoms }
    }

    /// The bytes, as they came.
    #[must_use]
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The atoms that the frame's header named.
    #[must_use]
    pub(crate) fn atoms(&self) -> &Arc<[Atom]> {
        &self.atoms
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes)", self.bytes.len())
    }
}
