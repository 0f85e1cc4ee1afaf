//! One [`Signal`] to the frame that carries it, or to the fragments of a long one.
//!
//! [`encode`] makes frames that stand alone: their header names no atom, so any task may make them and
//! they may be written in any order that keeps each sender's. [`Encoder::caching`] names the atoms of
//! the control message by the connection's cache, and needs that the frames it appends are written in
//! that order; a [`Large`] message stands alone even so, since its frames go out between others.
//! The payload is bytes already, and goes as it is.

use bytes::Bytes;

use super::atom_cache::Sending;
use super::fragment::{FRAGMENT, Frames};
use super::op::{Op, altact, spawned};
use crate::dflags::DFlags;
use crate::etf::tag::{Tag, VERSION};
use crate::etf::{EncodeError, Encoded, encode_into, put};
use crate::signal::{Signal, SpawnRequest, Target};
use crate::term::atom::known;
use crate::term::{Atom, Pid, Ref};

/// Why a signal was not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsent {
    /// The peer did not publish the flag that the signal needs.
    #[error("the peer does not support {0}")]
    Lacks(DFlags),
    /// Only a message to a pid goes without a sender, and nothing but messages goes to an alias.
    #[error("the signal has no wire form")]
    Formless,
    /// The peer takes no fragments, and the frame has no room.
    #[error("longer than a frame can be")]
    TooLarge,
    /// A value inside the control message has no encoding.
    #[error("{0}")]
    Value(EncodeError),
}

/// Appends the frame of `signal` to `out`, length included; or leaves `out` alone and returns the
/// message, if it is long enough to be written from where it lies.
pub(crate) fn encode(signal: &Signal, flags: DFlags, out: &mut Vec<u8>) -> Result<Option<Large>, Unsent> {
    let start = out.len();
    out.reserve(128);
    out.extend_from_slice(if flags.has_headers() { &WITH_HEADER } else { &PASS_THROUGH });
    let control = out.len();
    let payload = match (Control { out: &mut *out, atoms: Spelt }).signal(signal, flags) {
        Ok(payload) => payload,
        Err(unsent) => {
            out.truncate(start);
            return Err(unsent);
        }
    };
    finish(start, control, payload, flags, out)
}

/// Encodes for one connection; whoever calls it also writes what it appends, in the order of the calls.
#[derive(Debug)]
pub(crate) struct Encoder {
    flags: DFlags,
    /// If the link has one.
    cache: Option<Sending>,
    /// The control message, which is made before the header that stands in front of it.
    control: Vec<u8>,
}

impl Encoder {
    /// Names atoms by the cache, if the link has one.
    pub(crate) fn caching(flags: DFlags) -> Self {
        let cache = flags.contains(DFlags::DIST_HDR_ATOM_CACHE).then(Sending::default);
        Self { flags, cache, control: Vec::new() }
    }

    /// As [`encode`].
    pub(crate) fn encode(&mut self, signal: &Signal, out: &mut Vec<u8>) -> Result<Option<Large>, Unsent> {
        let Some(cache) = &mut self.cache else { return encode(signal, self.flags, out) };
        let start = out.len();
        self.control.clear();
        let result = Control { out: &mut self.control, atoms: &mut *cache }.signal(signal, self.flags);
        let payload = match result {
            Ok(payload) if payload.is_none_or(|payload| payload.len() < LARGE) => payload,
            // What does not go out, or not now, must not be taken for known.
            Ok(_) => {
                cache.abandon();
                return encode(signal, self.flags, out);
            }
            Err(unsent) => {
                cache.abandon();
                return Err(unsent);
            }
        };
        out.extend_from_slice(&WITH_HEADER[..6]);
        cache.write_header(out);
        let control = out.len();
        out.extend_from_slice(&self.control);
        let result = finish(start, control, payload, self.flags, out);
        if result.is_ok() {
            cache.commit()
        } else {
            cache.abandon()
        }
        result
    }
}

/// Room for the length, then what stands in front of a control message.
const WITH_HEADER: [u8; 7] = [0, 0, 0, 0, VERSION, 68, 0];
const PASS_THROUGH: [u8; 6] = [0, 0, 0, 0, 112, VERSION];

