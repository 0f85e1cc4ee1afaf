//! One control message with its payload to one [`Signal`].
//!
//! The tuple is read straight into the signal, without a tree between. Trace tokens (`_TT`) are passed
//! over: a node without tracing takes such a message as the plain one.

use std::sync::Arc;

use bytes::Bytes;

use super::error::Error;
use super::op::{Op, altact, spawned};
use crate::etf::reader::Reader;
use crate::etf::tag::{Tag, VERSION};
use crate::etf::token::{AtomText, Token};
use crate::etf::{DecodeError, Encoded, skip_one};
use crate::signal::{Signal, SpawnRequest, Target};
use crate::term::{Atom, Creation, Pid, Ref};

/// The bytes of a whole message, and what is needed to read them.
pub(super) struct Message<'a> {
    /// Control and payload, behind `start`.
    pub(super) bytes: &'a Bytes,
    pub(super) start: usize,
    /// What the header named.
    pub(super) atoms: &'a Arc<[Atom]>,
    /// Whether each term stands behind a version byte: on links without headers.
    pub(super) versions: bool,
    /// The node that sends.
    pub(super) peer: Atom,
}

impl Message<'_> {
    /// Reads the message. Bytes after it are ignored, as on a BEAM.
    #[inline]
    pub(super) fn decode(&self) -> Result<Signal, Error> {
        let mut reader = Reader::new(self.bytes, self.atoms);
        reader.take(self.start).map_err(Error::Control)?;
        self.version(&mut reader).map_err(Error::Control)?;
        let (op, arity) = op(&mut reader)?;
        let fields = Fields { message: self, reader: &mut reader, op, arity };
        fields.signal()
    }

    /// Passes over the control message, and says where it ends.
    pub(super) fn control_end(&self) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(self.bytes, self.atoms);
        reader.take(self.start)?;
        skip_one(&mut reader)?;
        Ok(reader.offset())
    }

    #[inline]
    fn version(&self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if !self.versions {
            return Ok(());
        }
        match reader.u8()? {
            VERSION => Ok(()),
            other => Err(reader.fail(crate::etf::DecodeErrorKind::Version(other))),
        }
    }

    /// The next term, left as bytes once it is known to be one.
    fn encoded(&self, reader: &mut Reader<'_>) -> Result<Encoded, DecodeError> {
        let from = reader.offset();
        skip_one(reader)?;
        let bytes = self.bytes.slice(from..reader.offset());
        if self.atoms.is_empty() {
            return Ok(Encoded::of_pieces((bytes, Vec::new())));
        }
        Ok(Encoded::from_frame(bytes, Arc::clone(self.atoms)))
    }
}

/// The operation, and how many elements its tuple has.
#[inline]
fn op(reader: &mut Reader<'_>) -> Result<(Op, usize), Error> {
    let (arity, number) = match reader.clone().array() {
        // As every BEAM writes it.
        Ok([SMALL_TUPLE, arity, SMALL_INTEGER, number]) => {
            reader.take(4).map_err(Error::Control)?;
            (usize::from(arity), i64::from(number))
        }
        Ok(_) | Err(_) => any_op(reader)?,
    };
    let op = u8::try_from(number).map(Op).map_err(|_not_a_byte| Error::UnknownOp(number))?;
    let Some((expected, _)) = op.shape() else { return Err(Error::UnknownOp(number)) };
    let fits = if op == Op::ALTACT_SIG_SEND { arity >= expected } else { arity == expected };
    if fits { Ok((op, arity)) } else { Err(Error::Arity { op: op.0, arity }) }
}

const SMALL_TUPLE: u8 = Tag::SMALL_TUPLE.0;
const SMALL_INTEGER: u8 = Tag::SMALL_INTEGER.0;
const EMPTY_ATOM: u8 = Tag::SMALL_ATOM_UTF8.0;

#[cold]
fn any_op(reader: &mut Reader<'_>) -> Result<(usize, i64), Error> {
    let Token::Tuple(arity) = reader.token().map_err(Error::Control)? else { return Err(Error::NoOp) };
    if arity == 0 {
        return Err(Error::NoOp);
    }
    let Token::Integer(number) = reader.token().map_err(Error::Control)? else { return Err(Error::NoOp) };
    Ok((arity, number))
}

