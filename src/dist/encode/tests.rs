use bytes::{Bytes, BytesMut};

use super::*;
use crate::dist::{Frame, FrameDecoder, Limits, next_frame};
use crate::etf::{Limits as TermLimits, decode_front};
use crate::term::{Creation, NodeName, Term};

const FULL: DFlags = DFlags::default_visible();

/// Every kind of link: with and without headers, cache, fragments, payloads, and what OTP 28 added.
fn links() -> impl Iterator<Item = DFlags> {
    let choices =
        [DFlags::DIST_HDR_ATOM_CACHE, DFlags::FRAGMENTS, DFlags::EXIT_PAYLOAD, DFlags::SEND_SENDER, DFlags::ALTACT_SIG];
    (0..32).map(move |bits| {
        let off = choices.iter().enumerate().filter(move |(at, _)| bits >> at & 1 != 0);
        off.fold(FULL, |flags, (_, choice)| flags.without(*choice))
    })
}

fn pid(node: &str, id: u32) -> Pid {
    Pid { node: Atom::new(node), id, serial: 3, creation: Creation(7) }
}

fn alice() -> Pid {
    pid("alice@h", 100)
}

fn bob() -> Pid {
    pid("bob@h", u32::MAX)
}

fn reference() -> Ref {
    Ref::new(Atom::new("alice@h"), Creation(7), &[1, 2, 3]).expect("three words")
}

fn encoded(term: &Term) -> Encoded {
    Encoded::new(term).expect("encodable")
}

/// One of each, and of each kind of receiver.
fn signals() -> Vec<Signal> {
    let (from, to, reference) = (alice(), bob(), reference());
    let reason = encoded(&Term::tuple([Term::atom("shutdown"), Term::from(1)]));
    let body = encoded(&Term::list(vec![Term::binary("body"), from.into()]));
    let message = |from, to| Signal::Message { from, to, body: body.clone() };
    let targets = [Target::Pid(to), Target::Name(Atom::new("name"))];
    let mut signals = vec![
        message(None, Target::Pid(to)),
        message(Some(from), Target::Pid(to)),
        message(Some(from), Target::Name(Atom::new("name"))),
        message(Some(from), Target::Alias(reference)),
        Signal::Link { from, to },
        Signal::Unlink { id: 1, from, to },
        Signal::Unlink { id: u64::MAX, from, to },
        Signal::UnlinkAck { id: 1 << 63, from, to },
        Signal::Exit { from, to, reason: reason.clone() },
        Signal::Exit2 { from, to: Target::Pid(to), reason: reason.clone() },
        Signal::GroupLeader { leader: from, to },
        Signal::SpawnRequest(Box::new(SpawnRequest {
            id: reference,
            from,
            group_leader: from,
            module: Atom::new("m"),
            function: Atom::new("f"),
            arity: 255,
            options: Term::list(vec![Term::atom("monitor")]),
            args: body.clone(),
        })),
        Signal::SpawnReply { id: reference, to, linked: true, monitored: false, result: Ok(from) },
        Signal::SpawnReply { id: reference, to, linked: false, monitored: true, result: Err(known::badopt()) },
    ];
    for target in targets {
        signals.push(Signal::Monitor { from, to: target, reference });
        signals.push(Signal::Demonitor { from, to: target, reference });
    }
    for monitored in [Target::Pid(from), Target::Name(Atom::new("name"))] {
        signals.push(Signal::Down { from: monitored, to, reference, reason: reason.clone() });
    }
    signals
}

fn decoder(flags: DFlags) -> FrameDecoder {
    FrameDecoder::new(NodeName::new("alice@h").expect("a node name"), flags, &Limits::default())
}

/// All signals in what was written.
fn received(decoder: &mut FrameDecoder, wire: &[u8]) -> Vec<Signal> {
    let mut buffer = BytesMut::from(wire);
    let mut signals = Vec::new();
    while let Some(frame) = next_frame(&mut buffer, usize::MAX).expect("no limit") {
        let Frame::Message(frame) = frame else { panic!("a tick") };
        signals.extend(decoder.decode(frame).expect("what we encode is valid"));
    }
    assert!(buffer.is_empty(), "a whole number of frames");
    signals
}

/// The signal without its payload, and the payload.
fn shown(signal: &Signal, flags: DFlags) -> (String, Option<Term>) {
    let mut signal = signal.clone();
    if let Signal::Message { from, to: Target::Pid(_), .. } = &mut signal {
        if !flags.contains(DFlags::SEND_SENDER) {
            *from = None;
        }
    }
    let payload = match &signal {
        Signal::Message { body: payload, .. }
        | Signal::Exit { reason: payload, .. }
        | Signal::Exit2 { reason: payload, .. }
        | Signal::Down { reason: payload, .. } => Some(payload),
        Signal::SpawnRequest(request) => Some(&request.args),
        Signal::Link { .. } | Signal::Unlink { .. } | Signal::UnlinkAck { .. } | Signal::Monitor { .. } => None,
        Signal::Demonitor { .. } | Signal::GroupLeader { .. } | Signal::SpawnReply { .. } => None,
    };
    (format!("{signal:?}"), payload.map(|payload| payload.term().expect("a term")))
}

