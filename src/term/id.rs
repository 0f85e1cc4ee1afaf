//! Identifiers: pids, ports, references, and the node names and creations in them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::atom::Atom;

/// The incarnation of a node, 32 bits: a node that restarts under the same name has another.
///
/// A pid with our name and another creation belonged to a process of an earlier life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Creation(pub u32);

/// The full name of a node, `name@host`: both parts non-empty, one `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Atom);

/// A text that is no node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a node name: it takes the form name@host")]
pub struct NodeNameError {
    text: String,
}

impl NodeName {
    /// Parses `name@host`.
    ///
    /// # Errors
    /// A text without exactly one `@` between two non-empty parts, with characters that no peer
    /// accepts (BEAMs refuse names outside ASCII), or longer than an atom.
    pub fn new(text: &str) -> Result<Self, NodeNameError> {
        let refused = || NodeNameError { text: text.into() };
        let (name, host) = text.split_once('@').ok_or_else(refused)?;
        let legal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
        if !legal(name) || !legal(host) {
            return Err(refused());
        }
        Atom::try_new(text).map(Self).map_err(|_too_long| refused())
    }

    /// The whole name as an atom, as pids carry it.
    #[must_use]
    pub fn atom(self) -> Atom {
        self.0
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.0.as_str()
    }

    /// The part before the `@`: what EPMD registers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.as_str().split_once('@').map_or("", |(name, _)| name)
    }

    /// The part after the `@`.
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.as_str().split_once('@').map_or("", |(_, host)| host)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<&str> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<NodeName> for Atom {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl PartialEq<Atom> for NodeName {
    fn eq(&self, other: &Atom) -> bool {
        self.0 == *other
    }
}

/// A process identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid {
    /// The node that made it. Peers may name themselves without an `@`, so this is any atom.
    pub node: Atom,
    /// The number, as the middle part of `<0.N.0>`.
    pub id: u32,
    /// The serial, as the last part of `<0.0.N>`.
    pub serial: u32,
    /// The incarnation of the node.
    pub creation: Creation,
}

impl Ord for Pid {
    /// Erlang's order: "serial, number, node name, creation" (`erts/emulator/beam/utils.c`).
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |pid: &Self| (pid.serial, pid.id, pid.node, pid.creation);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Pid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}:{}.{}>", self.node.as_str(), self.id, self.serial)
    }
}

/// A port identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The node that made it.
    pub node: Atom,
    /// The incarnation of the node.
    pub creation: Creation,
    /// The number.
    pub id: u64,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Port<{}:{}>", self.node.as_str(), self.id)
    }
}

/// A reference: a unique value, or an alias to send to, of one to five words.
///
/// Words of zero at the end do not tell references apart, on a BEAM neither, but all are kept: an
/// alias is only known to its node by the words it was sent with.
#[derive(Clone, Copy)]
pub struct Ref {
    /// The node that made it.
    pub node: Atom,
    /// The incarnation of the node.
    pub creation: Creation,
    len: u8,
    words: [u32; 5],
}

impl Ref {
    /// The most words a reference has.
    pub const MAX_WORDS: usize = 5;

    /// A reference of these words, in wire order. `None` unless there are one to five.
    #[must_use]
    pub fn new(node: Atom, creation: Creation, words: &[u32]) -> Option<Self> {
        let len = u8::try_from(words.len()).ok().filter(|len| (1..=5).contains(len))?;
        let mut padded = [0; Self::MAX_WORDS];
        padded[..words.len()].copy_from_slice(words);
        Some(Self { node, creation, len, words: padded })
    }

    /// The words in wire order.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words[..usize::from(self.len)]
    }
}

impl Ord for Ref {
    /// Erlang's order: node, creation, then the words from the last to the first.
    fn cmp(&self, other: &Self) -> Ordering {
        let ids = |r: &Self| (r.node, r.creation);
        ids(self).cmp(&ids(other)).then_with(|| self.words.iter().rev().cmp(other.words.iter().rev()))
    }
}

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words && self.node == other.node && self.creation == other.creation
    }
}

impl Eq for Ref {}

impl Hash for Ref {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.node, self.creation, self.words).hash(state);
    }
}

impl PartialOrd for Ref {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Ref<{}", self.node.as_str())?;
        for word in self.words().iter().rev() {
            write!(f, ".{word}")?;
        }
        f.write_str(">")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(node: &str, id: u32, serial: u32) -> Pid {
        Pid { node: Atom::new(node), id, serial, creation: Creation(1) }
    }

    #[test]
    fn node_names_need_exactly_one_at_sign_between_two_parts() {
        assert!(NodeName::new("a@b").is_ok());
        for text in ["a", "@b", "a@", "a@b@c", "", "a b@c", "é@h"] {
            assert!(NodeName::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pids_order_by_serial_then_number_then_node() {
        assert!(pid("z@h", 9, 0) < pid("a@h", 1, 1));
        assert!(pid("z@h", 1, 0) < pid("a@h", 2, 0));
        assert!(pid("a@h", 1, 0) < pid("z@h", 1, 0));
    }

    #[test]
    fn refs_order_by_their_last_word_first() {
        let make = |words: &[u32]| Ref::new(Atom::new("a@h"), Creation(1), words).expect("one to five words");
        assert!(make(&[9, 0, 1]) < make(&[0, 0, 2]));
        assert!(make(&[1, 5, 2]) < make(&[0, 6, 2]));
        assert_eq!(make(&[1]), make(&[1, 0, 0]));
        assert_eq!(Ref::new(Atom::new("a@h"), Creation(1), &[]), None);
    }
}
