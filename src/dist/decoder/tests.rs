use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::dist::encode::encode;
use crate::dist::op::{Op, altact};
use crate::dist::{Frame, next_frame};
use crate::etf::{DecodeErrorKind, Encoded, encode_into};
use crate::signal::Target;
use crate::term::{Creation, Pid, Ref, Term};

const PLAIN: DFlags = DFlags::default_hidden().without(DFlags::DIST_HDR_ATOM_CACHE).without(DFlags::FRAGMENTS);
const FULL: DFlags = DFlags::default_visible();

const LIMITS: Limits = Limits { max_frame: 1 << 20, max_open: 3, max_buffered: 4096 };

fn decoder(flags: DFlags) -> FrameDecoder {
    FrameDecoder::new(NodeName::new("peer@h").expect("a node name"), flags, &LIMITS)
}

fn pid(node: &str, id: u32) -> Pid {
    Pid { node: Atom::new(node), id, serial: 3, creation: Creation(7) }
}

fn theirs() -> Pid {
    pid("peer@h", 100)
}

fn ours() -> Pid {
    pid("us@h", 200)
}

fn reference() -> Ref {
    Ref::new(Atom::new("peer@h"), Creation(7), &[1, 2, 3, 4, 5]).expect("five words")
}

fn token() -> Term {
    Term::tuple([1.into(), Term::atom("label"), 5.into(), theirs().into(), 4.into()])
}

fn op(op: Op, fields: impl IntoIterator<Item = Term>) -> Term {
    Term::tuple([Term::from(op.0)].into_iter().chain(fields).collect::<Vec<_>>())
}

/// A frame of a link with headers that name no atoms.
fn frame(control: &Term, payload: Option<&Term>) -> Bytes {
    let mut out = vec![131, 68, 0];
    for term in [control].into_iter().chain(payload) {
        encode_into(term, &mut out).expect("encodable");
    }
    out.into()
}

/// The signal without its payload, and the payload.
fn shown(signal: &Signal) -> (String, Option<Term>) {
    let payload = match signal {
        Signal::Message { body, .. } => Some(body),
        Signal::Exit { reason, .. } | Signal::Exit2 { reason, .. } | Signal::Down { reason, .. } => Some(reason),
        Signal::SpawnRequest(request) => Some(&request.args),
        Signal::Link { .. } | Signal::Unlink { .. } | Signal::UnlinkAck { .. } | Signal::Monitor { .. } => None,
        Signal::Demonitor { .. } | Signal::GroupLeader { .. } | Signal::SpawnReply { .. } => None,
    };
    (format!("{signal:?}"), payload.map(|payload| payload.term().expect("a term")))
}

fn decode_one(control: &Term, payload: Option<&Term>) -> Result<Signal, Error> {
    decoder(FULL).decode(frame(control, payload)).map(|signal| signal.expect("a whole message"))
}

fn reason() -> Encoded {
    Encoded::new(&Term::atom("gone")).expect("encodable")
}