/// The elements behind the operation, of which there are as many as it has.
struct Fields<'m, 'r, 'a> {
    message: &'m Message<'a>,
    reader: &'r mut Reader<'m>,
    op: Op,
    arity: usize,
}

impl<'m> Fields<'m, '_, '_> {
    fn signal(mut self) -> Result<Signal, Error> {
        match self.op {
            Op::SEND | Op::SEND_TT => {
                self.cookie()?;
                let to = Target::Pid(self.pid()?);
                Ok(Signal::Message { from: None, to, body: self.ending(Op::SEND_TT)? })
            }
            Op::SEND_SENDER | Op::SEND_SENDER_TT => {
                let (from, to) = (Some(self.pid()?), Target::Pid(self.pid()?));
                Ok(Signal::Message { from, to, body: self.ending(Op::SEND_SENDER_TT)? })
            }
            Op::REG_SEND | Op::REG_SEND_TT => {
                let from = Some(self.pid()?);
                self.cookie()?;
                let to = Target::Name(self.atom()?);
                Ok(Signal::Message { from, to, body: self.ending(Op::REG_SEND_TT)? })
            }
            Op::ALIAS_SEND | Op::ALIAS_SEND_TT => {
                let (from, to) = (Some(self.pid()?), Target::Alias(self.reference()?));
                Ok(Signal::Message { from, to, body: self.ending(Op::ALIAS_SEND_TT)? })
            }
            Op::ALTACT_SIG_SEND => self.altact(),
            Op::LINK => Ok(Signal::Link { from: self.their_pid()?, to: self.pid()? }),
            Op::UNLINK_ID => Ok(Signal::Unlink { id: self.unlink_id()?, from: self.their_pid()?, to: self.pid()? }),
            Op::UNLINK_ID_ACK => {
                Ok(Signal::UnlinkAck { id: self.unlink_id()?, from: self.their_pid()?, to: self.pid()? })
            }
            Op::PAYLOAD_EXIT | Op::PAYLOAD_EXIT_TT => {
                let (from, to) = (self.their_pid()?, self.pid()?);
                Ok(Signal::Exit { from, to, reason: self.ending(Op::PAYLOAD_EXIT_TT)? })
            }
            Op::EXIT | Op::EXIT_TT => {
                let (from, to) = (self.their_pid()?, self.pid()?);
                Ok(Signal::Exit { from, to, reason: self.reason(Op::EXIT_TT)? })
            }
            Op::PAYLOAD_EXIT2 | Op::PAYLOAD_EXIT2_TT => {
                let (from, to) = (self.pid()?, Target::Pid(self.pid()?));
                Ok(Signal::Exit2 { from, to, reason: self.ending(Op::PAYLOAD_EXIT2_TT)? })
            }
            Op::EXIT2 | Op::EXIT2_TT => {
                let (from, to) = (self.pid()?, Target::Pid(self.pid()?));
                Ok(Signal::Exit2 { from, to, reason: self.reason(Op::EXIT2_TT)? })
            }
            Op::MONITOR_P => {
                let (from, to) = (self.their_pid()?, self.pid_or_name()?);
                Ok(Signal::Monitor { from, to, reference: self.reference()? })
            }
            Op::DEMONITOR_P => {
                let (from, to) = (self.their_pid()?, self.pid_or_name()?);
                Ok(Signal::Demonitor { from, to, reference: self.reference()? })
            }
            Op::PAYLOAD_MONITOR_P_EXIT => {
                let (from, to, reference) = (self.monitored()?, self.pid()?, self.reference()?);
                Ok(Signal::Down { from, to, reference, reason: self.payload()? })
            }
            Op::MONITOR_P_EXIT => {
                let (from, to, reference) = (self.monitored()?, self.pid()?, self.reference()?);
                Ok(Signal::Down { from, to, reference, reason: self.element()? })
            }
            Op::GROUP_LEADER => Ok(Signal::GroupLeader { leader: self.pid()?, to: self.pid()? }),
            Op::SPAWN_REQUEST | Op::SPAWN_REQUEST_TT => self.spawn_request(),
            Op::SPAWN_REPLY | Op::SPAWN_REPLY_TT => self.spawn_reply(),
            Op(other) => Err(Error::UnknownOp(i64::from(other))),
        }
    }

