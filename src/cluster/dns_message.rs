//! DNS messages: one question out, the addresses of an answer in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
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
        (false, 4) => return Some(Answer::Addresses(Vec::new())),
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
    let mut addresses = Vec::new();
    for _ in 0..u16::from_be_bytes([*a, *b]) {
        let (found, data, after) = record(rest)?;
        match (found == u16::from(kind), data.len()) {
            (true, 4) => addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
            (true, 16) => addresses.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
            _ => {}
        }
        rest = after;
    }
    Some(Answer::Addresses(addresses))
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
        let expected = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        assert_eq!(answer(&whole, &asked), Some(Answer::Addresses(expected.into())));
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &asked), None, "{len}");
        }
        let asked = query(7, "app.lab", Kind::Aaaa).unwrap();
        let ip = "fd00::1".parse::<Ipv6Addr>().unwrap();
        let whole = reply(&asked, [0x81, 0x80], &[(28, &ip.octets())]);
        assert_eq!(answer(&whole, &asked), Some(Answer::Addresses(vec![ip.into()])));
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
