//! The handshake of the node that is dialled, and who wins when both dial at once.

use super::digest::{Challenge, Cookie, Digest};
use super::error::HandshakeError;
use super::message::{self, ChallengeMessage, Complement, Opening, Prefix, Reply, Status};
use super::{Established, Local, Step, check_flags};
use crate::dflags::DFlags;
use crate::term::{Creation, NodeName};

/// What a node has to do with the one that calls it, at the moment it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing.
    None,
    /// An attempt of our own to connect to it.
    Pending,
    /// A connection.
    Up,
    /// A connection, and another caller of that name that is being checked.
    UpPending,
}

/// How a caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Come in.
    Ok,
    /// Come in; our own attempt is given up (by whoever asked for the verdict).
    OkSimultaneous,
    /// No: our own attempt goes on.
    Nok,
    /// Not on the list of allowed nodes.
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever has such a list"))]
    NotAllowed,
    /// We have a connection to that name: is it dead?
    Alive,
    /// No, and without a word.
    Close,
}

/// The verdict on a caller, as BEAMs give it. Where both dial, the attempt that the node with the
/// greater name started survives; either side finds that out for itself.
pub(crate) fn verdict(ours: &NodeName, caller: &NodeName, existing: Existing) -> Verdict {
    match existing {
        // OTP answers `nok` to a caller of its own name.
        _ if ours == caller => Verdict::Nok,
        Existing::None => Verdict::Ok,
        Existing::Pending if ours > caller => Verdict::Nok,
        Existing::Pending => Verdict::OkSimultaneous,
        Existing::Up => Verdict::Alive,
        Existing::UpPending => Verdict::Close,
    }
}

/// A name for a node of `host` that asks for one: the random number in base 36, as OTP makes them.
///
/// `None` if no name can be made of that host.
pub(crate) fn dynamic_name(random: u64, host: &str) -> Option<NodeName> {
    let mut digits = Vec::new();
    let mut rest = random;
    loop {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        digits.extend(char::from_digit(digit, 36).map(|digit| digit.to_ascii_uppercase()));
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    let name: String = digits.into_iter().rev().collect();
    NodeName::new(&format!("{name}@{host}")).ok()
}

/// Answers one caller, message by message.
#[derive(Debug)]
pub(crate) struct Acceptor {
    state: State,
    prefix: Prefix,
}

#[derive(Debug)]
enum State {
    Opening(Local),
    AliveAnswer(Admitted),
    Complement(Admitted),
    Reply(Admitted),
}

impl Acceptor {
    pub(crate) fn new(local: Local, prefix: Prefix) -> Self {
        Self { state: State::Opening(local), prefix }
    }

    /// Takes the next message of the caller.
    pub(crate) fn handle(self, body: &[u8]) -> Result<Step<Self, Incoming>, HandshakeError> {
        let prefix = self.prefix;
        match self.state {
            State::Opening(local) => opened(local, Opening::parse(body)?, prefix),
            State::AliveAnswer(admitted) => {
                if !message::parse_alive_answer(body)? {
                    return Err(HandshakeError::Alive);
                }
                Ok(admitted.challenge(Vec::new(), prefix))
            }
            State::Complement(admitted) => {
                let state = State::Reply(admitted.complement(Complement::parse(body)?));
                Ok(Step::Continue { send: Vec::new(), next: Self { state, prefix } })
            }
            State::Reply(admitted) => admitted.replied(&Reply::parse(body)?, prefix),
        }
    }

    /// What it means that the caller closed now.
    pub(crate) fn closed(&self) -> HandshakeError {
        let expected = match self.state {
            State::Opening(_) => "name",
            State::AliveAnswer(_) => "answer to alive",
            State::Complement(_) => Complement::WHAT,
            State::Reply(_) => Reply::WHAT,
        };
        HandshakeError::Closed { expected }
    }
}

/// Syntax first, then flags; the allow list and other connections are for the caller of the machine to know.
fn opened(local: Local, opening: Opening, prefix: Prefix) -> Result<Step<Acceptor, Incoming>, HandshakeError> {
    let wants_name = opening.flags.contains(DFlags::NAME_ME);
    let full = if wants_name { format!("x@{}", opening.name) } else { opening.name.clone() };
    let Ok(name) = NodeName::new(&full) else { return Err(HandshakeError::BadName { name: opening.name }) };

    // An old opener has yet to send the upper half of its flags.
    let old = opening.creation.is_none();
    let required = if old { DFlags::MANDATORY_26.low_half() } else { DFlags::MANDATORY_26 };
    if let Err(error) = check_flags(local.flags, opening.flags, required) {
        return Ok(refused(&Status::NotAllowed, error, prefix));
    }
    let caller = Caller { local, name, flags: opening.flags, creation: opening.creation, prefix };
    Ok(Step::Decide(if wants_name { Incoming::Nameless(Nameless(caller)) } else { Incoming::Named(caller) }))
}

fn refused<D>(status: &Status, error: HandshakeError, prefix: Prefix) -> Step<Acceptor, D> {
    let mut send = Vec::new();
    status.put(prefix, &mut send);
    Step::Refused { send, error }
}

/// Who calls. The node decides, since only it knows its other connections.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A node with a name.
    Named(Caller),
    /// A node that asks for one.
    Nameless(Nameless),
}

