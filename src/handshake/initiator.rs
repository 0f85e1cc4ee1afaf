//! The handshake of the node that dials.

use super::digest::{Challenge, Cookie, Digest};
use super::error::HandshakeError;
use super::message::{self, ChallengeMessage, Opening, Prefix, Reply, Status};
use super::{Established, Local, Step, check_flags};
use crate::dflags::DFlags;
use crate::term::{Creation, NodeName};

/// Dials one node, message by message.
#[derive(Debug)]
pub(crate) struct Initiator(State);

#[derive(Debug)]
enum State {
    Status(ExpectStatus),
    Challenge(ExpectChallenge),
    Ack(ExpectAck),
}

impl Initiator {
    /// Dials `peer` under our own name. The bytes are the first message to write.
    pub(crate) fn dial(
        local: Local,
        peer: NodeName,
        cookie: Cookie,
        challenge: Challenge,
        prefix: Prefix,
    ) -> (Self, Vec<u8>) {
        let opening = Opening { name: local.name.as_str().into(), flags: local.flags, creation: Some(local.creation) };
        let dialled = Dialled { peer, flags: local.flags, cookie, challenge, prefix };
        Self::open(dialled, &opening, Some((local.name, local.creation)))
    }

    /// Dials `peer` and asks it for a name: we are a node of `host` without one. Such a node is hidden.
    pub(crate) fn dial_nameless(
        host: &str,
        flags: DFlags,
        peer: NodeName,
        cookie: Cookie,
        challenge: Challenge,
        prefix: Prefix,
    ) -> (Self, Vec<u8>) {
        let flags = flags.without(DFlags::PUBLISHED) | DFlags::NAME_ME;
        let opening = Opening { name: host.into(), flags, creation: Some(Creation(0)) };
        Self::open(Dialled { peer, flags, cookie, challenge, prefix }, &opening, None)
    }

    /// Takes the next message of the peer.
    pub(crate) fn handle(self, body: &[u8]) -> Result<Step<Self, StillAlive>, HandshakeError> {
        if message::is_not_allowed(body) {
            return Err(HandshakeError::NotAllowed);
        }
        match self.0 {
            State::Status(state) => state.handle(Status::parse(body)?),
            State::Challenge(state) => state.handle(ChallengeMessage::parse(body)?),
            State::Ack(state) => state.handle(&message::parse_ack(body)?),
        }
    }

    /// What it means that the peer closed now.
    pub(crate) fn closed(&self) -> HandshakeError {
        match self.0 {
            State::Status(_) => HandshakeError::Closed { expected: Status::WHAT },
            State::Challenge(_) => HandshakeError::Closed { expected: ChallengeMessage::WHAT },
            // A BEAM says nothing when the digest is wrong: it closes here.
            State::Ack(_) => HandshakeError::CookieRejected,
        }
    }

    fn open(dialled: Dialled, opening: &Opening, identity: Option<(NodeName, Creation)>) -> (Self, Vec<u8>) {
        let mut send = Vec::new();
        opening.put(dialled.prefix, &mut send);
        (Self(State::Status(ExpectStatus { dialled, identity })), send)
    }
}

/// What every state of a dialling node needs.
#[derive(Debug)]
struct Dialled {
    peer: NodeName,
    /// Those that we publish.
    flags: DFlags,
    cookie: Cookie,
    /// Ours, for the peer to answer.
    challenge: Challenge,
    prefix: Prefix,
}

#[derive(Debug)]
struct ExpectStatus {
    dialled: Dialled,
    /// `None` if we asked for one.
    identity: Option<(NodeName, Creation)>,
}

impl ExpectStatus {
    fn handle(self, status: Status) -> Result<Step<Initiator, StillAlive>, HandshakeError> {
        let unexpected = HandshakeError::Malformed { message: Status::WHAT };
        match (status, self.identity) {
            (Status::NotAllowed, _) => Err(HandshakeError::NotAllowed),
            (Status::Named { name, creation }, None) => {
                let name = NodeName::new(&name).map_err(|_not_a_name| HandshakeError::BadName { name })?;
                Ok(proceed(ExpectChallenge { dialled: self.dialled, name, creation }))
            }
            // "any other status than named or not_allowed is an error" once a name was asked for, and a
            // name that nobody asked for is one too.
            (_, None) | (Status::Named { .. }, Some(_)) => Err(unexpected),
            (Status::Nok, Some(_)) => Err(HandshakeError::Simultaneous),
            (Status::Ok | Status::OkSimultaneous, Some((name, creation))) => {
                Ok(proceed(ExpectChallenge { dialled: self.dialled, name, creation }))
            }
            (Status::Alive, Some((name, creation))) => {
                Ok(Step::Decide(StillAlive(ExpectChallenge { dialled: self.dialled, name, creation })))
            }
        }
    }
}

fn proceed(state: ExpectChallenge) -> Step<Initiator, StillAlive> {
    Step::Continue { send: Vec::new(), next: Initiator(State::Challenge(state)) }
}

/// The peer believes that it is connected to us. Is that connection alive on our side too?
///
/// Where in doubt, [`give_up`](Self::give_up): a live connection is never replaced. [`insist`](Self::insist)
/// is for a node that knows of no connection to the peer, so that what the peer still holds is dead.
#[derive(Debug)]
pub(crate) struct StillAlive(ExpectChallenge);

impl StillAlive {
    /// The peer's connection is dead: it shall drop it once we have proved ourselves.
    pub(crate) fn insist(self) -> (Vec<u8>, Initiator) {
        (self.answer(true), Initiator(State::Challenge(self.0)))
    }

    /// Leaves the connection that there is alone. Write the bytes, then close.
    pub(crate) fn give_up(self) -> (Vec<u8>, HandshakeError) {
        (self.answer(false), HandshakeError::Alive)
    }

    fn answer(&self, dead: bool) -> Vec<u8> {
        let mut send = Vec::new();
        message::put_alive_answer(dead, self.0.dialled.prefix, &mut send);
        send
    }
}

#[derive(Debug)]
struct ExpectChallenge {
    dialled: Dialled,
    name: NodeName,
    creation: Creation,
}

impl ExpectChallenge {
    fn handle(self, theirs: ChallengeMessage) -> Result<Step<Initiator, StillAlive>, HandshakeError> {
        let Self { dialled, name, creation } = self;
        if theirs.name != dialled.peer.as_str() {
            return Err(HandshakeError::WrongName { dialled: dialled.peer, answered: theirs.name });
        }
        check_flags(dialled.flags, theirs.flags, DFlags::MANDATORY_26)?;

        let mut send = Vec::new();
        let digest = Digest::new(&dialled.cookie, theirs.challenge);
        Reply { challenge: dialled.challenge, digest }.put(dialled.prefix, &mut send);

        let established = Established {
            peer: dialled.peer,
            peer_creation: theirs.creation,
            peer_flags: theirs.flags.expanded(),
            flags: DFlags::negotiate(dialled.flags, theirs.flags),
            name,
            creation,
            replaces: false,
        };
        let expected = Digest::new(&dialled.cookie, dialled.challenge);
        Ok(Step::Continue { send, next: Initiator(State::Ack(ExpectAck { expected, established })) })
    }
}

#[derive(Debug)]
struct ExpectAck {
    expected: Digest,
    established: Established,
}

impl ExpectAck {
    fn handle(self, digest: &Digest) -> Result<Step<Initiator, StillAlive>, HandshakeError> {
        if !self.expected.verify(digest) {
            return Err(HandshakeError::BadCookie);
        }
        Ok(Step::Established { send: Vec::new(), established: self.established })
    }
}
