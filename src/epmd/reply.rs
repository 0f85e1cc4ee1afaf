//! An EPMD's replies, written and read.
//!
//! None has a length: a reader takes what has come so far and says `None` until it is enough.

use crate::epmd::Registration;
use crate::epmd::request::{Fields, Malformed, put_registration};

/// The answer to ALIVE2_REQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alive2 {
    /// The name is taken in; nodes tell their incarnations apart by the creation.
    Registered { creation: u32 },
    /// The name, or the extra data, is not.
    Refused,
}

impl Alive2 {
    /// The form depends on what the node speaks: a creation has 32 bits since version 6, 1 to 3 before.
    pub(crate) fn encode(self, highest: u16) -> Vec<u8> {
        let (result, creation) = match self {
            Self::Registered { creation } => (0, creation),
            Self::Refused => (1, REFUSED_CREATION),
        };
        if highest >= Registration::VERSION {
            let [a, b, c, d] = creation.to_be_bytes();
            return vec![ALIVE2_X_RESP, result, a, b, c, d];
        }
        let [.., c, d] = creation.to_be_bytes();
        vec![ALIVE2_RESP, result, c, d]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let (result, creation) = match *bytes {
            [ALIVE2_X_RESP, result, a, b, c, d] => (result, u32::from_be_bytes([a, b, c, d])),
            [ALIVE2_RESP, result, c, d] => (result, u32::from(u16::from_be_bytes([c, d]))),
            [] => return Ok(None),
            [ALIVE2_X_RESP, ..] if bytes.len() < 6 => return Ok(None),
            [ALIVE2_RESP, ..] if bytes.len() < 4 => return Ok(None),
            _ => return Err(Malformed("not an answer to ALIVE2_REQ")),
        };
        Ok(Some(if result == 0 { Self::Registered { creation } } else { Self::Refused }))
    }

    /// How many bytes to read when that many have come and `decode` wants more: never one that is not
    /// the answer's.
    pub(crate) fn missing(got: usize) -> u64 {
        let whole: u64 = if got < 4 { 4 } else { 6 };
        whole.saturating_sub(got as u64)
    }

    /// How long the longest form is.
    pub(crate) const MAX_LEN: usize = 6;
}

/// The answer to PORT_PLEASE2_REQ.
pub(crate) fn encode_port2(node: Option<&Registration>) -> Vec<u8> {
    let Some(node) = node else { return vec![PORT2_RESP, 1] };
    let mut reply = vec![PORT2_RESP, 0];
    put_registration(&mut reply, node);
    reply
}

/// The answer to PORT_PLEASE2_REQ: the node, or `None` when it is not known.
pub(crate) fn decode_port2(bytes: &[u8]) -> Result<Option<Option<Registration>>, Malformed> {
    match *bytes {
        [] | [PORT2_RESP] => Ok(None),
        [PORT2_RESP, 0, ref rest @ ..] => {
            let Some(fields) = Fields::read(rest) else { return Ok(None) };
            match fields.registration() {
                Some(node) => Ok(Some(Some(node))),
                None => Err(Malformed("a registration that no EPMD takes")),
            }
        }
        [PORT2_RESP, ..] => Ok(Some(None)),
        _ => Err(Malformed("not an answer to PORT_PLEASE2_REQ")),
    }
}

/// The answer to NAMES_REQ.
pub(crate) fn encode_names<'a>(epmd_port: u16, nodes: impl Iterator<Item = &'a Registration>) -> Vec<u8> {
    let mut reply = u32::from(epmd_port).to_be_bytes().to_vec();
    for node in nodes {
        reply.extend_from_slice(format!("name {} at port {}\n", node.name, node.port).as_bytes());
    }
    reply
}

/// The answer to NAMES_REQ or DUMP_REQ, read until the EPMD closed: its port, and the text.
pub(crate) fn decode_listing(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let Some((port, text)) = bytes.split_first_chunk() else { return Err(Malformed("a list without the EPMD's port")) };
    Ok((u32::from_be_bytes(*port), text))
}

/// The nodes in the text of a NAMES_RESP. Lines that are none are passed over, as OTP's client does.
pub(crate) fn parse_names(text: &[u8]) -> Vec<(String, u16)> {
    let parse = |line: &[u8]| {
        let rest = std::str::from_utf8(line).ok()?.strip_prefix("name ")?;
        let (name, port) = rest.rsplit_once(" at port ")?;
        Some((name.to_owned(), port.parse().ok()?))
    };
    text.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// A name in the answer to DUMP_REQ, with the number of the connection that registered it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DumpEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    pub(crate) fd: i32,
}

/// The answer to DUMP_REQ. A NUL ends each line, after its newline: erts sends its C strings whole.
pub(crate) fn encode_dump<'a>(
    epmd_port: u16,
    active: impl Iterator<Item = DumpEntry<'a>>,
    dead: impl Iterator<Item = DumpEntry<'a>>,
) -> Vec<u8> {
    let mut reply = u32::from(epmd_port).to_be_bytes().to_vec();
    for DumpEntry { name, port, fd } in active {
        reply.extend_from_slice(format!("active name     <{name}> at port {port}, fd = {fd}\n\0").as_bytes());
    }
    for DumpEntry { name, port, fd } in dead {
        reply.extend_from_slice(format!("old/unused name <{name}>, port = {port}, fd = {fd} \n\0").as_bytes());
    }
    reply
}

/// To KILL_REQ: the daemon ends.
pub(crate) const KILL_OK: &[u8] = b"OK";
/// To KILL_REQ: it does not, while nodes are registered.
pub(crate) const KILL_NO: &[u8] = b"NO";
/// To STOP_REQ.
pub(crate) const STOPPED: &[u8] = b"STOPPED";
/// To STOP_REQ, before `STOPPED`: erts says both when it does not know the name.
pub(crate) const NOEXIST: &[u8] = b"NOEXIST";

const ALIVE2_X_RESP: u8 = b'v';
const ALIVE2_RESP: u8 = b'y';
const PORT2_RESP: u8 = b'w';
/// What erts writes in the place of a creation when there is none.
const REFUSED_CREATION: u32 = 99;

#[cfg(test)]
mod tests;
