//! The distribution handshake, version 6: how two nodes prove to each other that they share a cookie.
//!
//! ```text
//! A -> B  'N' flags creation name           A dials; B learns who calls
//! B -> A  's' status                        ok · ok_simultaneous · nok · not_allowed · alive · named:
//! A -> B  's' "true" | "false"              only after alive
//! B -> A  'N' flags challenge creation name
//! A -> B  'c' flags_high creation           only from openers of old nodes ('n'), which we answer but never are
//! A -> B  'r' challenge digest(B's challenge)
//! B -> A  'a' digest(A's challenge)
//! ```
//!
//! Each message stands behind its length: two bytes on TCP, four on TLS (`Prefix`). Nothing may be read
//! past the last message, for the next byte belongs to the first frame.
//!
//! Races: both may dial at once (the attempt of the greater name survives, `verdict`); and B may still
//! hold a connection that A has lost (`alive`). A live connection is taken down only after the new
//! caller has proved the cookie, and before its `a` is sent (`Established::replaces`).
//!
//! These machines see message bodies and say what to write. The shell brings sockets, challenges (from
//! the system's generator) and the clock: each completed step restarts a timer of `net_setuptime` (7
//! seconds unless configured, 120 at most), and all steps together get `TOTAL_FACTOR` times as much, so
//! that a peer cannot trickle for ever.
//!
//! OTP: "Distribution Protocol", section "Distribution Handshake"; `lib/kernel/src/dist_util.erl`.

mod acceptor;
mod digest;
mod error;
mod initiator;
mod message;

pub(crate) use self::acceptor::{Acceptor, Existing, Incoming, Verdict, dynamic_name, verdict};
pub(crate) use self::digest::Challenge;
pub use self::digest::{Cookie, CookieError};
pub use self::error::{HandshakeError, MissingFlags};
pub(crate) use self::initiator::Initiator;
pub(crate) use self::message::Prefix;
use crate::dflags::DFlags;
use crate::term::{Creation, NodeName};

/// All steps together may take this many times the time of one.
pub(crate) const TOTAL_FACTOR: u32 = 4;

/// What a node says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) name: NodeName,
    pub(crate) creation: Creation,
    pub(crate) flags: DFlags,
}

/// What a machine asks of its shell next.
#[derive(Debug)]
pub(crate) enum Step<M, D> {
    /// Write `send` (it may be empty), then hand the next message to `next`.
    Continue { send: Vec<u8>, next: M },
    /// Somebody who knows the node's connections has to answer.
    Decide(D),
    /// Write `send`, then close: the handshake has failed.
    Refused { send: Vec<u8>, error: HandshakeError },
    /// The peer has proved itself. Write `send` (see [`Established::replaces`]), then speak frames.
    Established { send: Vec<u8>, established: Established },
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Established {
    pub(crate) peer: NodeName,
    pub(crate) peer_creation: Creation,
    /// What the peer published.
    pub(crate) peer_flags: DFlags,
    /// What holds on this link: the flags that both published.
    pub(crate) flags: DFlags,
    /// Our own name, which the peer may just have given us.
    pub(crate) name: NodeName,
    /// Our own creation, likewise.
    pub(crate) creation: Creation,
    /// The peer said that its old connection to us is dead. The shell takes that one down, waits until its
    /// `nodedown` is out, and only then writes `send`.
    pub(crate) replaces: bool,
}

impl Established {
    /// Whether the peer is part of the cluster that `nodes()` lists: both sides published themselves.
    pub(crate) fn is_visible(&self) -> bool {
        self.flags.contains(DFlags::PUBLISHED)
    }
}

/// The flags that one side demands and the other lacks.
fn check_flags(ours: DFlags, theirs: DFlags, required: DFlags) -> Result<(), HandshakeError> {
    let missing = MissingFlags { ours: ours.missing(required), theirs: theirs.missing(required) };
    if missing.ours.is_empty() && missing.theirs.is_empty() {
        return Ok(());
    }
    Err(HandshakeError::Incompatible(missing))
}

/// Feeds arbitrary bytes to both machines as successive messages; they may fail, never panic.
#[cfg(any(test, fuzzing))]
pub fn fuzz_handshake(data: &[u8]) {
    let name = |text: &str| NodeName::new(text).expect("a literal node name");
    let local = |text: &str| Local { name: name(text), creation: Creation(7), flags: DFlags::default_visible() };
    let cookie = Cookie::new("fuzz").expect("a literal cookie");

    let mut buffer = bytes::BytesMut::from(data);
    let mut bodies = Vec::new();
    while let Ok(Some(body)) = Prefix::U16.split(&mut buffer) {
        bodies.push(body);
    }
    let (mut dialling, _) = Initiator::dial(local("a@h"), name("b@h"), cookie.clone(), Challenge(1), Prefix::U16);
    for body in &bodies {
        match dialling.handle(body) {
            Ok(Step::Continue { next, .. }) => dialling = next,
            Ok(Step::Decide(alive)) => dialling = alive.insist().1,
            Ok(Step::Refused { .. } | Step::Established { .. }) | Err(_) => break,
        }
    }
    let mut accepting = Acceptor::new(local("b@h"), Prefix::U16);
    for body in &bodies {
        let step = match accepting.handle(body) {
            Ok(Step::Decide(Incoming::Named(caller))) => {
                let verdict = if data.len() % 2 == 0 { Verdict::Ok } else { Verdict::Alive };
                caller.answer(verdict, cookie.clone(), Challenge(2))
            }
            Ok(Step::Decide(Incoming::Nameless(nameless))) => {
                let Some(given) = dynamic_name(1, nameless.host()) else { break };
                nameless.name_it(given, Creation(4), cookie.clone(), Challenge(2))
            }
            Ok(step) => step,
            Err(_) => break,
        };
        match step {
            Step::Continue { next, .. } => accepting = next,
            Step::Decide(_) | Step::Refused { .. } | Step::Established { .. } => break,
        }
    }
}

#[cfg(test)]
mod tests;