/// From this length on a payload is written from where it lies.
const LARGE: usize = 16 << 10;

/// Adds the payload and the length to what was written of a frame from `start` on.
fn finish(
    start: usize,
    control: usize,
    payload: Option<&Encoded>,
    flags: DFlags,
    out: &mut Vec<u8>,
) -> Result<Option<Large>, Unsent> {
    if let Some(payload) = payload {
        if !flags.has_headers() {
            out.push(VERSION);
        }
        if payload.len() >= LARGE {
            let large = Large::new(&out[control..], &payload.standalone(), flags);
            out.truncate(start);
            return if large.fits() { Ok(Some(large)) } else { Err(Unsent::TooLarge) };
        }
        payload.write_to(out);
    }
    match u32::try_from(out.len() - start - 4) {
        Ok(len) => {
            out[start..start + 4].copy_from_slice(&len.to_be_bytes());
            Ok(None)
        }
        Err(_) => {
            out.truncate(start);
            Err(Unsent::TooLarge)
        }
    }
}

/// A message whose payload is not copied. One sender's later signals wait until its last frame.
#[derive(Debug, Clone)]
pub(crate) struct Large {
    /// What stands between the length and the control message of a frame that is not a fragment.
    front: &'static [u8],
    /// The control message, with the payload's version byte on links without headers.
    control: Bytes,
    payload: Vec<Bytes>,
    len: usize,
    fragments: bool,
}

impl Large {
    fn new(control: &[u8], payload: &Encoded, flags: DFlags) -> Self {
        let control = Bytes::copy_from_slice(control);
        let payload: Vec<Bytes> = payload.segments().cloned().collect();
        Self {
            front: if flags.has_headers() { &WITH_HEADER[4..] } else { &PASS_THROUGH[4..] },
            len: control.len() + payload.iter().map(Bytes::len).sum::<usize>(),
            control,
            payload,
            fragments: flags.contains(DFlags::FRAGMENTS),
        }
    }

    /// The frames of the message: one, or its fragments where the link has them. `sequence` is not that of
    /// another message of this connection whose fragments are not all written.
    pub(crate) fn frames(self, sequence: u64) -> Frames {
        let in_fragments = self.fragments && self.len > FRAGMENT;
        Frames::new(self.front, self.control, self.payload, self.len, in_fragments.then_some(sequence))
    }

    fn fits(&self) -> bool {
        self.fragments || u32::try_from(self.front.len() + self.len).is_ok()
    }
}

/// How the atoms of a control message are written.
trait Atoms {
    fn put(&mut self, out: &mut Vec<u8>, atom: Atom);
}

/// As text.
struct Spelt;

impl Atoms for Spelt {
    #[inline]
    fn put(&mut self, out: &mut Vec<u8>, atom: Atom) {
        put::atom(out, atom);
    }
}

/// By the connection's cache, where it has room.
impl Atoms for &mut Sending {
    fn put(&mut self, out: &mut Vec<u8>, atom: Atom) {
        match self.refer(atom) {
            Some(at) => out.extend_from_slice(&[Tag::ATOM_CACHE_REF.0, at]),
            None => put::atom(out, atom),
        }
    }
}

/// Writes one control message.
struct Control<'o, A> {
    out: &'o mut Vec<u8>,
    atoms: A,
}