/// A node that calls under its own name.
#[derive(Debug)]
pub(crate) struct Caller {
    local: Local,
    name: NodeName,
    flags: DFlags,
    creation: Option<Creation>,
    prefix: Prefix,
}

impl Caller {
    /// Who calls, unproved.
    pub(crate) fn name(&self) -> NodeName {
        self.name
    }

    /// Goes on as the verdict says, with the cookie for this caller and a challenge that nobody can predict.
    pub(crate) fn answer(self, verdict: Verdict, cookie: Cookie, challenge: Challenge) -> Step<Acceptor, Incoming> {
        let prefix = self.prefix;
        let (ours, name) = (self.local.name, self.name);
        let mut admitted = Admitted::new(self, cookie, challenge);
        let mut send = Vec::new();
        match verdict {
            Verdict::Ok => {
                Status::Ok.put(prefix, &mut send);
                admitted.challenge(send, prefix)
            }
            Verdict::OkSimultaneous => {
                Status::OkSimultaneous.put(prefix, &mut send);
                admitted.challenge(send, prefix)
            }
            Verdict::Alive => {
                admitted.replaces = true;
                Status::Alive.put(prefix, &mut send);
                Step::Continue { send, next: Acceptor { state: State::AliveAnswer(admitted), prefix } }
            }
            Verdict::Nok if name == ours => refused(&Status::Nok, HandshakeError::OurName { name }, prefix),
            Verdict::Nok => refused(&Status::Nok, HandshakeError::Simultaneous, prefix),
            Verdict::NotAllowed => refused(&Status::NotAllowed, HandshakeError::Refused, prefix),
            Verdict::Close => Step::Refused { send, error: HandshakeError::Contended },
        }
    }
}

/// A node that calls without a name.
#[derive(Debug)]
pub(crate) struct Nameless(Caller);

impl Nameless {
    /// The host that the name has to end with; see [`dynamic_name`].
    pub(crate) fn host(&self) -> &'static str {
        self.0.name.host()
    }

    /// Gives it a name that no other node has, and a creation.
    pub(crate) fn name_it(
        mut self,
        name: NodeName,
        creation: Creation,
        cookie: Cookie,
        challenge: Challenge,
    ) -> Step<Acceptor, Incoming> {
        self.0.name = name;
        self.0.creation = Some(creation);
        // "NAME_ME is echoed in place of PUBLISHED": such nodes are hidden.
        self.0.local.flags = self.0.local.flags.without(DFlags::PUBLISHED) | DFlags::NAME_ME;
        let prefix = self.0.prefix;
        let mut send = Vec::new();
        Status::Named { name: name.as_str().into(), creation }.put(prefix, &mut send);
        Admitted::new(self.0, cookie, challenge).challenge(send, prefix)
    }

    /// We give no names.
    pub(crate) fn refuse(self) -> Step<Acceptor, Incoming> {
        refused(&Status::NotAllowed, HandshakeError::Refused, self.0.prefix)
    }
}

/// A caller that may try to prove itself.
#[derive(Debug)]
struct Admitted {
    local: Local,
    peer: NodeName,
    /// What it published; the lower half until its complement came.
    flags: DFlags,
    /// `None` until the complement of an old opener came.
    creation: Option<Creation>,
    cookie: Cookie,
    /// Ours, for the caller to answer.
    challenge: Challenge,
    /// It says that the connection we have is dead.
    replaces: bool,
}

impl Admitted {
    fn new(caller: Caller, cookie: Cookie, challenge: Challenge) -> Self {
        let Caller { local, name: peer, flags, creation, prefix: _ } = caller;
        Self { local, peer, flags, creation, cookie, challenge, replaces: false }
    }

    /// Introduces ourselves, behind what was said already.
    fn challenge(self, mut send: Vec<u8>, prefix: Prefix) -> Step<Acceptor, Incoming> {
        let Local { name, creation, flags } = self.local;
        ChallengeMessage { name: name.as_str().into(), flags, creation, challenge: self.challenge }
            .put(prefix, &mut send);
        let state = if self.creation.is_none() { State::Complement(self) } else { State::Reply(self) };
        Step::Continue { send, next: Acceptor { state, prefix } }
    }

    fn complement(self, complement: Complement) -> Self {
        let flags = self.flags.low_half() | complement.flags_high;
        Self { flags, creation: Some(complement.creation), ..self }
    }

    fn replied(self, reply: &Reply, prefix: Prefix) -> Result<Step<Acceptor, Incoming>, HandshakeError> {
        // "A refusal that only the upper 32 bits cause comes late": in place of the acknowledgement.
        if let Err(error) = check_flags(self.local.flags, self.flags, DFlags::MANDATORY_26) {
            return Ok(refused(&Status::NotAllowed, error, prefix));
        }
        if !Digest::new(&self.cookie, self.challenge).verify(&reply.digest) {
            return Err(HandshakeError::BadCookie);
        }
        let mut send = Vec::new();
        message::put_ack(&Digest::new(&self.cookie, reply.challenge), prefix, &mut send);
        let established = Established {
            peer: self.peer,
            peer_creation: self.creation.unwrap_or_default(),
            peer_flags: self.flags.expanded(),
            flags: DFlags::negotiate(self.local.flags, self.flags),
            name: self.local.name,
            creation: self.local.creation,
            replaces: self.replaces,
        };
        Ok(Step::Established { send, established })
    }
}
