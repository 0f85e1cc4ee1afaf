use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const PREFIXES: [Prefix; 2] = [Prefix::U16, Prefix::U32];

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a node name")
}

fn cookie(text: &str) -> Cookie {
    Cookie::new(text).expect("a cookie")
}

fn local(text: &str, creation: u32) -> Local {
    Local { name: name(text), creation: Creation(creation), flags: DFlags::default_visible() }
}

/// What each end came to.
type Outcome = Result<Established, HandshakeError>;

/// Both ends in memory, the bytes between them delivered `chunk` at a time.
struct Pair {
    alice: Local,
    bob: Local,
    cookies: [Cookie; 2],
    verdict: Verdict,
    insist: bool,
    prefix: Prefix,
    chunk: usize,
    /// Alice has no name and asks for one.
    nameless: bool,
    /// The first message in place of Alice's own.
    opener: Option<Vec<u8>>,
}

impl Pair {
    fn new() -> Self {
        Self {
            alice: local("alice@h", 11),
            bob: local("bob@h", 22),
            cookies: [cookie("same"), cookie("same")],
            verdict: Verdict::Ok,
            insist: false,
            prefix: Prefix::U16,
            chunk: 1,
            nameless: false,
            opener: None,
        }
    }

    /// Until neither has anything to say. Afterwards nobody may hold bytes it did not read.
    fn drive(self) -> (Outcome, Outcome) {
        let [cookie_a, cookie_b] = self.cookies;
        let challenge = Challenge(1_000);
        let peer = self.bob.name;
        let (alice, first) = if self.nameless {
            Initiator::dial_nameless("h", self.alice.flags, peer, cookie_a, challenge, self.prefix)
        } else {
            Initiator::dial(self.alice, peer, cookie_a, challenge, self.prefix)
        };
        let mut to_bob = BytesMut::from(&self.opener.unwrap_or(first)[..]);
        let mut to_alice = BytesMut::new();
        let (mut alice, mut bob) = (Ok(alice), Ok(Acceptor::new(self.bob, self.prefix)));
        let insist = self.insist;
        let verdict = self.verdict;
        loop {
            let quiet = to_alice.is_empty() && to_bob.is_empty();
            bob =
                deliver(bob, &mut to_bob, &mut to_alice, self.prefix, self.chunk, Acceptor::handle, |incoming, out| {
                    let step = match incoming {
                        Incoming::Named(caller) => caller.answer(verdict, cookie_b.clone(), Challenge(2_000)),
                        Incoming::Nameless(nameless) => {
                            let given = dynamic_name(123_456_789, nameless.host()).expect("a host");
                            nameless.name_it(given, Creation(33), cookie_b.clone(), Challenge(2_000))
                        }
                    };
                    settle(step, out)
                });
            if matches!(bob, Err(Err(_))) && to_alice.is_empty() {
                alice = alice.and_then(|machine| Err(Err(machine.closed())));
            }
            alice =
                deliver(alice, &mut to_alice, &mut to_bob, self.prefix, self.chunk, Initiator::handle, |still, out| {
                    if insist {
                        let (bytes, next) = still.insist();
                        out.extend_from_slice(&bytes);
                        Ok(next)
                    } else {
                        let (bytes, error) = still.give_up();
                        out.extend_from_slice(&bytes);
                        Err(Err(error))
                    }
                });
            if quiet {
                break;
            }
        }
        let over = "nothing more can arrive";
        (alice.map(|_| ()).expect_err(over), bob.map(|machine| machine.closed()).map_or_else(|outcome| outcome, Err))
    }
}

/// A machine that goes on, or what it came to.
type Driven<M> = Result<M, Outcome>;

/// Carries out what needs no decision.
fn settle<M, D: std::fmt::Debug>(step: Step<M, D>, out: &mut BytesMut) -> Driven<M> {
    match step {
        Step::Continue { send, next } => {
            out.extend_from_slice(&send);
            Ok(next)
        }
        Step::Refused { send, error } => {
            out.extend_from_slice(&send);
            Err(Err(error))
        }
        Step::Established { send, established } => {
            out.extend_from_slice(&send);
            Err(Ok(established))
        }
        Step::Decide(decision) => panic!("a second decision: {decision:?}"),
    }
}