impl<A: Atoms> Control<'_, A> {
    /// Writes the tuple, and returns the payload that has to follow it.
    fn signal(mut self, signal: &Signal, flags: DFlags) -> Result<Option<&Encoded>, Unsent> {
        match signal {
            Signal::Message { from, to, body } => self.message(*from, to, flags).map(|()| Some(body)),
            Signal::Link { from, to } => self.pids(Op::LINK, from, to),
            Signal::Unlink { id, from, to } => self.unlink(Op::UNLINK_ID, *id, from, to),
            Signal::UnlinkAck { id, from, to } => self.unlink(Op::UNLINK_ID_ACK, *id, from, to),
            Signal::Exit { from, to, reason } if flags.contains(DFlags::EXIT_PAYLOAD) => {
                self.pids(Op::PAYLOAD_EXIT, from, to)?;
                Ok(Some(reason))
            }
            Signal::Exit { from, to, reason } => {
                self.pids(Op::EXIT, from, to)?;
                self.reason(reason)
            }
            Signal::Exit2 { from, to, reason } => self.exit2(from, to, reason, flags),
            Signal::Monitor { from, to, reference } => self.monitor(Op::MONITOR_P, from, to, reference, flags),
            Signal::Demonitor { from, to, reference } => self.monitor(Op::DEMONITOR_P, from, to, reference, flags),
            Signal::Down { from, to, reference, reason } => {
                let in_payload = flags.contains(DFlags::EXIT_PAYLOAD);
                self.op(if in_payload { Op::PAYLOAD_MONITOR_P_EXIT } else { Op::MONITOR_P_EXIT });
                self.pid_or_name(from)?;
                self.pid(to);
                self.reference(reference);
                if in_payload { Ok(Some(reason)) } else { self.reason(reason) }
            }
            Signal::GroupLeader { leader, to } => self.pids(Op::GROUP_LEADER, leader, to),
            Signal::SpawnRequest(request) => self.spawn_request(request, flags),
            Signal::SpawnReply { id, to, linked, monitored, result } => {
                let flags = if *linked { spawned::LINK } else { 0 } | if *monitored { spawned::MONITOR } else { 0 };
                self.op(Op::SPAWN_REPLY);
                self.reference(id);
                self.pid(to);
                self.integer(flags);
                match result {
                    Ok(pid) => self.pid(pid),
                    Err(error) => self.atom(*error),
                }
                Ok(None)
            }
        }
    }

    fn message(&mut self, from: Option<Pid>, to: &Target, flags: DFlags) -> Result<(), Unsent> {
        match (to, from) {
            (Target::Pid(to), Some(from)) if flags.contains(DFlags::SEND_SENDER) => {
                self.pids(Op::SEND_SENDER, &from, to)?;
            }
            (Target::Pid(to), _) => {
                self.op(Op::SEND);
                self.atom(known::empty());
                self.pid(to);
            }
            (Target::Name(to), Some(from)) => {
                self.op(Op::REG_SEND);
                self.pid(&from);
                self.atom(known::empty());
                self.atom(*to);
            }
            (Target::Alias(to), Some(from)) if flags.contains(DFlags::ALTACT_SIG) => {
                self.altact(altact::ALIAS, &from);
                self.reference(to);
            }
            (Target::Alias(to), Some(from)) if flags.contains(DFlags::ALIAS) => {
                self.op(Op::ALIAS_SEND);
                self.pid(&from);
                self.reference(to);
            }
            (Target::Alias(_), Some(_)) => return Err(Unsent::Lacks(DFlags::ALIAS)),
            (Target::Name(_) | Target::Alias(_), None) => return Err(Unsent::Formless),
        }
        Ok(())
    }

    fn exit2<'s>(
        &mut self,
        from: &Pid,
        to: &Target,
        reason: &'s Encoded,
        flags: DFlags,
    ) -> Result<Option<&'s Encoded>, Unsent> {
        match to {
            Target::Pid(to) if flags.contains(DFlags::EXIT_PAYLOAD) => {
                self.pids(Op::PAYLOAD_EXIT2, from, to)?;
                return Ok(Some(reason));
            }
            Target::Pid(to) => {
                self.pids(Op::EXIT2, from, to)?;
                return self.reason(reason);
            }
            Target::Name(_) | Target::Alias(_) if !flags.contains(DFlags::ALTACT_SIG) => {
                return Err(Unsent::Lacks(DFlags::ALTACT_SIG));
            }
            Target::Name(to) => {
                self.altact(altact::EXIT | altact::NAME, from);
                self.atom(*to);
            }
            Target::Alias(to) => {
                self.altact(altact::EXIT | altact::ALIAS, from);
                self.reference(to);
            }
        }
        Ok(Some(reason))
    }

    fn monitor<'s>(
        &mut self,
        op: Op,
        from: &Pid,
        to: &Target,
        reference: &Ref,
        flags: DFlags,
    ) -> Result<Option<&'s Encoded>, Unsent> {
        let by_name = matches!(to, Target::Name(_));
        let needed = if by_name { DFlags::DIST_MONITOR_NAME } else { DFlags::DIST_MONITOR };
        if !flags.contains(needed) {
            return Err(Unsent::Lacks(needed));
        }
        self.op(op);
        self.pid(from);
        self.pid_or_name(to)?;
        self.reference(reference);
        Ok(None)
    }

    fn spawn_request<'s>(&mut self, request: &'s SpawnRequest, flags: DFlags) -> Result<Option<&'s Encoded>, Unsent> {
        if !flags.contains(DFlags::SPAWN) {
            return Err(Unsent::Lacks(DFlags::SPAWN));
        }
        self.op(Op::SPAWN_REQUEST);
        self.reference(&request.id);
        self.pid(&request.from);
        self.pid(&request.group_leader);
        self.out.extend_from_slice(&[Tag::SMALL_TUPLE.0, 3]);
        self.atom(request.module);
        self.atom(request.function);
        self.integer(u64::from(request.arity));
        encode_into(&request.options, self.out).map_err(Unsent::Value)?;
        Ok(Some(&request.args))
    }

    fn pids<'s>(&mut self, op: Op, from: &Pid, to: &Pid) -> Result<Option<&'s Encoded>, Unsent> {
        self.op(op);
        self.pid(from);
        self.pid(to);
        Ok(None)
    }

    fn unlink<'s>(&mut self, op: Op, id: u64, from: &Pid, to: &Pid) -> Result<Option<&'s Encoded>, Unsent> {
        self.op(op);
        self.integer(id);
        self.pid(from);
        self.pid(to);
        Ok(None)
    }

    fn altact(&mut self, flags: u64, from: &Pid) {
        self.op(Op::ALTACT_SIG_SEND);
        self.integer(flags);
        self.pid(from);
    }

    /// A reason that ends the tuple, for peers that take no payload.
    fn reason<'s>(&mut self, reason: &Encoded) -> Result<Option<&'s Encoded>, Unsent> {
        reason.write_to(self.out);
        Ok(None)
    }

    #[inline]
    fn op(&mut self, op: Op) {
        let arity = op.shape().and_then(|(arity, _)| u8::try_from(arity).ok()).unwrap_or_default();
        self.out.extend_from_slice(&[Tag::SMALL_TUPLE.0, arity, Tag::SMALL_INTEGER.0, op.0]);
    }

    fn pid_or_name(&mut self, target: &Target) -> Result<(), Unsent> {
        match target {
            Target::Pid(pid) => self.pid(pid),
            Target::Name(name) => self.atom(*name),
            Target::Alias(_) => return Err(Unsent::Formless),
        }
        Ok(())
    }

    #[inline]
    fn atom(&mut self, atom: Atom) {
        self.atoms.put(self.out, atom);
    }

    #[inline]
    fn pid(&mut self, pid: &Pid) {
        self.out.push(Tag::NEW_PID.0);
        self.atom(pid.node);
        let mut rest = [0; 12];
        rest[..4].copy_from_slice(&pid.id.to_be_bytes());
        rest[4..8].copy_from_slice(&pid.serial.to_be_bytes());
        rest[8..].copy_from_slice(&pid.creation.0.to_be_bytes());
        self.out.extend_from_slice(&rest);
    }

    fn reference(&mut self, reference: &Ref) {
        let words = reference.words();
        self.out.extend_from_slice(&[Tag::NEWER_REFERENCE.0, 0, words.len() as u8]);
        self.atom(reference.node);
        self.out.extend_from_slice(&reference.creation.0.to_be_bytes());
        for word in words {
            self.out.extend_from_slice(&word.to_be_bytes());
        }
    }

    fn integer(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(small) => put::integer(self.out, small),
            Err(_) => put::big(self.out, false, &value.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