    /// `{37, Flags, From, To [, Token] [, …]}`: what the receiver is and what the payload is stand in the flags.
    fn altact(mut self) -> Result<Signal, Error> {
        let flags = match self.token()? {
            Token::Integer(flags) => u64::try_from(flags).map_err(|_negative| self.wrong("flags"))?,
            // "Unknown bits are ignored", however many.
            Token::Big(big) if !big.negative => low_word(big.magnitude),
            _ => return Err(self.wrong("flags")),
        };
        if flags & altact::TOKEN != 0 && self.arity < 5 {
            return Err(Error::Arity { op: self.op.0, arity: self.arity });
        }
        let from = self.pid()?;
        let to = match (flags & altact::ALIAS != 0, flags & altact::NAME != 0) {
            (false, false) => Target::Pid(self.pid()?),
            (true, false) => Target::Alias(self.reference()?),
            (false, true) => Target::Name(self.atom()?),
            (true, true) => return Err(self.wrong("one kind of receiver")),
        };
        for _ in 4..self.arity {
            self.pass()?;
        }
        let body = self.payload()?;
        if flags & altact::EXIT != 0 {
            return Ok(Signal::Exit2 { from, to, reason: body });
        }
        Ok(Signal::Message { from: Some(from), to, body })
    }

    fn spawn_request(mut self) -> Result<Signal, Error> {
        let (id, from, group_leader) = (self.reference()?, self.their_pid()?, self.pid()?);
        let Token::Tuple(3) = self.token()? else { return Err(self.wrong("module, function and arity")) };
        let (module, function) = (self.atom()?, self.atom()?);
        let Token::Integer(arity) = self.token()? else { return Err(self.wrong("an arity")) };
        let arity = u8::try_from(arity).map_err(|_beyond_255| self.wrong("an arity"))?;
        let options = self.element()?.term().map_err(Error::Control)?;
        let args = self.ending(Op::SPAWN_REQUEST_TT)?;
        let request = SpawnRequest { id, from, group_leader, module, function, arity, options, args };
        Ok(Signal::SpawnRequest(Box::new(request)))
    }

    fn spawn_reply(mut self) -> Result<Signal, Error> {
        let (id, to) = (self.reference()?, self.pid()?);
        let flags = match self.token()? {
            Token::Integer(flags) => u64::try_from(flags).map_err(|_negative| self.wrong("flags"))?,
            _ => return Err(self.wrong("flags")),
        };
        let result = match self.token()? {
            Token::Pid(raw) => Ok(self.reader.make_pid(raw).map_err(Error::Control)?),
            Token::Atom(text) => Err(self.reader.intern(text).map_err(Error::Control)?),
            _ => return Err(self.wrong("a pid or an atom")),
        };
        if self.op == Op::SPAWN_REPLY_TT {
            self.pass()?;
        }
        let (linked, monitored) = (flags & spawned::LINK != 0, flags & spawned::MONITOR != 0);
        Ok(Signal::SpawnReply { id, to, linked, monitored, result })
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'m>, Error> {
        self.reader.token().map_err(Error::Control)
    }

    #[inline]
    fn pid(&mut self) -> Result<Pid, Error> {
        if self.reader.peek() != Some(Tag::NEW_PID.0) {
            return self.old_pid();
        }
        self.new_pid().map_err(Error::Control)
    }

    /// The only form of a pid that BEAMs send, read on the shortest way: most signals have two.
    #[inline]
    fn new_pid(&mut self) -> Result<Pid, DecodeError> {
        self.reader.u8()?;
        let node = self.node()?;
        let (id, serial) = (self.reader.u32()?, self.reader.u32()?);
        Ok(Pid { node, id, serial, creation: Creation(self.reader.u32()?) })
    }

    #[inline]
    fn node(&mut self) -> Result<Atom, DecodeError> {
        let text = match self.reader.peek().map(Tag) {
            Some(Tag::SMALL_ATOM_UTF8) => {
                self.reader.u8()?;
                let len = usize::from(self.reader.u8()?);
                AtomText::Utf8(self.reader.take(len)?)
            }
            _ => self.reader.atom()?,
        };
        self.reader.intern(text)
    }

