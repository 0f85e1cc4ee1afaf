//! DNS messages: one question out, the addresses or hosts of an answer in.

use std::net::{Ipv4Addr, Ipv6Addr};

/// How often a name may go on elsewhere in a message; more is a circle.
const MOST_JUMPS: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
    Srv = 33,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Addresses, or the targets of services.
    Hosts(Vec<String>),
    /// There is no such name.
    NoName,
    /// It did not fit: ask over TCP.
    Truncated,
    /// The server cannot or will not say, with its code.
    Failed(u8),
}

/// A query with this number; `None` for a text that is no name.
pub(super) fn query(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut out = Vec::with_capacity(name.len() + 18);
    out.extend(id.to_be_bytes());
    // Recursion desired; one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..64).contains(len))?;
        out.push(len);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, kind as u8, 0, 1]);
    (name.len() < 254).then_some(out)
}

/// Reads the answer to a query; `None` for bytes that are none, such as an answer to another question.
pub(super) fn answer(bytes: &[u8], query: &[u8]) -> Option<Answer> {
    let (header, mut rest) = bytes.split_first_chunk::<12>()?;
    let [id @ .., flags, codes, _, questions, a, b, _, _, _, _] = header;
    let question = query.get(12..)?;
    let is_ours = query.get(..2)? == id && flags & 0x80 != 0;
    if !is_ours {
        return None;
    }
    match (flags & 2 != 0, codes & 15) {
        (true, _) => return Some(Answer::Truncated),
        (false, 3) => return Some(Answer::NoName),
        // Not implemented: a server that does not know the kind has none of it.
        (false, 4) => return Some(Answer::Hosts(Vec::new())),
        (false, 0) => {}
        (false, code) => return Some(Answer::Failed(code)),
    }
    if *questions == 1 {
        let (asked, after) = rest.split_at_checked(question.len())?;
        if !asked.eq_ignore_ascii_case(question) {
            return None;
        }
        rest = after;
    }
    let kind = *question.get(question.len().checked_sub(3)?)?;
    let mut hosts = Vec::new();
    for _ in 0..u16::from_be_bytes([*a, *b]) {
        let (found, data, after) = record(rest)?;
        // Priority, weight and port say nothing that nodes go by.
        let target_at = bytes.len().checked_sub(after.len() + data.len())? + 6;
        match (found == u16::from(kind), data.len(), found) {
            (true, 4, 1) => hosts.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string()),
            (true, 16, 28) => hosts.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string()),
            (true, 7.., 33) => hosts.push(name(bytes, target_at)?),
            _ => {}
        }
        rest = after;
    }
    Some(Answer::Hosts(hosts))
}

/// The name at a place of the message, without the last full stop.
fn name(message: &[u8], mut at: usize) -> Option<String> {
    let (mut labels, mut jumps, mut len) = (Vec::new(), 0, 0);
    loop {
        let (&first, rest) = message.get(at..)?.split_first()?;
        match first {
            0 => return Some(labels.join(".")),
            1..64 => {
                let label = rest.get(..usize::from(first))?;
                labels.push(std::str::from_utf8(label).ok()?);
                len += label.len() + 1;
                at += label.len() + 1;
            }
            192.. => {
                at = usize::from(u16::from_be_bytes([first & 63, *rest.first()?]));
                jumps += 1;
            }
            _ => return None,
        }
        if jumps > MOST_JUMPS || len > 255 {
            return None;
        }
    }
}

/// A record's kind and data, and what follows it.
fn record(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = after_name(bytes)?.split_first_chunk::<10>()?;
    let [k, l, _, _, _, _, _, _, m, n] = *head;
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([m, n])))?;
    Some((u16::from_be_bytes([k, l]), data, rest))
}

