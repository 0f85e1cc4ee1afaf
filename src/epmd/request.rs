//! Requests to an EPMD, and how they are read off a stream.

use crate::epmd::Registration;
use crate::epmd::registration::{MAX_BYTES, MAX_CHARS, name_of};

/// What is asked of an EPMD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Register a node (ALIVE2_REQ).
    Alive2(Registration),
    /// An ALIVE2_REQ in good form, with a name or extra data that nobody can register: it is answered
    /// with a refusal where a malformed one is just closed. The reply's form follows `highest`.
    Unregistrable { highest: u16 },
    /// Where is that node? (PORT_PLEASE2_REQ)
    PortPlease2(String),
    /// Which nodes are registered? (NAMES_REQ)
    Names,
    /// All there is to know (DUMP_REQ).
    Dump,
    /// End yourself (KILL_REQ).
    Kill,
    /// Take that node's registration away (STOP_REQ).
    Stop(String),
}

/// Bytes that are no request. Such a connection is closed without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Request {
    /// The whole packet: length and body.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packet = vec![0, 0];
        match self {
            Self::Alive2(node) => {
                packet.push(ALIVE2);
                put_registration(&mut packet, node);
            }
            Self::Unregistrable { highest } => {
                packet.push(ALIVE2);
                let nobody = Registration { highest: *highest, ..Registration::new("a".repeat(MAX_CHARS + 1), 0) };
                put_registration(&mut packet, &nobody);
            }
            Self::PortPlease2(name) => {
                packet.push(PORT_PLEASE2);
                packet.extend_from_slice(name.as_bytes());
            }
            Self::Names => packet.push(NAMES),
            Self::Dump => packet.push(DUMP),
            Self::Kill => packet.push(KILL),
            Self::Stop(name) => {
                packet.push(STOP);
                packet.extend_from_slice(name.as_bytes());
            }
        }
        let body = u16::try_from(packet.len() - 2).expect("names and extra data are checked before they are sent");
        packet[..2].copy_from_slice(&body.to_be_bytes());
        packet
    }

    /// Reads the body of a packet: what follows its length.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let Some((code, rest)) = body.split_first() else { return Err(Malformed("empty packet")) };
        match *code {
            ALIVE2 => decode_alive2(rest),
            PORT_PLEASE2 => decode_port_please2(rest),
            NAMES => Ok(Self::Names),
            DUMP => Ok(Self::Dump),
            KILL => Ok(Self::Kill),
            STOP => decode_stop(rest),
            _ => Err(Malformed("unknown request")),
        }
    }
}

/// Reads one request off a stream, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct RequestReader {
    got: Vec<u8>,
}

impl RequestReader {
    /// How many bytes may be read next. As in erts: all that has come while the length is not known
    /// yet, and from then on no more than the packet still lacks.
    pub(crate) fn room(&self) -> usize {
        let whole = self.packet_len().unwrap_or(MAX_PACKET);
        whole.saturating_sub(self.got.len())
    }

    /// Takes the next piece, of at most `room` bytes; returns the request once it is whole.
    pub(crate) fn handle_bytes(&mut self, piece: &[u8]) -> Result<Option<Request>, Malformed> {
        self.got.extend_from_slice(piece);
        let Some(whole) = self.packet_len() else { return Ok(None) };
        if whole <= LENGTH_BYTES || whole > MAX_PACKET {
            return Err(Malformed("invalid packet length"));
        }
        if self.got.len() > whole {
            return Err(Malformed("more bytes than the packet's length says"));
        }
        if self.got.len() < whole {
            return Ok(None);
        }
        Request::decode(self.got.get(LENGTH_BYTES..).unwrap_or_default()).map(Some)
    }

    fn packet_len(&self) -> Option<usize> {
        let (length, _) = self.got.split_first_chunk()?;
        Some(LENGTH_BYTES + usize::from(u16::from_be_bytes(*length)))
    }
}

/// The fields of a registration in the order of ALIVE2_REQ and PORT2_RESP alike.
pub(crate) fn put_registration(out: &mut Vec<u8>, node: &Registration) {
    out.extend_from_slice(&node.port.to_be_bytes());
    out.extend_from_slice(&[node.node_type, node.protocol]);
    out.extend_from_slice(&node.highest.to_be_bytes());
    out.extend_from_slice(&node.lowest.to_be_bytes());
    put_counted(out, node.name.as_bytes());
    put_counted(out, &node.extra);
}

/// The same fields as they came, the name not looked at yet.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    port: u16,
    node_type: u8,
    protocol: u8,
    highest: u16,
    lowest: u16,
    name: &'a [u8],
    extra: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads the fields, and no further; `None` when they are not all there.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let [p0, p1, node_type, protocol, h0, h1, l0, l1] = *head;
        let (name, rest) = counted(rest)?;
        let (extra, _) = counted(rest)?;
        Some(Self {
            port: u16::from_be_bytes([p0, p1]),
            node_type,
            protocol,
            highest: u16::from_be_bytes([h0, h1]),
            lowest: u16::from_be_bytes([l0, l1]),
            name,
            extra,
        })
    }

    /// The registration, if its name and extra data are within an EPMD's limits.
    pub(crate) fn registration(&self) -> Option<Registration> {
        let name = name_of(self.name)?;
        (self.extra.len() <= MAX_BYTES).then(|| Registration {
            name: name.to_owned(),
            port: self.port,
            node_type: self.node_type,
            protocol: self.protocol,
            highest: self.highest,
            lowest: self.lowest,
            extra: self.extra.to_vec(),
        })
    }
}

fn decode_alive2(rest: &[u8]) -> Result<Request, Malformed> {
    let Some(fields) = Fields::read(rest) else { return Err(Malformed("ALIVE2_REQ too short for its fields")) };
    if fields.name.is_empty() {
        return Err(Malformed("ALIVE2_REQ without a name"));
    }
    if fields.name.contains(&0) {
        return Err(Malformed("NUL in the name of an ALIVE2_REQ"));
    }
    Ok(fields.registration().map_or(Request::Unregistrable { highest: fields.highest }, Request::Alive2))
}

fn decode_port_please2(rest: &[u8]) -> Result<Request, Malformed> {
    let name = rest.strip_suffix(&[0]).unwrap_or(rest);
    if name.contains(&0) {
        return Err(Malformed("NUL in the name of a PORT_PLEASE2_REQ"));
    }
    match name_of(name) {
        // erts counts one character too many here, so the longest name that it registers cannot be
        // looked up. Peers that know keep to 254, and find the same with us.
        Some(name) if name.chars().count() < MAX_CHARS => Ok(Request::PortPlease2(name.to_owned())),
        _ => Err(Malformed("invalid name in a PORT_PLEASE2_REQ")),
    }
}

fn decode_stop(rest: &[u8]) -> Result<Request, Malformed> {
    if rest.is_empty() {
        return Err(Malformed("STOP_REQ without a name"));
    }
    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    // Bytes that are no name are the name of nobody, which is what the answer will say.
    Ok(Request::Stop(name_of(name).unwrap_or_default().to_owned()))
}

fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("names and extra data are checked before they are sent");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

const ALIVE2: u8 = b'x';
const PORT_PLEASE2: u8 = b'z';
const NAMES: u8 = b'n';
const DUMP: u8 = b'd';
const KILL: u8 = b'k';
const STOP: u8 = b's';

const LENGTH_BYTES: usize = 2;
/// erts' buffer is three times a longest name, of which it fills all but the last byte.
const MAX_PACKET: usize = 3 * MAX_BYTES - 1;

#[cfg(test)]
mod tests;
