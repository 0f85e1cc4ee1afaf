use super::*;

#[test]
fn a_creation_has_32_bits_from_version_6_on() {
    let creation = 0x6b03_2e19;
    assert_eq!(Alive2::Registered { creation }.encode(6), b"v\0\x6b\x03\x2e\x19");
    assert_eq!(Alive2::Registered { creation: 3 }.encode(5), b"y\0\0\x03");
}

#[test]
fn a_refusal_says_99() {
    assert_eq!(Alive2::Refused.encode(6), b"v\x01\0\0\0\x63");
    assert_eq!(Alive2::Refused.encode(5), b"y\x01\0\x63");
    assert_eq!(Alive2::decode(b"v\x07\0\0\0\x63"), Ok(Some(Alive2::Refused)));
}

#[test]
fn an_alive2_reply_is_read_to_its_last_byte_and_no_further() {
    for reply in [Alive2::Registered { creation: 77 }, Alive2::Refused] {
        for highest in [5, 6] {
            let bytes = reply.encode(highest);
            for end in 0..bytes.len() {
                assert_eq!(Alive2::decode(&bytes[..end]), Ok(None));
                assert!(bytes.len() as u64 >= end as u64 + Alive2::missing(end));
            }
            let expected =
                if reply == Alive2::Refused || highest == 6 { reply } else { Alive2::Registered { creation: 77 } };
            assert_eq!(Alive2::decode(&bytes), Ok(Some(expected)));
        }
    }
    assert!(Alive2::decode(b"x").is_err());
    assert!(Alive2::decode(b"y\0\0\x01\0").is_err());
}

#[test]
fn a_port2_reply_holds_what_was_registered() {
    let foo = Registration { lowest: 5, ..Registration::new("foo", 0x15b3) };
    let bytes = encode_port2(Some(&foo));
    assert_eq!(bytes, b"w\0\x15\xb3M\0\0\x06\0\x05\0\x03foo\0\0");
    for end in 0..bytes.len() {
        assert_eq!(decode_port2(&bytes[..end]), Ok(None), "{end}");
    }
    assert_eq!(decode_port2(&bytes), Ok(Some(Some(foo))));
}

#[test]
fn an_unknown_name_takes_two_bytes() {
    assert_eq!(encode_port2(None), b"w\x01");
    assert_eq!(decode_port2(b"w\x01"), Ok(Some(None)));
    assert!(decode_port2(b"v").is_err());
    assert!(decode_port2(b"w\0\x15\xb3M\0\0\x06\0\x05\0\x01\xff\0\0").is_err());
}

#[test]
fn names_are_lines() {
    let nodes = [Registration::new("a b at port 1", 2), Registration::new("é", 65_535)];
    let bytes = encode_names(4369, nodes.iter());
    assert_eq!(bytes, "\0\0\x11\x11name a b at port 1 at port 2\nname é at port 65535\n".as_bytes());
    let (port, text) = decode_listing(&bytes).unwrap();
    assert_eq!(port, 4369);
    assert_eq!(parse_names(text), [("a b at port 1".to_owned(), 2), ("é".to_owned(), 65_535)]);
    assert!(decode_listing(b"\0\0\x11").is_err());
}

#[test]
fn lines_that_are_no_names_are_passed_over() {
    assert_eq!(
        parse_names(b"garbage\nname x at port 70000\nname \xff at port 1\nname ok at port 3"),
        [("ok".into(), 3)]
    );
}

#[test]
fn each_line_of_a_dump_ends_in_nul() {
    let entry = |name, port, fd| DumpEntry { name, port, fd };
    let bytes = encode_dump(4369, [entry("a", 1, 5)].into_iter(), [entry("b", 2, 6)].into_iter());
    let text = "\0\0\x11\x11active name     <a> at port 1, fd = 5\n\0old/unused name <b>, port = 2, fd = 6 \n\0";
    assert_eq!(bytes, text.as_bytes());
}