/// Passes over a name, which may end by pointing to where it goes on.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&len, rest) = bytes.split_first()?;
        match len {
            0 => return Some(rest),
            1..64 => bytes = rest.get(usize::from(len)..)?,
            192.. => return rest.get(1..),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a query: these flags, and records of this kind under a pointer to the question.
    fn reply(query: &[u8], flags: [u8; 2], records: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = query.to_vec();
        (out[2], out[3], out[7]) = (flags[0], flags[1], u8::try_from(records.len()).unwrap());
        for (kind, data) in records {
            out.extend([0xC0, 12, 0, *kind, 0, 1, 0, 0, 0, 30, 0, u8::try_from(data.len()).unwrap()]);
            out.extend(*data);
        }
        out
    }

    #[test]
    fn a_query_is_what_the_standard_says() {
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03app\x03lab\0\0\x1c\0\x01";
        assert_eq!(query(0x1234, "app.lab.", Kind::Aaaa).unwrap(), expected);
        for wrong in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(128)] {
            assert_eq!(query(1, wrong, Kind::A), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_and_other_records_passed_over() {
        let asked = query(7, "app.lab", Kind::A).unwrap();
        let records: [(u8, &[u8]); 3] = [(5, b"\x03web\xC0\x10"), (1, &[10, 0, 0, 1]), (1, &[10, 0, 0, 2])];
        let whole = reply(&asked, [0x81, 0x80], &records);
        let expected = ["10.0.0.1", "10.0.0.2"].map(str::to_owned);
        assert_eq!(answer(&whole, &asked), Some(Answer::Hosts(expected.into())));
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &asked), None, "{len}");
        }
        let asked = query(7, "app.lab", Kind::Aaaa).unwrap();
        let ip = "fd00::1".parse::<Ipv6Addr>().unwrap();
        let whole = reply(&asked, [0x81, 0x80], &[(28, &ip.octets())]);
        assert_eq!(answer(&whole, &asked), Some(Answer::Hosts(vec!["fd00::1".into()])));
    }

    #[test]
    fn targets_of_services_are_read_through_pointers_and_circles_are_none() {
        let asked = query(7, "app.lab", Kind::Srv).unwrap();
        // The target's name goes on at the question's.
        let (first, second) = (b"\0\x0A\0\x32\0\0\x05app-0\xC0\x0C", b"\0\x0A\0\x32\0\0\x05app-1\x03lab\0");
        let whole = reply(&asked, [0x81, 0x80], &[(33, first), (5, b"\x03web\xC0\x10"), (33, second)]);
        let expected = ["app-0.app.lab", "app-1.lab"].map(str::to_owned);
        assert_eq!(answer(&whole, &asked), Some(Answer::Hosts(expected.into())));
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &asked), None, "{len}");
        }
        let at = u8::try_from(asked.len() + 12 + 6).unwrap();
        for circle in [[0xC0, at], [0xC0, at + 1], [0xFF, 0xFF], [0x80, 0]] {
            let whole = reply(&asked, [0x81, 0x80], &[(33, &[&[0; 6], &circle[..]].concat())]);
            assert_eq!(answer(&whole, &asked), None, "{circle:?}");
        }
    }

    #[test]
    fn no_name_and_failures_differ_and_strangers_say_nothing() {
        let asked = query(7, "app.lab", Kind::A).unwrap();
        assert_eq!(answer(&reply(&asked, [0x81, 0x83], &[]), &asked), Some(Answer::NoName));
        assert_eq!(answer(&reply(&asked, [0x81, 0x82], &[]), &asked), Some(Answer::Failed(2)));
        assert_eq!(answer(&reply(&asked, [0x83, 0x80], &[]), &asked), Some(Answer::Truncated));
        let other = query(8, "app.lab", Kind::A).unwrap();
        assert_eq!(answer(&reply(&other, [0x81, 0x80], &[]), &asked), None);
        let other = query(7, "app.lob", Kind::A).unwrap();
        assert_eq!(answer(&reply(&other, [0x81, 0x80], &[]), &asked), None);
        assert_eq!(answer(&asked, &asked), None);
    }
}