/// The plain operation, the traced one, the plain one's elements, where the token goes, whether a payload
/// follows, and how the signal is shown.
type Forms = (Op, Op, Vec<Term>, usize, bool, &'static str);

#[test]
fn every_operation_and_its_traced_form_is_the_same_signal() {
    let (from, to, name, cookie) = (Term::from(theirs()), Term::from(ours()), Term::atom("name"), Term::atom(""));
    let (reference, why, mfa) = (Term::from(reference()), Term::atom("gone"), Term::atom("m"));
    let mfa = Term::tuple([mfa.clone(), Term::atom("f"), 2.into()]);
    let options = Term::list(vec![Term::atom("link")]);
    let plain_and_traced: [Forms; 12] = [
        (Op::SEND, Op::SEND_TT, vec![cookie.clone(), to.clone()], 2, true, "Message { from: None, to: Pid(<us@h"),
        (Op::SEND_SENDER, Op::SEND_SENDER_TT, vec![from.clone(), to.clone()], 2, true, "Message { from: Some(<peer@h"),
        (Op::REG_SEND, Op::REG_SEND_TT, vec![from.clone(), cookie, name], 3, true, "Message { from: Some(<peer@h"),
        (Op::EXIT, Op::EXIT_TT, vec![from.clone(), to.clone(), why.clone()], 2, false, "Exit { from: <peer@h"),
        (Op::EXIT2, Op::EXIT2_TT, vec![from.clone(), to.clone(), why.clone()], 2, false, "Exit2 { from: <peer@h"),
        (Op::PAYLOAD_EXIT, Op::PAYLOAD_EXIT_TT, vec![from.clone(), to.clone()], 2, true, "Exit { from: <peer@h"),
        (Op::PAYLOAD_EXIT2, Op::PAYLOAD_EXIT2_TT, vec![from.clone(), to.clone()], 2, true, "Exit2 { from: <peer@h"),
        (Op::ALIAS_SEND, Op::ALIAS_SEND_TT, vec![from.clone(), reference.clone()], 2, true, "Message { from: Some"),
        (
            Op::SPAWN_REQUEST,
            Op::SPAWN_REQUEST_TT,
            vec![reference.clone(), from.clone(), from.clone(), mfa, options],
            5,
            true,
            "SpawnRequest(SpawnRequest { id: #Ref<peer@h",
        ),
        (
            Op::SPAWN_REPLY,
            Op::SPAWN_REPLY_TT,
            vec![reference.clone(), to.clone(), 3.into(), from.clone()],
            4,
            false,
            "SpawnReply { id: #Ref<peer@h.5.4.3.2.1>, to: <us@h:200.3>, linked: true, monitored: true, result: Ok(<peer",
        ),
        (
            Op::SPAWN_REPLY,
            Op::SPAWN_REPLY_TT,
            vec![reference.clone(), to.clone(), 0.into(), Term::atom("badopt")],
            4,
            false,
            "SpawnReply { id: #Ref<peer@h.5.4.3.2.1>, to: <us@h:200.3>, linked: false, monitored: false, result: Err(",
        ),
        // No traced form: compared with itself.
        (Op::GROUP_LEADER, Op::GROUP_LEADER, vec![from, to], 9, false, "GroupLeader { leader: <peer@h:100.3>, to: <us"),
    ];
    for (plain, traced, fields, token_at, has_payload, expected) in plain_and_traced {
        let payload = has_payload.then_some(&why);
        let signal = shown(&decode_one(&op(plain, fields.clone()), payload).expect("valid"));
        assert!(signal.0.starts_with(expected), "{signal:?}");
        let mut with_token = fields;
        if token_at <= with_token.len() {
            with_token.insert(token_at, token());
        }
        assert_eq!(shown(&decode_one(&op(traced, with_token), payload).expect("valid")), signal);
        if !expected.starts_with("Spawn") && plain != Op::GROUP_LEADER {
            assert_eq!(signal.1, Some(Term::atom("gone")));
        }
    }
}

#[test]
fn links_and_monitors_come_by_pid_and_by_name() {
    let (from, to, name) = (Term::from(theirs()), Term::from(ours()), Term::atom("name"));
    let reference = Term::from(reference());
    let table = [
        (op(Op::LINK, [from.clone(), to.clone()]), "Link { from: <peer@h:100.3>, to: <us@h:200.3> }"),
        (
            op(Op::MONITOR_P, [from.clone(), to.clone(), reference.clone()]),
            "Monitor { from: <peer@h:100.3>, to: Pid(<us@h:200.3>), reference: #Ref<peer@h.5.4.3.2.1> }",
        ),
        (
            op(Op::MONITOR_P, [from.clone(), name.clone(), reference.clone()]),
            "Monitor { from: <peer@h:100.3>, to: Name(Atom(\"name\")), reference: #Ref<peer@h.5.4.3.2.1> }",
        ),
        (
            op(Op::DEMONITOR_P, [from.clone(), name.clone(), reference.clone()]),
            "Demonitor { from: <peer@h:100.3>, to: Name(Atom(\"name\")), reference: #Ref<peer@h.5.4.3.2.1> }",
        ),
    ];
    for (control, expected) in table {
        assert_eq!(shown(&decode_one(&control, None).expect("valid")).0, expected);
    }
    let why = Term::atom("gone");
    for monitored in [from, name] {
        let fields = [monitored, to.clone(), reference.clone()];
        let in_tuple = op(Op::MONITOR_P_EXIT, fields.clone().into_iter().chain([why.clone()]));
        let behind = op(Op::PAYLOAD_MONITOR_P_EXIT, fields);
        let signal = shown(&decode_one(&in_tuple, None).expect("valid"));
        assert_eq!(signal, shown(&decode_one(&behind, Some(&why)).expect("valid")));
        assert_eq!(signal.1, Some(why.clone()));
    }
}

#[test]
fn unlink_ids_are_any_64_bits_but_zero() {
    let control = |id: Term| op(Op::UNLINK_ID, [id, theirs().into(), ours().into()]);
    for id in [1, 255, 256, 1 << 31, 1 << 63, u64::MAX] {
        let signal = decode_one(&control(id.into()), None).expect("valid");
        assert!(matches!(signal, Signal::Unlink { id: got, .. } if got == id), "{id}");
        let ack = op(Op::UNLINK_ID_ACK, [id.into(), theirs().into(), ours().into()]);
        assert!(matches!(decode_one(&ack, None), Ok(Signal::UnlinkAck { id: got, .. }) if got == id), "{id}");
    }
    for id in [Term::from(0), (-1).into(), (1u128 << 64).into(), 1.0.into()] {
        assert_eq!(decode_one(&control(id), None).err(), Some(Error::Element { op: 35, expected: "an unlink id" }));
    }
}

#[test]
fn the_flags_of_altact_tell_receiver_and_payload() {
    let payload = Term::atom("payload");
    for flags in 0..32u64 {
        let (alias, name) = (flags & altact::ALIAS != 0, flags & altact::NAME != 0);
        let to = match (alias, name) {
            (true, _) => Term::from(reference()),
            (false, true) => Term::atom("name"),
            (false, false) => Term::from(ours()),
        };
        let mut fields = vec![flags.into(), theirs().into(), to];
        if flags & altact::TOKEN != 0 {
            let short = op(Op::ALTACT_SIG_SEND, fields.clone());
            assert_eq!(decode_one(&short, Some(&payload)).err(), Some(Error::Arity { op: 37, arity: 4 }));
            fields.push(token());
        }
        let result = decode_one(&op(Op::ALTACT_SIG_SEND, fields.clone()), Some(&payload));
        if alias && name {
            assert!(matches!(result, Err(Error::Element { op: 37, .. })), "{flags}");
            continue;
        }
        let signal = result.expect("valid");
        let target = match &signal {
            Signal::Message { from: Some(_), to, .. } if flags & altact::EXIT == 0 => to,
            Signal::Exit2 { to, .. } if flags & altact::EXIT != 0 => to,
            other => panic!("{flags}: {other:?}"),
        };
        let expected = match (alias, name) {
            (true, _) => Target::Alias(reference()),
            (false, true) => Target::Name(Atom::new("name")),
            (false, false) => Target::Pid(ours()),
        };
        assert_eq!(*target, expected, "{flags}");

        // What a later release may add: more elements, more flags.
        fields.push(Term::atom("future"));
        fields[0] = Term::from(u128::from(flags) | 1 << 90);
        let later = decode_one(&op(Op::ALTACT_SIG_SEND, fields), Some(&payload)).expect("valid");
        assert_eq!(shown(&later), shown(&signal));
    }
}

#[test]
fn an_unknown_op_is_named() {
    for number in [0, 4, 5, 9, 38, 255, 256, -1] {
        let control = Term::tuple([Term::from(number), theirs().into(), ours().into()]);
        assert_eq!(decode_one(&control, None).err(), Some(Error::UnknownOp(number)));
    }
    for control in [Term::atom("a"), Term::tuple(vec![]), Term::tuple([Term::atom("a")]), Term::nil()] {
        assert_eq!(decode_one(&control, None).err(), Some(Error::NoOp));
    }
}

#[test]
fn every_operation_with_another_arity_is_refused() {
    for (name, number) in Op::KNOWN {
        let (arity, _) = number.shape().expect("a known operation");
        for wrong in [arity - 1, arity + 1] {
            if *number == Op::ALTACT_SIG_SEND && wrong > arity {
                continue;
            }
            let control = op(*number, std::iter::repeat_n(Term::nil(), wrong - 1));
            assert_eq!(decode_one(&control, None).err(), Some(Error::Arity { op: number.0, arity: wrong }), "{name}");
        }
    }
}

#[test]
fn every_operation_with_an_element_of_another_type_is_refused() {
    for (name, number) in Op::KNOWN {
        let (arity, _) = number.shape().expect("a known operation");
        let control = op(*number, std::iter::repeat_n(Term::from(1.5), arity - 1));
        let error = decode_one(&control, Some(&Term::nil())).expect_err("floats belong nowhere");
        assert!(matches!(error, Error::Element { op, .. } if op == number.0), "{name}: {error}");
    }
}

#[test]
fn a_signal_in_the_name_of_another_nodes_process_is_refused() {
    let stranger = Term::from(pid("other@h", 1));
    let (to, reference, why) = (Term::from(ours()), Term::from(reference()), Term::atom("gone"));
    let forged = [
        op(Op::LINK, [stranger.clone(), to.clone()]),
        op(Op::EXIT, [stranger.clone(), to.clone(), why.clone()]),
        op(Op::PAYLOAD_EXIT, [stranger.clone(), to.clone()]),
        op(Op::UNLINK_ID, [1.into(), stranger.clone(), to.clone()]),
        op(Op::UNLINK_ID_ACK, [1.into(), stranger.clone(), to.clone()]),
        op(Op::MONITOR_P, [stranger.clone(), to.clone(), reference.clone()]),
        op(Op::PAYLOAD_MONITOR_P_EXIT, [stranger.clone(), to.clone(), reference]),
    ];
    for control in forged {
        assert!(matches!(decode_one(&control, Some(&why)), Err(Error::Forged(_))), "{control:?}");
    }
    let elder = Pid { creation: Creation(1), ..theirs() };
    assert!(decode_one(&op(Op::LINK, [elder.into(), to]), None).is_ok(), "an earlier life of the peer is the peer");
}

#[test]
fn a_message_without_its_payload_is_refused() {
    let control = op(Op::SEND_SENDER, [theirs().into(), ours().into()]);
    assert!(
        matches!(decode_one(&control, None), Err(Error::Payload(error)) if error.kind == DecodeErrorKind::UnexpectedEnd)
    );
}

#[test]
fn bytes_behind_a_message_are_ignored() {
    let control = op(Op::SEND_SENDER, [theirs().into(), ours().into()]);
    let longer = [&frame(&control, Some(&Term::atom("hello")))[..], b"garbage"].concat();
    let signal = decoder(FULL).decode(longer.into()).expect("valid").expect("whole");
    assert_eq!(shown(&signal).1, Some(Term::atom("hello")));
}

#[test]
fn frames_of_the_other_kind_of_link_are_refused() {
    let control = op(Op::LINK, [theirs().into(), ours().into()]);
    let with_header = frame(&control, None);
    let pass_through: Bytes = [&[112, 131], &with_header[3..]].concat().into();
    assert!(decoder(PLAIN).decode(pass_through.clone()).is_ok());
    assert_eq!(decoder(PLAIN).decode(with_header.clone()).err(), Some(Error::Form([131, 68])));
    assert_eq!(decoder(FULL).decode(pass_through).err(), Some(Error::Form([112, 131])));
    let no_fragments = FULL.without(DFlags::FRAGMENTS);
    assert!(decoder(no_fragments).decode(with_header).is_ok());
    assert!(matches!(decoder(no_fragments).decode(first(1, 1, &[], b"")).err(), Some(Error::Form(_))));
    assert_eq!(decoder(FULL).decode(Bytes::new()).err(), Some(Error::Form([0, 0])));
}

#[test]
fn without_headers_each_term_needs_its_version_byte() {
    let control = op(Op::SEND_SENDER, [theirs().into(), ours().into()]);
    let (control, payload) = (&frame(&control, None)[3..], &frame(&Term::nil(), None)[3..]);
    let whole = [&[112, 131], control, &[131], payload].concat();
    assert!(decoder(PLAIN).decode(whole.into()).is_ok());
    let bare_control = [&[112], control, &[131], payload].concat();
    assert!(matches!(decoder(PLAIN).decode(bare_control.into()), Err(Error::Control(_))));
    let bare_payload = [&[112, 131], control, payload].concat();
    assert!(matches!(decoder(PLAIN).decode(bare_payload.into()), Err(Error::Payload(_))));
}

/// The worked example of two new atoms, slot 5 and slot 6, with lengths of two bytes; then both again.
#[test]
fn atoms_are_learned_from_one_header_and_named_by_the_next() {
    let to = [88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7];
    let control = [&[104, 3, 97, 2, 82, 1][..], &to].concat();
    let mut decoder = decoder(FULL);
    let learn = [&[131, 68, 2, 0x88, 1, 5, 0, 2, b't', b'b', 6, 0, 0][..], &control, &[82, 0]].concat();
    let again = [&[131, 68, 2, 0, 0, 5, 6][..], &control, &[82, 0]].concat();
    for bytes in [learn, again] {
        let signal = decoder.decode(bytes.into()).expect("valid").expect("whole");
        let Signal::Message { from: None, to: Target::Pid(to), body } = signal else { panic!("{signal:?}") };
        assert_eq!(to.node, Atom::new("tb"));
        assert_eq!(body.term(), Ok(Term::atom("tb")));
    }
    let other_slot = [&[131, 68, 1, 0, 7][..], &control].concat();
    assert_eq!(decoder.decode(other_slot.into()).err(), Some(Error::EmptySlot(7)));
}

#[test]
fn the_last_slot_and_its_replacement_work() {
    let mut decoder = decoder(FULL);
    let send = [104, 3, 97, 2, 82, 0, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 82, 0];
    let body = |decoder: &mut FrameDecoder, header: &[u8]| {
        let frame = [&[131, 68][..], header, &send].concat();
        match decoder.decode(frame.into()) {
            Ok(Some(Signal::Message { body, .. })) => body.term().expect("an atom"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(body(&mut decoder, &[1, 0x0F, 0xFF, 2, b't', b'b']), Term::atom("tb"));
    assert_eq!(body(&mut decoder, &[1, 0x07, 0xFF]), Term::atom("tb"));
    assert_eq!(body(&mut decoder, &[1, 0x0F, 0xFF, 1, b'x']), Term::atom("x"));
    assert_eq!(body(&mut decoder, &[1, 0x07, 0xFF]), Term::atom("x"));
}

#[test]
fn a_message_keeps_its_atoms_when_a_later_header_replaces_them() {
    let mut decoder = decoder(FULL);
    let send = [104, 3, 97, 2, 82, 0, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 82, 0];
    let frames =
        [[&[131, 68, 1, 8, 0, 1, b'a'][..], &send].concat(), [&[131, 68, 1, 8, 0, 1, b'b'][..], &send].concat()];
    let [one, other] = frames.map(|frame| decoder.decode(frame.into()).expect("valid").expect("whole"));
    assert_eq!(shown(&one).1, Some(Term::atom("a")));
    assert_eq!(shown(&other).1, Some(Term::atom("b")));
}

#[test]
fn a_header_of_254_atoms_and_one_of_255_are_read() {
    for count in [1u8, 2, 253, 254, 255] {
        let mut frame = vec![131, 68, count];
        let half_bytes = usize::from(count / 2) + 1;
        let nibbles: Vec<u8> = (0..half_bytes * 2).map(|at| if at < usize::from(count) { 8 } else { 0 }).collect();
        frame.extend(nibbles.chunks(2).map(|pair| pair[0] | pair[1] << 4));
        for at in 0..count {
            let text = format!("header_atom_{at}");
            frame.extend([at, text.len() as u8]);
            frame.extend_from_slice(text.as_bytes());
        }
        frame.extend([104, 3, 97, 2, 82, 0, 88, 82, count - 1]);
        frame.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 82, count - 1]);
        let signal = decoder(FULL).decode(frame.clone().into()).expect("valid").expect("whole");
        assert_eq!(shown(&signal).1, Some(Term::atom(&format!("header_atom_{}", count - 1))));

        let last = frame.len() - 1;
        if count < 255 {
            frame[last] = count;
            let error = decoder(FULL).decode(frame.into()).expect_err("the header has no such atom");
            assert!(matches!(error, Error::Payload(error) if error.kind == DecodeErrorKind::CachedAtom(count)));
        }
    }
}

/// The first fragment: a header with these bytes (`[]`: it names nothing), and data.
fn first(sequence: u64, number: u64, header: &[u8], data: &[u8]) -> Bytes {
    let mut frame = BytesMut::from(&[131, 69][..]);
    frame.put_u64(sequence);
    frame.put_u64(number);
    frame.put_slice(if header.is_empty() { &[0] } else { header });
    frame.put_slice(data);
    frame.freeze()
}

fn further(sequence: u64, number: u64, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::from(&[131, 70][..]);
    frame.put_u64(sequence);
    frame.put_u64(number);
    frame.put_slice(data);
    frame.freeze()
}

/// Control message and payload of a message to one of our processes, and how long the former is.
fn message(body: &Term) -> (Vec<u8>, usize) {
    let control = op(Op::SEND_SENDER, [theirs().into(), ours().into()]);
    let whole = frame(&control, Some(body))[3..].to_vec();
    (whole, frame(&control, None).len() - 3)
}

#[test]
fn interleaved_fragments_are_joined_each_for_itself() {
    let bodies: Vec<Term> = (0..3).map(|n| Term::binary(vec![n; 300])).collect();
    let mut decoder = decoder(FULL);
    let messages: Vec<_> = bodies.iter().map(message).collect();
    for (id, (bytes, _)) in messages.iter().enumerate() {
        assert!(decoder.decode(first(id as u64, 3, &[], &bytes[..100])).expect("valid").is_none());
    }
    let link = frame(&op(Op::LINK, [theirs().into(), ours().into()]), None);
    assert!(decoder.decode(link).expect("a whole message between fragments").is_some());
    for (id, (bytes, _)) in messages.iter().enumerate().rev() {
        assert!(decoder.decode(further(id as u64, 2, &bytes[100..101])).expect("valid").is_none());
    }
    for (id, (bytes, _)) in messages.iter().enumerate() {
        let signal = decoder.decode(further(id as u64, 1, &bytes[101..])).expect("valid").expect("whole");
        assert_eq!(shown(&signal).1.as_ref(), Some(&bodies[id]));
    }
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn the_atoms_of_the_first_fragment_serve_the_whole_message() {
    let mut decoder = decoder(FULL);
    let control = [104, 3, 97, 2, 82, 0, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7];
    assert!(decoder.decode(first(9, 2, &[1, 8, 0, 1, b'a'], &control)).expect("valid").is_none());
    // The slot gets another atom before the message is whole.
    let other = [&[131, 68, 1, 8, 0, 1, b'b'][..], &control, &[82, 0]].concat();
    assert_eq!(shown(&decoder.decode(other.into()).expect("valid").expect("whole")).1, Some(Term::atom("b")));
    let signal = decoder.decode(further(9, 1, &[82, 0])).expect("valid").expect("whole");
    assert_eq!(shown(&signal).1, Some(Term::atom("a")));
}

#[test]
fn a_first_fragment_that_is_the_last_is_a_whole_message() {
    let (bytes, _) = message(&Term::atom("short"));
    let mut decoder = decoder(FULL);
    for _ in 0..2 {
        assert!(decoder.decode(first(1, 1, &[], &bytes)).expect("valid").is_some());
    }
}

#[test]
fn a_fragment_out_of_order_is_refused() {
    let (bytes, control) = message(&Term::nil());
    for number in [0, 1, 3, 4, u64::MAX] {
        let mut decoder = decoder(FULL);
        decoder.decode(first(1, 3, &[], &bytes[..control])).expect("valid");
        let error = decoder.decode(further(1, number, b"")).expect_err("2 is due");
        assert_eq!(error, Error::FragmentOrder { sequence: 1, expected: 2, got: number });
    }
    assert!(matches!(decoder(FULL).decode(first(1, 0, &[], &bytes)), Err(Error::FragmentOrder { got: 0, .. })));
}

#[test]
fn a_sequence_that_is_open_does_not_start_again_and_one_that_is_not_does_not_go_on() {
    let (bytes, control) = message(&Term::nil());
    let mut decoder = decoder(FULL);
    decoder.decode(first(1, 2, &[], &bytes[..control])).expect("valid");
    assert_eq!(decoder.decode(first(1, 2, &[], &bytes[..control])).err(), Some(Error::OpenTwice(1)));
    assert_eq!(decoder.decode(first(1, 1, &[], &bytes)).err(), Some(Error::OpenTwice(1)));
    assert_eq!(decoder.decode(further(2, 1, b"")).err(), Some(Error::UnknownSequence(2)));
    decoder.decode(further(1, 1, &bytes[control..])).expect("valid").expect("whole");
    assert_eq!(decoder.decode(further(1, 1, b"")).err(), Some(Error::UnknownSequence(1)));
    assert!(decoder.decode(first(1, 2, &[], &bytes[..control])).is_ok(), "an id may be used again");
}

#[test]
fn a_control_message_beyond_its_first_fragment_is_refused() {
    let (bytes, control) = message(&Term::nil());
    for cut in 0..control {
        assert_eq!(decoder(FULL).decode(first(1, 2, &[], &bytes[..cut])).err(), Some(Error::SplitControl), "{cut}");
    }
    assert!(decoder(FULL).decode(first(1, 2, &[], &bytes[..control])).is_ok());
}

#[test]
fn incomplete_messages_are_bounded_in_number_and_in_bytes() {
    let (bytes, control) = message(&Term::nil());
    let mut decoder = decoder(FULL);
    for id in 0..LIMITS.max_open as u64 {
        decoder.decode(first(id, u64::MAX, &[], &bytes[..control])).expect("within the limit");
    }
    let one_more = decoder.decode(first(99, 2, &[], &bytes[..control]));
    assert_eq!(one_more.err(), Some(Error::TooManySequences(LIMITS.max_open)));

    let mut number = u64::MAX;
    let before = decoder.buffered();
    for _ in 0..1000 {
        number -= 1;
        decoder.decode(further(0, number, b"")).expect("an empty fragment is legal");
    }
    assert_eq!(decoder.buffered(), before, "empty fragments hold nothing");
    let error = loop {
        number -= 1;
        if let Err(error) = decoder.decode(further(0, number, &[0; 64])) {
            break error;
        }
    };
    assert_eq!(error, Error::TooMuchBuffered(LIMITS.max_buffered));
    assert!(decoder.buffered() <= LIMITS.max_buffered);
}

#[test]
fn huge_claims_cost_nothing() {
    let claims: [&[u8]; 8] = [
        &[131, 68, 255],
        &[131, 68, 0, 105, 255, 255, 255, 255],
        &[131, 68, 0, 108, 255, 255, 255, 255],
        &[131, 68, 0, 104, 3, 97, 22, 116, 255, 255, 255, 255],
        &[131, 68, 0, 104, 3, 97, 22, 109, 255, 255, 255, 255],
        &[131, 68, 0, 104, 3, 97, 22, 111, 255, 255, 255, 255, 0],
        &[131, 69, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        &[131, 70],
    ];
    for claim in claims {
        assert!(decoder(FULL).decode(Bytes::from_static(claim)).is_err(), "{claim:?}");
    }
}

#[test]
fn every_truncation_of_a_frame_is_refused() {
    let (bytes, _) = message(&Term::tuple([Term::atom("a"), Term::from(1), Term::binary("text")]));
    let frames: [Bytes; 2] = [[&[131, 68, 0], &bytes[..]].concat().into(), first(1, 1, &[1, 8, 0, 1, b'a'], &bytes)];
    for frame in frames {
        for cut in 0..frame.len() {
            assert!(decoder(FULL).decode(frame.slice(..cut)).is_err(), "{cut} bytes of {}", frame.len());
        }
        assert!(decoder(FULL).decode(frame).is_ok());
    }
}

/// Real frames, to be spoilt.
fn seeds() -> Vec<Bytes> {
    let (bytes, control) = message(&Term::list(vec![Term::atom("a"), Term::from(1i64 << 40), Term::binary([7; 90])]));
    let spawn = [
        Term::from(reference()),
        theirs().into(),
        theirs().into(),
        Term::tuple([Term::atom("m"), Term::atom("f"), 1.into()]),
        Term::list(vec![Term::atom("monitor")]),
    ];
    vec![
        [&[131, 68, 2, 0x88, 0, 5, 2, b't', b'b', 6, 1, b'c'], &bytes[..]].concat().into(),
        [&[131, 68, 0], &bytes[..]].concat().into(),
        first(1, 3, &[1, 8, 0, 1, b'a'], &bytes[..control]),
        further(1, 2, &bytes[control..control + 9]),
        further(1, 1, &bytes[control + 9..]),
        frame(&op(Op::SPAWN_REQUEST, spawn), Some(&Term::list(vec![Term::nil()]))),
        frame(&op(Op::ALTACT_SIG_SEND, [31.into(), theirs().into(), reference().into(), token()]), Some(&Term::nil())),
        frame(&op(Op::UNLINK_ID, [u64::MAX.into(), theirs().into(), ours().into()]), None),
        [&[112, 131], &bytes[..control], &[131], &bytes[control..]].concat().into(),
    ]
}

/// How many cases: `PROPTEST_CASES` for a long run.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: ProptestConfig::default().cases.max(2000), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_bytes_make_a_decoder_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_dist(&data);
    }

    #[test]
    fn no_mutation_of_real_frames_makes_a_decoder_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        order in proptest::collection::vec(0usize..9, 1..8),
    ) {
        let seeds = seeds();
        let mut data = Vec::new();
        for at in order {
            data.extend_from_slice(&(seeds[at].len() as u32).to_be_bytes());
            data.extend_from_slice(&seeds[at]);
        }
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        fuzz_dist(&data);
    }

    /// However a long message is cut, it is the same message.
    #[test]
    fn any_cutting_of_a_message_gives_it_back(cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        let body = Term::binary([5; 200]);
        let (bytes, control) = message(&body);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| control + cut.index(bytes.len() - control)).collect();
        cuts.sort_unstable();
        let mut decoder = decoder(FULL);
        let mut from = 0;
        let count = cuts.len() as u64 + 1;
        let mut got = None;
        for (at, to) in cuts.into_iter().chain([bytes.len()]).enumerate() {
            let number = count - at as u64;
            let fragment = if at == 0 { first(4, number, &[], &bytes[from..to]) } else { further(4, number, &bytes[from..to]) };
            got = decoder.decode(fragment).expect("valid");
            prop_assert_eq!(got.is_some(), number == 1);
            from = to;
        }
        prop_assert_eq!(shown(&got.expect("whole")).1, Some(body));
    }
}

#[test]
fn the_seeds_are_real_frames() {
    let mut with_headers = decoder(FULL);
    for (at, seed) in seeds().into_iter().enumerate() {
        let result = if at == 8 { decoder(PLAIN).decode(seed) } else { with_headers.decode(seed) };
        // The flags of the seventh name two kinds of receiver at once.
        assert_eq!(result.is_ok(), at != 6, "{at}: {result:?}");
    }
}

#[test]
fn what_we_encode_comes_through_the_frame_splitter_a_byte_at_a_time() {
    let signal = Signal::Exit { from: theirs(), to: ours(), reason: reason() };
    let mut wire = Vec::new();
    assert!(encode(&signal, FULL, &mut wire).expect("encodable").is_none());
    let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
    for byte in wire {
        buffer.put_u8(byte);
        while let Some(Frame::Message(frame)) = next_frame(&mut buffer, 1000).expect("short") {
            got.extend(decoder(FULL).decode(frame).expect("valid"));
        }
    }
    assert!(matches!(&got[..], [one] if shown(one) == shown(&signal)));
}
