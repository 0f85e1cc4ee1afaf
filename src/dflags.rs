//! The capability flags that two nodes exchange in the handshake, and what follows from them.
//!
//! Each side publishes a set; what both published holds on the link (OTP's "Distribution Protocol",
//! section "Distribution Flags"; the numbers are those of `erts/emulator/beam/dist.h`). A flag
//! invites the peer to send its kind of message, so a flag not implemented is never published.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of capability flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DFlags(u64);

/// The one table: name, value, and what the flag promises.
macro_rules! dflags {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        impl DFlags {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Every flag with its name, as in OTP's `dist.h` after `DFLAG_`.
            pub const KNOWN: &[(&str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

dflags! {
    /// The node is visible: part of the cluster that `nodes()` lists.
    PUBLISHED = 0x1;
    /// An atom cache of releases long gone.
    ATOM_CACHE = 0x2;
    /// References of more than one word.
    EXTENDED_REFERENCES = 0x4;
    /// Monitors of processes by pid.
    DIST_MONITOR = 0x8;
    /// Funs have their own tag.
    FUN_TAGS = 0x10;
    /// Monitors of processes by name.
    DIST_MONITOR_NAME = 0x20;
    /// An atom cache of hidden nodes, of releases long gone.
    HIDDEN_ATOM_CACHE = 0x40;
    /// Funs in their present form.
    NEW_FUN_TAGS = 0x80;
    /// Pids and ports with all their bits.
    EXTENDED_PIDS_PORTS = 0x100;
    /// External funs have their own tag.
    EXPORT_PTR_TAG = 0x200;
    /// Bit strings that end inside a byte.
    BIT_BINARIES = 0x400;
    /// Floats as eight bytes.
    NEW_FLOATS = 0x800;
    /// The I/O protocol speaks Unicode.
    UNICODE_IO = 0x1000;
    /// Distribution headers may name cached atoms; needs strict order.
    DIST_HDR_ATOM_CACHE = 0x2000;
    /// Atoms with one byte of length.
    SMALL_ATOM_TAGS = 0x4000;
    /// Atoms in UTF-8.
    UTF8_ATOMS = 0x1_0000;
    /// Maps have a tag.
    MAP_TAG = 0x2_0000;
    /// Creations of 32 bits.
    BIG_CREATION = 0x4_0000;
    /// `SEND_SENDER`: messages that tell who sent them.
    SEND_SENDER = 0x8_0000;
    /// Trace labels may be any term.
    BIG_SEQTRACE_LABELS = 0x10_0000;
    /// Exit reasons travel as payload, not in the control tuple.
    EXIT_PAYLOAD = 0x40_0000;
    /// Long messages travel in pieces.
    FRAGMENTS = 0x80_0000;
    /// The handshake of OTP 23: 64 flags, creation in the name message.
    HANDSHAKE_23 = 0x100_0000;
    /// Unlinking carries an id and is acknowledged.
    UNLINK_ID = 0x200_0000;
    /// Shorthand for all that OTP 25 made mandatory.
    MANDATORY_25_DIGEST = 0x400_0000;
    /// Requests to spawn.
    SPAWN = 1 << 32;
    /// Asks the acceptor for a name.
    NAME_ME = 2 << 32;
    /// Pids of 32+32 bits, ports of 64.
    V4_NC = 4 << 32;
    /// Messages to aliases.
    ALIAS = 8 << 32;
    /// `ALTACT_SIG_SEND`: one message for aliases, names and priority (OTP 28).
    ALTACT_SIG = 0x20 << 32;
    /// Native records (OTP 29).
    NATIVE_RECORDS = 0x40 << 32;
}

impl DFlags {
    /// What every node has had to publish since OTP 25, one by one or as `MANDATORY_25_DIGEST`.
    pub const MANDATORY_25: Self = Self(
        Self::EXTENDED_REFERENCES.0
            | Self::FUN_TAGS.0
            | Self::NEW_FUN_TAGS.0
            | Self::EXTENDED_PIDS_PORTS.0
            | Self::EXPORT_PTR_TAG.0
            | Self::BIT_BINARIES.0
            | Self::NEW_FLOATS.0
            | Self::UTF8_ATOMS.0
            | Self::MAP_TAG.0
            | Self::BIG_CREATION.0
            | Self::HANDSHAKE_23.0,
    );

    /// What every node has had to publish since OTP 26, and what we ask of peers: OTP 25 publishes it too.
    pub const MANDATORY_26: Self = Self(Self::MANDATORY_25.0 | Self::V4_NC.0 | Self::UNLINK_ID.0);

    /// What we publish as a visible node: all that this library does, which is what OTP 29 publishes.
    #[must_use]
    pub const fn default_visible() -> Self {
        Self(Self::default_hidden().0 | Self::PUBLISHED.0)
    }

    /// What we publish as a hidden node.
    #[must_use]
    pub const fn default_hidden() -> Self {
        Self(
            Self::MANDATORY_26.0
                | Self::MANDATORY_25_DIGEST.0
                | Self::DIST_MONITOR.0
                | Self::DIST_MONITOR_NAME.0
                | Self::UNICODE_IO.0
                | Self::DIST_HDR_ATOM_CACHE.0
                | Self::SMALL_ATOM_TAGS.0
                | Self::SEND_SENDER.0
                | Self::BIG_SEQTRACE_LABELS.0
                | Self::EXIT_PAYLOAD.0
                | Self::FRAGMENTS.0
                | Self::SPAWN.0
                | Self::ALIAS.0
                | Self::ALTACT_SIG.0
                | Self::NATIVE_RECORDS.0,
        )
    }

    /// The set with these bits, known or not.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, as the handshake sends them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether no flag is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What a peer means by the flags it sent: the digest stands for everything mandatory in OTP 25.
    #[must_use]
    pub const fn expanded(self) -> Self {
        if self.contains(Self::MANDATORY_25_DIGEST) { Self(self.0 | Self::MANDATORY_25.0) } else { self }
    }

    /// What holds on a link between nodes that published these sets.
    #[must_use]
    pub const fn negotiate(ours: Self, theirs: Self) -> Self {
        Self(ours.expanded().0 & theirs.expanded().0)
    }

    /// Which flags of `required` this set lacks, the digest counted for what it stands for.
    #[must_use]
    pub const fn missing(self, required: Self) -> Self {
        required.without(self.expanded())
    }

    /// Whether frames carry a distribution header (`131 68 …`) rather than the pass-through byte.
    #[must_use]
    pub const fn has_headers(self) -> bool {
        self.0 & (Self::DIST_HDR_ATOM_CACHE.0 | Self::FRAGMENTS.0) != 0
    }

    /// The lower half, all that the `n` opener of old handshakes can carry.
    #[must_use]
    pub const fn low_half(self) -> Self {
        Self(self.0 & 0xFFFF_FFFF)
    }

    /// The names of the flags that are set, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::KNOWN.iter().filter(move |(_, flag)| self.contains(*flag)).map(|(name, _)| *name)
    }
}

impl BitOr for DFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for DFlags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for DFlags {
    /// The names, and what has none as a number: `ALIAS, SPAWN, 0x8000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::KNOWN.iter().fold(Self::default(), |all, (_, flag)| all | *flag);
        let unnamed = self.without(named);
        let mut separator = "";
        for name in self.names() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        if !unnamed.is_empty() {
            write!(f, "{separator}{:#x}", unnamed.0)?;
        }
        if self.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for DFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DFlags({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `erts_internal:get_dflags()` answered in each release, `PUBLISHED` not among it.
    const OTP_25: DFlags = DFlags(0x0000_000D_07DF_7FBC);
    const OTP_29: DFlags = DFlags(0x0000_006D_07DF_7FBC);

    #[test]
    fn flags_match_otp() {
        let otp = include_str!("../erlang-fixtures/wire/dist.h.txt");
        for (name, flag) in DFlags::KNOWN {
            let line = format!("DFLAG_{name} = {:#x}", flag.bits());
            assert!(otp.lines().any(|known| known == line), "OTP has no line {line:?}");
        }
    }

    #[test]
    fn the_sets_are_those_that_real_nodes_publish() {
        assert_eq!(DFlags::MANDATORY_25.bits(), 0x0107_0F94);
        assert_eq!(DFlags::MANDATORY_26.bits(), 0x4_0307_0F94);
        assert_eq!(DFlags::default_hidden(), OTP_29);
        assert_eq!(DFlags::default_visible().bits(), 0x6D_07DF_7FBD);
        assert!(OTP_25.missing(DFlags::MANDATORY_26).is_empty());
    }

    #[test]
    fn the_digest_stands_for_what_was_mandatory_in_25_and_for_nothing_more() {
        let digest = DFlags::MANDATORY_25_DIGEST;
        assert!(digest.missing(DFlags::MANDATORY_25).is_empty());
        assert_eq!(digest.missing(DFlags::MANDATORY_26), DFlags::V4_NC | DFlags::UNLINK_ID);
        assert!(DFlags::MANDATORY_26.missing(DFlags::MANDATORY_26).is_empty(), "explicit bits need no digest");
    }

    #[test]
    fn a_link_is_visible_only_if_both_published() {
        let (visible, hidden) = (DFlags::default_visible(), DFlags::default_hidden());
        assert!(DFlags::negotiate(visible, visible).contains(DFlags::PUBLISHED));
        assert!(!DFlags::negotiate(visible, hidden).contains(DFlags::PUBLISHED));
        assert_eq!(DFlags::negotiate(visible, OTP_25 | DFlags::PUBLISHED), OTP_25 | DFlags::PUBLISHED);
    }

    #[test]
    fn flags_are_shown_by_name_and_unknown_bits_as_a_number() {
        assert_eq!((DFlags::ALIAS | DFlags::MAP_TAG | DFlags(0x8000)).to_string(), "MAP_TAG, ALIAS, 0x8000");
        assert_eq!(DFlags::default().to_string(), "none");
    }

    #[test]
    fn no_two_flags_share_a_bit() {
        for (index, (name, flag)) in DFlags::KNOWN.iter().enumerate() {
            assert_eq!(flag.bits().count_ones(), 1, "{name}");
            assert!(DFlags::KNOWN[index + 1..].iter().all(|(_, other)| (*other & *flag).is_empty()), "{name}");
        }
    }
}