    #[cold]
    fn old_pid(&mut self) -> Result<Pid, Error> {
        match self.token()? {
            Token::Pid(raw) => self.reader.make_pid(raw).map_err(Error::Control),
            _ => Err(self.wrong("a pid")),
        }
    }

    /// A process of the peer. BEAMs go by the name alone: an earlier life of the peer passes.
    #[inline]
    fn their_pid(&mut self) -> Result<Pid, Error> {
        let pid = self.pid()?;
        if pid.node == self.message.peer { Ok(pid) } else { Err(Error::Forged(self.op.0)) }
    }

    #[inline]
    fn atom(&mut self) -> Result<Atom, Error> {
        match self.reader.peek().map(Tag) {
            Some(Tag::SMALL_ATOM_UTF8 | Tag::ATOM_CACHE_REF) => self.node().map_err(Error::Control),
            _ => match self.token()? {
                Token::Atom(text) => self.reader.intern(text).map_err(Error::Control),
                _ => Err(self.wrong("an atom")),
            },
        }
    }

    #[inline]
    fn reference(&mut self) -> Result<Ref, Error> {
        match self.token()? {
            Token::Ref(raw) => self.reader.make_ref(raw).map_err(Error::Control),
            _ => Err(self.wrong("a reference")),
        }
    }

    fn pid_or_name(&mut self) -> Result<Target, Error> {
        match self.token()? {
            Token::Pid(raw) => self.reader.make_pid(raw).map(Target::Pid).map_err(Error::Control),
            Token::Atom(text) => self.reader.intern(text).map(Target::Name).map_err(Error::Control),
            _ => Err(self.wrong("a pid or a name")),
        }
    }

    /// What was monitored: a process of the peer, or a name there.
    fn monitored(&mut self) -> Result<Target, Error> {
        match self.pid_or_name()? {
            Target::Pid(pid) if pid.node != self.message.peer => Err(Error::Forged(self.op.0)),
            target => Ok(target),
        }
    }

    /// 1 to 2^64-1.
    fn unlink_id(&mut self) -> Result<u64, Error> {
        match self.token()? {
            Token::Integer(id) if id > 0 => Ok(id.unsigned_abs()),
            Token::Big(big) if !big.negative && big.magnitude.len() <= 8 => Ok(low_word(big.magnitude)),
            _ => Err(self.wrong("an unlink id")),
        }
    }

    /// An atom that once was the cookie, and has been empty since.
    #[inline]
    fn cookie(&mut self) -> Result<(), Error> {
        if let Ok([EMPTY_ATOM, 0]) = self.reader.clone().array() {
            return self.reader.take(2).map(|_atom| ()).map_err(Error::Control);
        }
        match self.token()? {
            Token::Atom(_) => Ok(()),
            _ => Err(self.wrong("an atom")),
        }
    }

    fn pass(&mut self) -> Result<(), Error> {
        skip_one(self.reader).map_err(Error::Control)
    }

    /// An element that stays as bytes.
    fn element(&mut self) -> Result<Encoded, Error> {
        self.message.encoded(self.reader).map_err(Error::Control)
    }

    /// The reason at the end of the tuple, behind the token of the traced form.
    fn reason(&mut self, traced: Op) -> Result<Encoded, Error> {
        if self.op == traced {
            self.pass()?;
        }
        self.element()
    }

    /// The payload, behind the token that ends the tuple of the traced form.
    #[inline]
    fn ending(&mut self, traced: Op) -> Result<Encoded, Error> {
        if self.op == traced {
            self.pass()?;
        }
        self.payload()
    }

    #[inline]
    fn payload(&mut self) -> Result<Encoded, Error> {
        self.message.version(self.reader).map_err(Error::Payload)?;
        self.message.encoded(self.reader).map_err(Error::Payload)
    }

    #[cold]
    fn wrong(&self, expected: &'static str) -> Error {
        Error::Element { op: self.op.0, expected }
    }
}

/// The lowest 64 bits of a little-endian magnitude.
fn low_word(magnitude: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(magnitude) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}