fn deliver<M, D: std::fmt::Debug>(
    driven: Driven<M>,
    input: &mut BytesMut,
    output: &mut BytesMut,
    prefix: Prefix,
    chunk: usize,
    handle: impl Fn(M, &[u8]) -> Result<Step<M, D>, HandshakeError>,
    decide: impl Fn(D, &mut BytesMut) -> Driven<M>,
) -> Driven<M> {
    let mut machine = driven?;
    let mut read = BytesMut::new();
    loop {
        let Some(body) = prefix.split(&mut read).map_err(Err)? else {
            if input.is_empty() {
                assert!(read.is_empty(), "a message was cut short");
                return Ok(machine);
            }
            read.extend_from_slice(&input.split_to(chunk.min(input.len())));
            continue;
        };
        machine = match handle(machine, &body).map_err(Err)? {
            Step::Decide(decision) => decide(decision, output)?,
            step => settle(step, output)?,
        };
    }
}

fn established(outcome: Outcome) -> Established {
    outcome.expect("the handshake succeeds")
}

#[test]
fn two_nodes_agree_however_the_bytes_arrive() {
    for prefix in PREFIXES {
        for chunk in [1, 3, 1000] {
            let (alice, bob) = Pair { prefix, chunk, ..Pair::new() }.drive();
            let (alice, bob) = (established(alice), established(bob));
            assert_eq!((alice.peer, alice.peer_creation), (name("bob@h"), Creation(22)));
            assert_eq!((bob.peer, bob.peer_creation), (name("alice@h"), Creation(11)));
            assert_eq!((alice.name, alice.creation), (name("alice@h"), Creation(11)));
            assert_eq!(alice.flags, bob.flags);
            assert!(alice.is_visible() && !alice.replaces && !bob.replaces);
        }
    }
}

#[test]
fn other_cookies_are_found_out_by_the_acceptor_and_told_apart_by_the_initiator() {
    let (alice, bob) = Pair { cookies: [cookie("one"), cookie("other")], ..Pair::new() }.drive();
    assert_eq!(bob, Err(HandshakeError::BadCookie));
    assert_eq!(alice, Err(HandshakeError::CookieRejected));
}