#[test]
fn every_signal_survives_every_kind_of_link() {
    for flags in links() {
        for signal in signals() {
            let mut wire = b"before".to_vec();
            assert!(encode(&signal, flags, &mut wire).expect("encodable").is_none());
            let got = received(&mut decoder(flags), &wire[6..]);
            assert_eq!(got.len(), 1);
            assert_eq!(shown(&got[0], flags), shown(&signal, flags), "{flags}");
        }
    }
}

#[test]
fn every_signal_survives_the_atom_cache_in_the_order_of_writing() {
    for flags in links() {
        let mut encoder = Encoder::caching(flags);
        let mut wire = Vec::new();
        for _ in 0..3 {
            for signal in signals() {
                assert!(encoder.encode(&signal, &mut wire).expect("encodable").is_none());
            }
        }
        let got = received(&mut decoder(flags), &wire);
        assert_eq!(got.len(), 3 * signals().len());
        for (got, sent) in got.iter().zip(signals().iter().cycle()) {
            assert_eq!(shown(got, flags), shown(sent, flags), "{flags}");
        }
    }
}

#[test]
fn a_cached_name_is_written_once() {
    let signal = Signal::Link { from: alice(), to: bob() };
    let mut encoder = Encoder::caching(FULL);
    let (mut first, mut second, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    encoder.encode(&signal, &mut first).expect("encodable");
    encoder.encode(&signal, &mut second).expect("encodable");
    encode(&signal, FULL, &mut alone).expect("encodable");
    assert!(second.len() < alone.len() && alone.len() < first.len());
    assert!(!second.windows(5).any(|window| window == b"alice"));
}

/// The number of the operation that a signal becomes.
fn op_of(signal: &Signal, flags: DFlags) -> u8 {
    let mut wire = Vec::new();
    encode(signal, flags, &mut wire).expect("encodable");
    let control = Bytes::from(wire).slice(if flags.has_headers() { 7.. } else { 6.. });
    let (control, _) = decode_front(&control, &[], &TermLimits::default()).expect("a term");
    let number = control.as_tuple().and_then(|elements| elements.first()).and_then(Term::as_i64);
    u8::try_from(number.expect("a number")).expect("a byte")
}

#[test]
fn the_operation_is_the_one_that_the_peer_knows() {
    let (from, to, reason) = (alice(), bob(), encoded(&Term::nil()));
    let body = reason.clone();
    let to_pid = Signal::Message { from: Some(from), to: Target::Pid(to), body: body.clone() };
    let to_alias = Signal::Message { from: Some(from), to: Target::Alias(reference()), body: body.clone() };
    let to_name = Signal::Message { from: Some(from), to: Target::Name(Atom::new("n")), body };
    let exit = Signal::Exit { from, to, reason: reason.clone() };
    let exit2 = Signal::Exit2 { from, to: Target::Pid(to), reason: reason.clone() };
    let down = Signal::Down { from: Target::Pid(from), to, reference: reference(), reason: reason.clone() };
    let exit_name = Signal::Exit2 { from, to: Target::Name(Atom::new("n")), reason };
    let table = [
        (&to_pid, DFlags::SEND_SENDER, 22, 2),
        (&to_alias, DFlags::ALTACT_SIG, 37, 33),
        (&to_name, DFlags::ALTACT_SIG, 6, 6),
        (&exit, DFlags::EXIT_PAYLOAD, 24, 3),
        (&exit2, DFlags::EXIT_PAYLOAD, 26, 8),
        (&down, DFlags::EXIT_PAYLOAD, 28, 21),
    ];
    for (signal, flag, with, without) in table {
        assert_eq!((op_of(signal, FULL), op_of(signal, FULL.without(flag))), (with, without), "{signal:?}");
    }
    assert_eq!(op_of(&exit_name, FULL), 37);
}

#[test]
fn what_the_peer_does_not_know_is_not_sent() {
    let (from, to, body) = (alice(), bob(), encoded(&Term::nil()));
    let name = Target::Name(Atom::new("n"));
    let alias = Target::Alias(reference());
    let request = signals().into_iter().find(|signal| matches!(signal, Signal::SpawnRequest(_))).expect("one of each");
    let reference = reference();
    let table = [
        (Signal::Message { from: Some(from), to: alias, body: body.clone() }, DFlags::ALIAS),
        (Signal::Exit2 { from, to: name, reason: body.clone() }, DFlags::ALTACT_SIG),
        (Signal::Monitor { from, to: Target::Pid(to), reference }, DFlags::DIST_MONITOR),
        (Signal::Monitor { from, to: name, reference }, DFlags::DIST_MONITOR_NAME),
        (Signal::Demonitor { from, to: name, reference }, DFlags::DIST_MONITOR_NAME),
        (request, DFlags::SPAWN),
    ];
    for (signal, flag) in table {
        let flags = FULL.without(flag).without(DFlags::ALTACT_SIG);
        let mut out = b"before".to_vec();
        assert_eq!(encode(&signal, flags, &mut out).err(), Some(Unsent::Lacks(flag)));
        assert_eq!(out, b"before");
    }
    let formless = [Signal::Message { from: None, to: name, body }, Signal::Monitor { from, to: alias, reference }];
    for signal in formless {
        assert_eq!(encode(&signal, FULL, &mut Vec::new()).err(), Some(Unsent::Formless));
    }
}

#[test]
fn a_signal_that_fails_leaves_the_cache_as_the_peer_knows_it() {
    let mut encoder = Encoder::caching(FULL);
    let Some(Signal::SpawnRequest(mut request)) =
        signals().into_iter().find(|signal| matches!(signal, Signal::SpawnRequest(_)))
    else {
        panic!("one of each")
    };
    request.options = Term::from(f64::NAN);
    let mut wire = Vec::new();
    let unsent = encoder.encode(&Signal::SpawnRequest(request), &mut wire);
    assert_eq!(unsent.err(), Some(Unsent::Value(EncodeError::NotFinite)));
    assert!(wire.is_empty());
    encoder.encode(&Signal::Link { from: alice(), to: bob() }, &mut wire).expect("encodable");
    assert_eq!(received(&mut decoder(FULL), &wire).len(), 1);
}

#[test]
fn a_forwarded_payload_is_sent_without_the_atoms_of_its_old_header() {
    let frame = [131, 68, 1, 8, 0, 1, b'a', 104, 3, 97, 2, 82, 0, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 82, 0];
    let signal = decoder(FULL).decode(Bytes::copy_from_slice(&frame)).expect("valid").expect("whole");
    let mut wire = Vec::new();
    encode(&signal, FULL, &mut wire).expect("encodable");
    let got = received(&mut decoder(FULL), &wire);
    assert_eq!(shown(&got[0], FULL).1, Some(Term::atom("a")));
}

/// A message whose payload lies in several pieces.
fn large(len: usize) -> (Signal, Term) {
    let content = Bytes::from((0..len).map(|at| at as u8).collect::<Vec<_>>());
    let body = Term::tuple([Term::from(content), Term::atom("between"), Term::binary([1; 70_000])]);
    (Signal::Message { from: Some(alice()), to: Target::Pid(bob()), body: encoded(&body) }, body)
}

#[test]
fn a_large_message_survives_every_kind_of_link() {
    let (signal, body) = large(300_000);
    for flags in links() {
        for mut encoder in [Encoder { cache: None, ..Encoder::caching(flags) }, Encoder::caching(flags)] {
            let mut out = b"before".to_vec();
            let large = encoder.encode(&signal, &mut out).expect("encodable").expect("large");
            assert_eq!(out, b"before");
            let frames: Vec<_> = large.frames(77).collect();
            let in_fragments = flags.contains(DFlags::FRAGMENTS);
            assert_eq!(frames.len(), if in_fragments { 6 } else { 1 }, "{flags}");
            let wire: Vec<u8> = frames.into_iter().flatten().flatten().collect();
            let got = received(&mut decoder(flags), &wire);
            assert_eq!(shown(&got[0], flags).1.as_ref(), Some(&body));
            assert_eq!(got.len(), 1);
        }
    }
}

/// A large message goes out in pieces between others, some of which were made after it.
#[test]
fn what_is_made_after_a_large_message_may_be_written_before_it() {
    let mut encoder = Encoder::caching(FULL);
    let (signal, _) = large(300_000);
    let mut batch = Vec::new();
    let large = encoder.encode(&signal, &mut batch).expect("encodable").expect("large");
    encoder.encode(&Signal::Link { from: alice(), to: bob() }, &mut batch).expect("encodable");
    let mut frames = large.frames(1).map(|frame| frame.into_iter().flatten().collect::<Vec<u8>>());
    let mut wire = batch;
    wire.extend(frames.next().expect("the first fragment"));
    encoder.encode(&Signal::Unlink { id: 1, from: alice(), to: bob() }, &mut wire).expect("encodable");
    wire.extend(frames.flatten());
    let got = received(&mut decoder(FULL), &wire);
    assert!(matches!(got[..], [Signal::Link { .. }, Signal::Unlink { .. }, Signal::Message { .. }]), "{got:?}");
}

#[test]
fn the_content_of_a_large_binary_is_written_from_where_it_lies() {
    let content = Bytes::from(vec![1; 1 << 20]);
    let body = encoded(&Term::from(content.clone()));
    let signal = Signal::Message { from: None, to: Target::Pid(bob()), body };
    let large = encode(&signal, FULL, &mut Vec::new()).expect("encodable").expect("large");
    let range = content.as_ptr_range();
    let lying: usize =
        large.frames(1).flatten().filter(|slice| range.contains(&slice.as_ptr())).map(|slice| slice.len()).sum();
    assert_eq!(lying, 1 << 20);
}

#[test]
fn a_message_of_one_fragment_is_sent_whole() {
    let body = encoded(&Term::binary([0; 20_000]));
    let signal = Signal::Message { from: None, to: Target::Pid(bob()), body };
    let large = encode(&signal, FULL, &mut Vec::new()).expect("encodable").expect("large");
    let frames: Vec<_> = large.frames(1).collect();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][0][4..6], [131, 68]);
}
