//! The handshake's messages as bytes, and the length that stands before each.

#[cfg(any(test, fuzzing))]
use bytes::{Buf, Bytes, BytesMut};

use super::digest::{Challenge, Digest};
use super::error::HandshakeError;
use crate::dflags::DFlags;
use crate::term::Creation;

/// No message is longer: names end at 255 bytes, and what follows them is room for extensions.
pub(crate) const MAX_MESSAGE: usize = 4096;

/// How many bytes of length stand before each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Two: TCP.
    U16,
    /// Four: TLS, whose carrier frames everything alike.
    #[cfg_attr(not(any(test, feature = "tls")), expect(dead_code, reason = "only TLS uses it"))]
    U32,
}

impl Prefix {
    /// How many bytes to read for the length.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// How many bytes of message follow, from the bytes of the length.
    pub(crate) fn body_len(self, prefix: &[u8]) -> Result<usize, HandshakeError> {
        let len = prefix.iter().take(self.len()).fold(0, |len, byte| len << 8 | usize::from(*byte));
        if len > MAX_MESSAGE { Err(HandshakeError::TooLong { len }) } else { Ok(len) }
    }

    /// Takes the first whole message out of what was read, and nothing after it. `None`: more has to come.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn split(self, buffer: &mut BytesMut) -> Result<Option<Bytes>, HandshakeError> {
        let Some(prefix) = buffer.get(..self.len()) else { return Ok(None) };
        let body = self.body_len(prefix)?;
        if buffer.len() < self.len() + body {
            return Ok(None);
        }
        buffer.advance(self.len());
        Ok(Some(buffer.split_to(body).freeze()))
    }

    /// Appends a message with its length.
    fn put(self, out: &mut Vec<u8>, body: &[u8]) {
        let len = u32::try_from(body.len()).expect("our messages are short").to_be_bytes();
        out.extend_from_slice(&len[4 - self.len()..]);
        out.extend_from_slice(body);
    }
}

/// The tags of the messages.
mod tag {
    pub(super) const NAME: u8 = b'N';
    pub(super) const OLD_NAME: u8 = b'n';
    pub(super) const STATUS: u8 = b's';
    pub(super) const COMPLEMENT: u8 = b'c';
    pub(super) const REPLY: u8 = b'r';
    pub(super) const ACK: u8 = b'a';
}

/// The dialling node's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) name: String,
    /// The lower half only, from an old opener.
    pub(super) flags: DFlags,
    /// `None` from an old opener (`n`), which sends it and its other flags in a complement.
    pub(super) creation: Option<Creation>,
}

/// How the acceptor takes the opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    OkSimultaneous,
    Nok,
    NotAllowed,
    Alive,
    Named { name: String, creation: Creation },
}

/// The acceptor's introduction, with what the dialling node must prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChallengeMessage {
    pub(super) name: String,
    pub(super) flags: DFlags,
    pub(super) creation: Creation,
    pub(super) challenge: Challenge,
}

/// What an old opening has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Complement {
    pub(super) flags_high: DFlags,
    pub(super) creation: Creation,
}

/// The dialling node's proof, and its own challenge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    pub(super) challenge: Challenge,
    pub(super) digest: Digest,
}

impl Opening {
    const WHAT: &str = "name";

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(body, Self::WHAT);
        match fields.tag()? {
            tag::NAME => {
                let flags = DFlags::from_bits(fields.u64()?);
                let creation = Some(Creation(fields.u32()?));
                Ok(Self { name: fields.name()?, flags, creation })
            }
            tag::OLD_NAME => {
                let _version = fields.u16()?;
                let flags = DFlags::from_bits(u64::from(fields.u32()?));
                Ok(Self { name: latin1(fields.rest), flags, creation: None })
            }
            other => Err(fields.unexpected(other)),
        }
    }

    pub(super) fn put(&self, prefix: Prefix, out: &mut Vec<u8>) {
        let mut body = vec![tag::NAME];
        body.extend_from_slice(&self.flags.bits().to_be_bytes());
        body.extend_from_slice(&self.creation.unwrap_or_default().0.to_be_bytes());
        put_name(&mut body, &self.name);
        prefix.put(out, &body);
    }
}

impl Status {
    pub(super) const WHAT: &str = "status";

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(body, Self::WHAT);
        fields.expect(tag::STATUS)?;
        match fields.rest {
            b"ok" => Ok(Self::Ok),
            b"ok_simultaneous" => Ok(Self::OkSimultaneous),
            b"nok" => Ok(Self::Nok),
            b"not_allowed" => Ok(Self::NotAllowed),
            b"alive" => Ok(Self::Alive),
            text => {
                let Some(named) = text.strip_prefix(b"named:") else { return Err(fields.malformed()) };
                fields.rest = named;
                let name = fields.name()?;
                Ok(Self::Named { name, creation: Creation(fields.u32()?) })
            }
        }
    }

    pub(super) fn put(&self, prefix: Prefix, out: &mut Vec<u8>) {
        let mut body = vec![tag::STATUS];
        match self {
            Self::Ok => body.extend_from_slice(b"ok"),
            Self::OkSimultaneous => body.extend_from_slice(b"ok_simultaneous"),
            Self::Nok => body.extend_from_slice(b"nok"),
            Self::NotAllowed => body.extend_from_slice(b"not_allowed"),
            Self::Alive => body.extend_from_slice(b"alive"),
            Self::Named { name, creation } => {
                body.extend_from_slice(b"named:");
                put_name(&mut body, name);
                body.extend_from_slice(&creation.0.to_be_bytes());
            }
        }
        prefix.put(out, &body);
    }
}