#[test]
fn an_acceptor_that_does_not_know_the_cookie_is_found_out() {
    let (alice, _) = Initiator::dial(local("a@h", 1), name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    let alice = next(alice.handle(b"sok"));
    let alice = next(alice.handle(&challenge_of("b@h", DFlags::default_visible())));
    assert_eq!(alice.handle(&[b"a".as_slice(), &[0; 16]].concat()).err(), Some(HandshakeError::BadCookie));
}

#[test]
fn verdicts_reach_the_initiator() {
    let cases = [
        (Verdict::Nok, HandshakeError::Simultaneous, HandshakeError::Simultaneous),
        (Verdict::NotAllowed, HandshakeError::NotAllowed, HandshakeError::Refused),
        (Verdict::Alive, HandshakeError::Alive, HandshakeError::Alive),
        (Verdict::Close, HandshakeError::Closed { expected: "status" }, HandshakeError::Contended),
    ];
    for (verdict, at_alice, at_bob) in cases {
        let (alice, bob) = Pair { verdict, ..Pair::new() }.drive();
        assert_eq!((alice, bob), (Err(at_alice), Err(at_bob)), "{verdict:?}");
    }
    let (alice, bob) = Pair { verdict: Verdict::OkSimultaneous, ..Pair::new() }.drive();
    assert!(alice.is_ok() && bob.is_ok());
}

#[test]
fn an_old_connection_is_replaced_only_when_the_caller_has_proved_itself() {
    let (alice, bob) = Pair { verdict: Verdict::Alive, insist: true, ..Pair::new() }.drive();
    assert!(established(bob).replaces);
    assert!(!established(alice).replaces);

    let cookies = [cookie("one"), cookie("other")];
    let (_, bob) = Pair { verdict: Verdict::Alive, insist: true, cookies, ..Pair::new() }.drive();
    assert_eq!(bob, Err(HandshakeError::BadCookie));
}

#[test]
fn the_greater_name_keeps_its_own_attempt_and_nobody_replaces_a_third() {
    let (low, high) = (name("aa@h"), name("zz@h"));
    let table = [
        (low, high, Existing::None, Verdict::Ok),
        (low, high, Existing::Pending, Verdict::OkSimultaneous),
        (high, low, Existing::Pending, Verdict::Nok),
        (low, high, Existing::Up, Verdict::Alive),
        (high, low, Existing::Up, Verdict::Alive),
        (low, high, Existing::UpPending, Verdict::Close),
        (low, low, Existing::None, Verdict::Nok),
    ];
    for (ours, caller, existing, expected) in table {
        assert_eq!(verdict(&ours, &caller, existing), expected, "{ours} called by {caller} while {existing:?}");
    }
    // Exactly one of two crossing attempts survives, whichever arrives first.
    assert_ne!(verdict(&low, &high, Existing::Pending), verdict(&high, &low, Existing::Pending));
}

#[test]
fn a_caller_of_our_own_name_is_told_so() {
    let twin = Pair {
        alice: local("bob@h", 11),
        verdict: verdict(&name("bob@h"), &name("bob@h"), Existing::None),
        ..Pair::new()
    };
    let (alice, bob) = twin.drive();
    assert_eq!(bob, Err(HandshakeError::OurName { name: name("bob@h") }));
    assert_eq!(alice, Err(HandshakeError::Simultaneous));
}

#[test]
fn a_nameless_node_is_given_a_name_and_is_hidden() {
    let (alice, bob) = Pair { nameless: true, ..Pair::new() }.drive();
    let (alice, bob) = (established(alice), established(bob));
    assert_eq!((alice.name, alice.creation), (name("21I3V9@h"), Creation(33)));
    assert_eq!((bob.peer, bob.peer_creation), (alice.name, alice.creation));
    assert!(alice.flags.contains(DFlags::NAME_ME) && !alice.is_visible() && !bob.is_visible());
}

#[test]
fn a_node_that_gives_no_names_says_so() {
    let flags = DFlags::default_hidden();
    let (_, first) = Initiator::dial_nameless("h", flags, name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    let bob = Acceptor::new(local("b@h", 1), Prefix::U16);
    let Ok(Step::Decide(Incoming::Nameless(nameless))) = bob.handle(&first[2..]) else { panic!("a nameless caller") };
    let Step::Refused { send, error } = nameless.refuse() else { panic!("a refusal") };
    assert_eq!((&send[2..], error), (&b"snot_allowed"[..], HandshakeError::Refused));
}

#[test]
fn a_name_that_nobody_asked_for_is_refused_and_so_is_none_when_one_was_asked_for() {
    let named = b"snamed:\x00\x03a@h\x00\x00\x00\x07";
    let (alice, _) = Initiator::dial(local("a@h", 1), name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    assert_eq!(alice.handle(named).err(), Some(HandshakeError::Malformed { message: "status" }));

    let flags = DFlags::default_visible();
    let (alice, _) = Initiator::dial_nameless("h", flags, name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    assert_eq!(alice.handle(b"sok").err(), Some(HandshakeError::Malformed { message: "status" }));
}

#[test]
fn flags_that_a_side_lacks_are_named() {
    let digest = DFlags::MANDATORY_25_DIGEST;
    let v4_and_unlink = DFlags::V4_NC | DFlags::UNLINK_ID;
    let none = DFlags::default();
    let table = [
        // What a caller publishes, and what it is found to lack.
        (DFlags::from_bits(0xD_07DF_7FBC), none),  // OTP 25 and 27
        (DFlags::from_bits(0x6D_07DF_7FBC), none), // OTP 29
        (digest | v4_and_unlink, none),            // the shorthand
        (DFlags::MANDATORY_26, none),              // all explicit
        (digest, v4_and_unlink),                   // enough for OTP 25 only
        (DFlags::MANDATORY_25, v4_and_unlink),
        (DFlags::MANDATORY_26.without(DFlags::MAP_TAG), DFlags::MAP_TAG),
    ];
    for (flags, lacks) in table {
        let alice = Local { flags, ..local("alice@h", 11) };
        let (alice, bob) = Pair { alice, ..Pair::new() }.drive();
        if lacks.is_empty() {
            assert_eq!(established(bob).flags, flags.expanded() & DFlags::default_visible());
        } else {
            let missing = MissingFlags { ours: none, theirs: lacks };
            assert_eq!(bob, Err(HandshakeError::Incompatible(missing)), "{flags}");
            assert_eq!(alice, Err(HandshakeError::NotAllowed));
            assert_eq!(missing.to_string(), format!("it lacks {lacks}"));
        }
    }
}

#[test]
fn an_initiator_checks_the_flags_of_who_answers() {
    let (alice, _) = Initiator::dial(local("a@h", 1), name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    let alice = next(alice.handle(b"sok"));
    let error = alice.handle(&challenge_of("b@h", DFlags::MANDATORY_25)).expect_err("flags are missing");
    assert_eq!(error.to_string(), "incompatible peer: it lacks UNLINK_ID, V4_NC");
}

#[test]
fn another_node_than_the_dialled_one_is_left() {
    let (alice, _) = Initiator::dial(local("a@h", 1), name("b@h"), cookie("c"), Challenge(1), Prefix::U16);
    let alice = next(alice.handle(b"sok_simultaneous"));
    let error = alice.handle(&challenge_of("c@h", DFlags::default_visible())).err();
    assert_eq!(error, Some(HandshakeError::WrongName { dialled: name("b@h"), answered: "c@h".into() }));
}

#[test]
fn names_without_both_parts_are_closed_without_a_word() {
    for bad in ["", "alice", "a@b@c", "@h", "a@"] {
        let error = Acceptor::new(local("bob@h", 1), Prefix::U16).handle(&opening(bad)).err();
        assert_eq!(error, Some(HandshakeError::BadName { name: bad.into() }));
    }
}

/// The `n` opener: version, lower flags, name to the end; its complement follows the challenge.
#[test]
fn an_old_opener_is_answered_and_its_upper_flags_are_checked_late() {
    let flags = DFlags::default_visible().bits();
    let mut opener = vec![b'n', 0, 5];
    opener.extend_from_slice(&(flags as u32).to_be_bytes());
    opener.extend_from_slice(b"old@h");
    for (upper, outcome) in [((flags >> 32) as u32, None), (0, Some(DFlags::V4_NC))] {
        let bob = Acceptor::new(local("bob@h", 1), Prefix::U16);
        let Ok(Step::Decide(Incoming::Named(caller))) = bob.handle(&opener) else { panic!("a caller") };
        let Step::Continue { send, next: bob } = caller.answer(Verdict::Ok, cookie("c"), Challenge(9)) else {
            panic!("status and challenge")
        };
        assert_eq!(send[..5], *b"\0\x03sok");
        let complement = [b"c".as_slice(), &upper.to_be_bytes(), &77u32.to_be_bytes()].concat();
        let bob = next(bob.handle(&complement));
        let mut reply = vec![b'r', 0, 0, 0, 5];
        reply.extend_from_slice(digest::Digest::new(&cookie("c"), Challenge(9)).bytes());
        match (bob.handle(&reply).expect("well-formed"), outcome) {
            (Step::Established { established, .. }, None) => {
                assert_eq!((established.peer, established.peer_creation), (name("old@h"), Creation(77)));
            }
            (Step::Refused { send, error }, Some(theirs)) => {
                assert_eq!(send, b"\0\x0csnot_allowed");
                assert_eq!(error, HandshakeError::Incompatible(MissingFlags { ours: DFlags::default(), theirs }));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_truncation_of_every_message_is_malformed() {
    let dial = || Initiator::dial(local("a@h", 1), name("b@h"), cookie("c"), Challenge(1), Prefix::U16).0;
    let challenge = challenge_of("b@h", DFlags::default_visible());
    let to_ack = || next(next(dial().handle(b"sok")).handle(&challenge));
    let bob = || Acceptor::new(local("b@h", 1), Prefix::U16);
    let to_reply = || {
        let Ok(Step::Decide(Incoming::Named(caller))) = bob().handle(&opening("a@h")) else { panic!("a caller") };
        next(Ok(caller.answer(Verdict::Ok, cookie("c"), Challenge(1))))
    };
    let malformed = |error: Option<HandshakeError>| matches!(error, Some(HandshakeError::Malformed { .. }));
    for cut in 0..challenge.len() {
        assert!(malformed(next(dial().handle(b"sok")).handle(&challenge[..cut]).err()), "challenge of {cut}");
    }
    for cut in 0..17 {
        let ack = [b"a".as_slice(), &[0; 16]].concat();
        assert!(malformed(to_ack().handle(&ack[..cut]).err()), "acknowledgement of {cut}");
    }
    for cut in 0..21 {
        let reply = [b"r".as_slice(), &[0; 20]].concat();
        assert!(malformed(to_reply().handle(&reply[..cut]).err()), "reply of {cut}");
    }
    let opening = opening("a@h");
    for cut in 0..opening.len() {
        assert!(malformed(bob().handle(&opening[..cut]).err()), "opening of {cut}");
    }
    for status in ["s", "so", "sokk", "sal", "snamed:", "snamed:\0\u{3}a@", "snamed:\0\u{3}a@h\0"] {
        assert!(malformed(dial().handle(status.as_bytes()).err()), "{status}");
    }
}

#[test]
fn a_message_that_is_not_due_is_named() {
    let bob = Acceptor::new(local("b@h", 1), Prefix::U16);
    assert_eq!(bob.closed(), HandshakeError::Closed { expected: "name" });
    assert_eq!(bob.handle(b"sok").err(), Some(HandshakeError::Unexpected { expected: "name", tag: b's' }));
}

#[test]
fn what_follows_a_name_is_room_for_extensions() {
    let bob = Acceptor::new(local("b@h", 1), Prefix::U16);
    let extended = [opening("a@h"), vec![1, 2, 3]].concat();
    let Ok(Step::Decide(Incoming::Named(caller))) = bob.handle(&extended) else { panic!("a caller") };
    assert_eq!(caller.name(), name("a@h"));
}

#[test]
fn the_byte_after_the_last_message_is_left_to_the_frames() {
    let mut buffer = BytesMut::from(&b"\0\x03sok\0\0\0\0"[..]);
    assert_eq!(Prefix::U16.split(&mut buffer).expect("short"), Some(b"sok"[..].into()));
    assert_eq!(buffer[..], [0, 0, 0, 0]);
}

#[test]
fn a_long_message_is_refused_before_it_is_read() {
    for prefix in PREFIXES {
        let mut buffer = BytesMut::from(&[0xFF; 4][..]);
        assert!(matches!(prefix.split(&mut buffer), Err(HandshakeError::TooLong { .. })));
    }
}

#[test]
fn dynamic_names_are_made_of_the_whole_number() {
    assert_eq!(dynamic_name(0, "h"), Some(name("0@h")));
    assert_eq!(dynamic_name(u64::MAX, "h"), Some(name("3W5E11264SGSF@h")));
    assert_eq!(dynamic_name(1, "not a host"), None);
}

proptest! {
    #[test]
    fn no_bytes_make_either_machine_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_handshake(&data);
    }

    /// Starts from messages that get far, and changes a few bytes.
    #[test]
    fn no_mutation_of_a_real_handshake_panics(changes in proptest::collection::vec((0usize..200, any::<u8>()), 0..6)) {
        let mut data = Vec::new();
        for body in [opening("a@h"), b"strue".to_vec(), challenge_of("b@h", DFlags::default_visible()), vec![b'r'; 21]] {
            data.extend_from_slice(&(body.len() as u16).to_be_bytes());
            data.extend_from_slice(&body);
        }
        for (at, byte) in changes {
            let at = at % data.len();
            data[at] = byte;
        }
        fuzz_handshake(&data);
    }
}

fn next<M, D: std::fmt::Debug>(step: Result<Step<M, D>, HandshakeError>) -> M {
    match step {
        Ok(Step::Continue { next, .. }) => next,
        Ok(Step::Decide(decision)) => panic!("a decision: {decision:?}"),
        Ok(Step::Refused { error, .. }) | Err(error) => panic!("{error}"),
        Ok(Step::Established { .. }) => panic!("over already"),
    }
}

/// The body of an `N` opening of a node with our own flags.
fn opening(name: &str) -> Vec<u8> {
    let flags = DFlags::default_visible().bits().to_be_bytes();
    let len = (name.len() as u16).to_be_bytes();
    [b"N".as_slice(), &flags, &[0, 0, 0, 9], &len, name.as_bytes()].concat()
}

/// The body of an `N` challenge.
fn challenge_of(name: &str, flags: DFlags) -> Vec<u8> {
    let flags = flags.bits().to_be_bytes();
    let len = (name.len() as u16).to_be_bytes();
    [b"N".as_slice(), &flags, &[0, 0, 48, 57], &[0, 0, 0, 8], &len, name.as_bytes()].concat()
}
