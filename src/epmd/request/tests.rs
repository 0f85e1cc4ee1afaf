use super::*;
use crate::epmd::fuzz::tests::any_request;
use proptest::prelude::*;

/// `x`, port 5555, normal, TCP, 6 to 6, "foo", no extra data: as a BEAM sends it.
const ALIVE2_FOO: &[u8] = b"\x00\x10x\x15\xb3M\x00\x00\x06\x00\x06\x00\x03foo\x00\x00";

#[test]
fn alive2_is_what_a_beam_sends() {
    let foo = Request::Alive2(Registration::new("foo", 5555));
    assert_eq!(foo.encode(), ALIVE2_FOO);
    assert_eq!(Request::decode(&ALIVE2_FOO[2..]), Ok(foo));
}

#[test]
fn a_hidden_node_has_type_72() {
    assert_eq!(Request::Alive2(Registration::new("foo", 1).hidden()).encode()[5], 72);
}

#[test]
fn an_alive2_cut_at_any_length_is_malformed() {
    for end in 3..ALIVE2_FOO.len() {
        assert!(Request::decode(&ALIVE2_FOO[2..end]).is_err(), "{end}");
    }
}

#[test]
fn an_alive2_whose_lengths_exceed_the_packet_is_malformed() {
    for (at, name) in [(11, "nlen"), (16, "elen")] {
        for length in [1_u16, 4, 255, 1020, u16::MAX] {
            let mut packet = ALIVE2_FOO.to_vec();
            let already = u16::from_be_bytes([packet[at], packet[at + 1]]);
            packet[at..at + 2].copy_from_slice(&(already.saturating_add(length)).to_be_bytes());
            assert!(Request::decode(&packet[2..]).is_err(), "{name} + {length}");
        }
    }
}

#[test]
fn bytes_after_the_extra_data_are_ignored() {
    let body = [&ALIVE2_FOO[2..], b"more"].concat();
    assert_eq!(Request::decode(&body), Ok(Request::Alive2(Registration::new("foo", 5555))));
}

#[test]
fn an_alive2_with_an_empty_name_is_malformed_whatever_its_extra_data() {
    for extra in ["", "e", "extra"] {
        let node = Registration { extra: extra.into(), ..Registration::new("", 1) };
        assert!(Request::decode(&Request::Alive2(node).encode()[2..]).is_err(), "{extra}");
    }
}

#[test]
fn nul_in_a_name_is_malformed() {
    for name in ["foo\0bar", "foobar\0", "\0"] {
        assert!(Request::decode(&Request::Alive2(Registration::new(name, 1)).encode()[2..]).is_err(), "{name:?}");
    }
    assert!(Request::decode(b"zfoo\0bar").is_err());
    assert!(Request::decode(b"zfoo\0\0").is_err());
}

#[test]
fn names_that_nobody_can_register_are_to_be_refused_with_a_reply() {
    let refused = |name: &[u8]| {
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        let body = [b"x\x15\xb3M\x00\x00\x05\x00\x05", &length[..], name, b"\x00\x00"].concat();
        Request::decode(&body) == Ok(Request::Unregistrable { highest: 5 })
    };
    assert!(!refused("a".repeat(255).as_bytes()));
    assert!(refused("a".repeat(256).as_bytes()));
    assert!(!refused("😀".repeat(255).as_bytes()));
    assert!(refused("😀".repeat(256).as_bytes()));
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xc3", b"\x80"] {
        assert!(refused(bad), "{bad:x?}");
    }
}

#[test]
fn extra_data_of_1020_bytes_is_taken_with_its_nuls_and_no_more() {
    let with_extra = |len| Registration { extra: vec![0; len], ..Registration::new("foo", 1) };
    let node = with_extra(1020);
    assert_eq!(Request::decode(&Request::Alive2(node.clone()).encode()[2..]), Ok(Request::Alive2(node)));
    let over = Request::Alive2(with_extra(1021)).encode();
    assert_eq!(Request::decode(&over[2..]), Ok(Request::Unregistrable { highest: 6 }));
}

#[test]
fn a_lookup_may_end_in_one_nul() {
    assert_eq!(Request::decode(b"zfoo"), Ok(Request::PortPlease2("foo".into())));
    assert_eq!(Request::decode(b"zfoo\0"), Ok(Request::PortPlease2("foo".into())));
    assert!(Request::decode(b"z").is_err());
    assert!(Request::decode(b"z\0").is_err());
    assert!(Request::decode(b"z\xff").is_err());
}

#[test]
fn a_lookup_takes_254_characters_as_with_erts() {
    let lookup = |chars| Request::PortPlease2("é".repeat(chars)).encode();
    assert!(Request::decode(&lookup(254)[2..]).is_ok());
    assert!(Request::decode(&lookup(255)[2..]).is_err());
}

#[test]
fn requests_of_one_letter_ignore_what_follows() {
    for (body, request) in [(&b"n"[..], Request::Names), (b"dump", Request::Dump), (b"k\0", Request::Kill)] {
        assert_eq!(Request::decode(body), Ok(request));
    }
    assert!(Request::decode(b"?").is_err());
    assert!(Request::decode(b"").is_err());
}

#[test]
fn a_stop_names_what_comes_before_the_first_nul() {
    assert_eq!(Request::decode(b"sfoo"), Ok(Request::Stop("foo".into())));
    assert_eq!(Request::decode(b"sfoo\0bar"), Ok(Request::Stop("foo".into())));
    assert_eq!(Request::decode(b"s\xff\xff"), Ok(Request::Stop(String::new())));
    assert!(Request::decode(b"s").is_err());
}

#[test]
fn requests_come_out_whole_however_the_bytes_arrive() {
    for piece in 1..=ALIVE2_FOO.len() {
        let mut reader = RequestReader::default();
        let mut found = None;
        for bytes in ALIVE2_FOO.chunks(piece) {
            assert!(found.is_none() && reader.room() >= bytes.len());
            found = reader.handle_bytes(bytes).unwrap();
        }
        assert_eq!(found, Some(Request::Alive2(Registration::new("foo", 5555))), "{piece} at a time");
    }
}

#[test]
fn packets_are_3059_bytes_long_at_most() {
    let packet = |body: usize| [&u16::try_from(body).unwrap().to_be_bytes()[..], &b"n".repeat(body)].concat();
    let read = |bytes: &[u8]| RequestReader::default().handle_bytes(bytes);
    assert!(read(&[0, 0]).is_err());
    assert_eq!(read(&packet(1)), Ok(Some(Request::Names)));
    assert_eq!(read(&packet(3057)), Ok(Some(Request::Names)));
    assert!(read(&packet(3058)[..2]).is_err());
    assert!(read(&[0xff, 0xff]).is_err());
}

#[test]
fn bytes_beyond_the_length_are_malformed_in_the_read_that_brings_the_length_only() {
    assert!(RequestReader::default().handle_bytes(b"\0\x01nn").is_err());
    let mut reader = RequestReader::default();
    assert_eq!(reader.room(), 3059);
    reader.handle_bytes(b"\0\x04zf").unwrap();
    assert_eq!(reader.room(), 2);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(request in any_request()) {
        prop_assert_eq!(Request::decode(&request.encode()[2..]), Ok(request));
    }
}