/// The dialling node's answer to `alive`: is the connection that the acceptor still has dead?
pub(super) fn parse_alive_answer(body: &[u8]) -> Result<bool, HandshakeError> {
    let mut fields = Fields::new(body, "answer to alive");
    fields.expect(tag::STATUS)?;
    match fields.rest {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(fields.malformed()),
    }
}

pub(super) fn put_alive_answer(dead: bool, prefix: Prefix, out: &mut Vec<u8>) {
    prefix.put(out, if dead { b"strue" } else { b"sfalse" });
}

impl ChallengeMessage {
    pub(super) const WHAT: &str = "challenge";

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(body, Self::WHAT);
        fields.expect(tag::NAME)?;
        let flags = DFlags::from_bits(fields.u64()?);
        let challenge = Challenge(fields.u32()?);
        let creation = Creation(fields.u32()?);
        Ok(Self { name: fields.name()?, flags, creation, challenge })
    }

    pub(super) fn put(&self, prefix: Prefix, out: &mut Vec<u8>) {
        let mut body = vec![tag::NAME];
        body.extend_from_slice(&self.flags.bits().to_be_bytes());
        body.extend_from_slice(&self.challenge.0.to_be_bytes());
        body.extend_from_slice(&self.creation.0.to_be_bytes());
        put_name(&mut body, &self.name);
        prefix.put(out, &body);
    }
}

impl Complement {
    pub(super) const WHAT: &str = "complement";

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(body, Self::WHAT);
        fields.expect(tag::COMPLEMENT)?;
        let flags_high = DFlags::from_bits(u64::from(fields.u32()?) << 32);
        Ok(Self { flags_high, creation: Creation(fields.u32()?) })
    }
}

impl Reply {
    pub(super) const WHAT: &str = "challenge reply";

    pub(super) fn parse(body: &[u8]) -> Result<Self, HandshakeError> {
        let mut fields = Fields::new(body, Self::WHAT);
        fields.expect(tag::REPLY)?;
        let challenge = Challenge(fields.u32()?);
        Ok(Self { challenge, digest: Digest::from_bytes(fields.array()?) })
    }

    pub(super) fn put(&self, prefix: Prefix, out: &mut Vec<u8>) {
        let mut body = vec![tag::REPLY];
        body.extend_from_slice(&self.challenge.0.to_be_bytes());
        body.extend_from_slice(self.digest.bytes());
        prefix.put(out, &body);
    }
}

/// The name of the last message, for errors.
pub(super) const ACK: &str = "challenge acknowledgement";

pub(super) fn parse_ack(body: &[u8]) -> Result<Digest, HandshakeError> {
    let mut fields = Fields::new(body, ACK);
    fields.expect(tag::ACK)?;
    Ok(Digest::from_bytes(fields.array()?))
}

pub(super) fn put_ack(digest: &Digest, prefix: Prefix, out: &mut Vec<u8>) {
    let mut body = vec![tag::ACK];
    body.extend_from_slice(digest.bytes());
    prefix.put(out, &body);
}

/// Whether this is a refusal: one may come in place of any message of an acceptor.
pub(super) fn is_not_allowed(body: &[u8]) -> bool {
    body == b"snot_allowed"
}

fn put_name(body: &mut Vec<u8>, name: &str) {
    let len = u16::try_from(name.len()).expect("a node name is an atom's text in ASCII");
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(name.as_bytes());
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Reads one message field by field.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn new(body: &'a [u8], what: &'static str) -> Self {
        Self { rest: body, what }
    }

    fn malformed(&self) -> HandshakeError {
        HandshakeError::Malformed { message: self.what }
    }

    fn unexpected(&self, tag: u8) -> HandshakeError {
        HandshakeError::Unexpected { expected: self.what, tag }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HandshakeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(*head)
    }

    fn tag(&mut self) -> Result<u8, HandshakeError> {
        self.array().map(|[tag]| tag)
    }

    fn expect(&mut self, expected: u8) -> Result<(), HandshakeError> {
        let tag = self.tag()?;
        if tag == expected { Ok(()) } else { Err(self.unexpected(tag)) }
    }

    fn u16(&mut self) -> Result<u16, HandshakeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A name with its length. What follows it in the message is for the caller to read or to ignore.
    fn name(&mut self) -> Result<String, HandshakeError> {
        let len = usize::from(self.u16()?);
        let (name, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(latin1(name))
    }
}
