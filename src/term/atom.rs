//! Atoms: interned names, compared by address.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{LazyLock, PoisonError, RwLock};

use hashbrown::HashTable;

/// A name, as Erlang's atoms: at most 255 characters, kept once for the life of the program.
///
/// Like the emulator's atom table, ours never forgets; it refuses to grow past [`Atom::LIMIT`], so a
/// peer cannot make it swallow all memory. Comparing and hashing cost one word; ordering goes by text.
#[derive(Clone, Copy)]
pub struct Atom(&'static Entry);

struct Entry {
    text: Box<str>,
    phash: u32,
}

/// A text that cannot become an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AtomError {
    /// Longer than 255 characters (`system_limit` on a BEAM).
    #[error("an atom has at most 255 characters")]
    TooLong,
    /// [`Atom::LIMIT`] atoms exist already.
    #[error("the atom table is full")]
    TableFull,
}

impl Atom {
    /// How many atoms can exist: the emulator's own default (`+t`).
    pub const LIMIT: usize = 1_048_576;

    /// The atom of this text.
    ///
    /// # Panics
    /// Past 255 characters or [`Atom::LIMIT`] atoms: meant for texts that the program itself chose.
    /// [`Atom::try_new`] takes any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::try_new(text).expect("a text chosen by the program is a valid atom")
    }

    /// The atom of this text, if it may be one.
    ///
    /// # Errors
    /// [`AtomError`], for a text of more than 255 characters or a full table.
    pub fn try_new(text: &str) -> Result<Self, AtomError> {
        if let Some(atom) = Self::recent(text.as_bytes()) {
            return Ok(atom);
        }
        let hash = TABLE.hasher.hash_one(text);
        let known = TABLE.entries.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.find(hash, |entry| *entry.text == *text).map(|entry| Self(entry));
        drop(known);
        let atom = found.map_or_else(|| TABLE.insert(hash, text), Ok)?;
        RECENT.with(|recent| recent[slot(text.as_bytes())].set(Some(atom)));
        Ok(atom)
    }

    /// The atom of this text, if this thread met it lately: no lock, no hash of the whole text, and
    /// no check that it is UTF-8, since only atoms are remembered.
    #[inline]
    pub(crate) fn recent(text: &[u8]) -> Option<Self> {
        let found = RECENT.with(|recent| recent[slot(text)].get())?;
        (found.as_str().as_bytes() == text).then_some(found)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        &self.0.text
    }

    /// How many atoms exist.
    #[must_use]
    pub fn count() -> usize {
        TABLE.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The hash of the text that `erlang:phash2` starts from (`hashpjw` over the characters).
    #[must_use]
    pub(crate) fn phash(self) -> u32 {
        self.0.phash
    }
}

const SLOTS: usize = 512;

thread_local! {
    /// The atom that last came by, for each of `SLOTS` hashes.
    static RECENT: [Cell<Option<Atom>>; SLOTS] = const { [const { Cell::new(None) }; SLOTS] };
}

/// A hash of the length and of the first and last eight bytes: atoms that differ only between those
/// share a slot and push each other out, which costs time and nothing else.
#[inline]
fn slot(text: &[u8]) -> usize {
    let ends = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        },
    };
    let mixed = (ends ^ text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - SLOTS.ilog2())) as usize
}

struct Table {
    entries: RwLock<HashTable<&'static Entry>>,
    hasher: foldhash::fast::RandomState,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table {
    entries: RwLock::new(HashTable::with_capacity(1024)),
    hasher: foldhash::fast::RandomState::default(),
});

impl Table {
    fn insert(&self, hash: u64, text: &str) -> Result<Atom, AtomError> {
        if text.len() > 255 && text.chars().count() > 255 {
            return Err(AtomError::TooLong);
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.find(hash, |entry| *entry.text == *text) {
            return Ok(Atom(entry));
        }
        if entries.len() >= Atom::LIMIT {
            return Err(AtomError::TableFull);
        }
        let entry: &'static Entry = Box::leak(Box::new(Entry { text: text.into(), phash: hashpjw(text) }));
        entries.insert_unique(hash, entry, |entry| self.hasher.hash_one(&*entry.text));
        Ok(Atom(entry))
    }
}

/// `atom_hash` of the emulator: U+0080..U+00FF count as one Latin-1 step, all else byte by byte.
pub(crate) fn hashpjw(text: &str) -> u32 {
    let step = |hash: u32, value: u32| {
        let hash = (hash << 4).wrapping_add(value);
        let high = hash & 0xF000_0000;
        if high == 0 { hash } else { (hash ^ (high >> 24)) ^ high }
    };
    let mut hash = 0;
    for c in text.chars() {
        if ('\u{80}'..='\u{FF}').contains(&c) {
            hash = step(hash, u32::from(c));
        } else {
            hash = c.encode_utf8(&mut [0; 4]).bytes().fold(hash, |hash, byte| step(hash, u32::from(byte)));
        }
    }
    hash
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Atom {}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self == other {
            return std::cmp::Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Atom({:?})", self.as_str())
    }
}

impl From<&str> for Atom {
    /// As [`Atom::new`], panics included.
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        if value { known::true_() } else { known::false_() }
    }
}

/// Declares functions that return atoms interned once: `known_atoms! { ok, undefined_ = "undefined" }`.
macro_rules! known_atoms {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(
            #[doc = concat!("The atom `", $text, "`.")]
            #[must_use]
            pub fn $name() -> Atom {
                static ATOM: LazyLock<Atom> = LazyLock::new(|| Atom::new($text));
                *ATOM
            }
        )*
    };
}

/// Atoms that the protocols use everywhere.
pub mod known {
    use super::{Atom, LazyLock};

    known_atoms! {
        empty = "", ok = "ok", error = "error", exit = "exit", throw = "throw", true_ = "true", false_ = "false",
        nil = "nil", undefined = "undefined", normal = "normal", kill = "kill", killed = "killed",
        shutdown = "shutdown", noproc = "noproc", noconnection = "noconnection", undef = "undef",
        badarg = "badarg", badarith = "badarith", badfun = "badfun", nocatch = "nocatch", timeout = "timeout",
        down = "DOWN", exit_signal = "EXIT", process = "process", alias = "alias", node = "node",
        badrpc = "badrpc", nodedown = "nodedown", nodeup = "nodeup", infinity = "infinity",
        gen_call = "$gen_call", gen_cast = "$gen_cast", system = "system", link = "link", monitor = "monitor",
        return_ = "return", erpc = "erpc", rex = "rex", net_kernel = "net_kernel", erlang = "erlang", apply = "apply",
        user = "user", badopt = "badopt", notsup = "notsup", yes = "yes", no = "no",
        struct_ = "__struct__", exception = "__exception__", message = "message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_atom() {
        let text = String::from("same_text");
        assert_eq!(Atom::new("same_text"), Atom::new(&text));
        assert_ne!(Atom::new("same_text"), Atom::new("other_text"));
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        assert!(Atom::try_new(&"é".repeat(255)).is_ok());
        assert_eq!(Atom::try_new(&"é".repeat(256)), Err(AtomError::TooLong));
    }

    #[test]
    fn order_goes_by_text() {
        assert!(Atom::new("zebra") > Atom::new("aardvark"));
    }

    #[test]
    fn threads_agree_on_one_entry() {
        let made: Vec<Atom> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Atom::new("contended_entry"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("interning does not panic")).collect()
        });
        assert!(made.iter().all(|atom| *atom == made[0]));
    }
}
