//! Names and shapes as Phoenix has them, subscribers of one node, queues that are not read.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::wire::{Forward, adapter_name, groups};
use super::{Broadcast, Entry, Lagged, PubSub, PubSubError, Subscriber, Subscription};
use crate::etf::Encoded;
use crate::handshake::Cookie;
use crate::node::{Config, Node};
use crate::phash2::phash2_range;
use crate::process::{Exited, Mail, Process, RegisterError};
use crate::term;
use crate::term::{Atom, Binary, Creation, NodeName, Pid, Term};
use crate::text::{Syntax, parse};

/// A test that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

fn lonely() -> Node {
    Node::new(Config::new(NodeName::new("lonely@h").unwrap(), Cookie::new("c").unwrap()), Creation(7), 1)
}

fn encoded(hex: &str) -> Encoded {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    Encoded::from_binary(&Bytes::from(bytes)).unwrap()
}

/// What Phoenix.PubSub 2.2.0 on OTP 25 (with old atoms) and 27 sent a worker's name: the topic, the message, the dispatcher.
/// The pubsub was `:my_pubsub`; OTP 29's bytes were those of 27.
const RECORDED: &[(&str, &[u8], &str, &str)] = &[
    (
        "8368047710666f72776172645f746f5f6c6f63616c6d00000007726f6f6d733a31680277066a6f696e6564740000000277046e616d656d00000003416e6e770361676561077715456c697869722e50686f656e69782e507562537562",
        b"rooms:1",
        "{joined,#{age => 7,name => <<\"Ann\">>}}",
        "Elixir.Phoenix.PubSub",
    ),
    (
        "836804640010666f72776172645f746f5f6c6f63616c6d00000007726f6f6d733a3168026400066a6f696e6564740000000264000361676561076400046e616d656d00000003416e6e640015456c697869722e50686f656e69782e507562537562",
        b"rooms:1",
        "{joined,#{age => 7,name => <<\"Ann\">>}}",
        "Elixir.Phoenix.PubSub",
    ),
    (
        "8368047710666f72776172645f746f5f6c6f63616c6d00000007726f6f6d733a317400000004770a5f5f7374727563745f5f771f456c697869722e50686f656e69782e536f636b65742e42726f6164636173747705746f7069636d00000007726f6f6d733a3177056576656e746d000000076e65775f6d736777077061796c6f616474000000016d00000004626f64796d000000026869771d456c697869722e50686f656e69782e4368616e6e656c2e536572766572",
        b"rooms:1",
        "#{event => <<\"new_msg\">>,payload => #{<<\"body\">> => <<\"hi\">>},topic => <<\"rooms:1\">>,'__struct__' => 'Elixir.Phoenix.Socket.Broadcast'}",
        "Elixir.Phoenix.Channel.Server",
    ),
    (
        "8368047710666f72776172645f746f5f6c6f63616c6d0000000200ff77036e696c7715456c697869722e50686f656e69782e507562537562",
        &[0, 255],
        "nil",
        "Elixir.Phoenix.PubSub",
    ),
    (
        "8368047710666f72776172645f746f5f6c6f63616c6d000000066469726563746b0001787715456c697869722e50686f656e69782e507562537562",
        b"direct",
        "\"x\"",
        "Elixir.Phoenix.PubSub",
    ),
];

/// Ids of pids of Phoenix's processes, and which of four groups each of them chose.
const CHOSEN: &[(u32, u32)] =
    &[(126, 1), (127, 1), (128, 2), (129, 2), (130, 0), (131, 0), (132, 0), (133, 0), (134, 3), (136, 2)];

#[test]
fn what_phoenix_sends_is_read_and_written_alike() {
    for (bytes, topic, message, dispatcher) in RECORDED {
        let recorded = encoded(bytes);
        let forward = Forward::read(&recorded).expect("a forward");
        assert_eq!((&forward.topic[..], forward.dispatcher.as_str()), (*topic, *dispatcher));
        assert_eq!(forward.message.term().unwrap(), parse(message, Syntax::Erlang).unwrap().0);
        assert_eq!(forward.encode().term(), recorded.term());
        // Old atoms are written by nobody any more.
        if !bytes.starts_with("83680464") {
            assert_eq!(forward.encode().to_binary(), recorded.to_binary());
        }
    }
}

#[test]
fn an_event_for_channels_is_phoenixs_struct() {
    let (bytes, ..) = RECORDED[2];
    let message = Forward::read(&encoded(bytes)).unwrap().message;
    let event: Broadcast<std::collections::BTreeMap<String, String>> = message.decode().unwrap();
    assert_eq!(
        (event.topic.as_str(), event.event.as_str(), event.payload["body"].as_str()),
        ("rooms:1", "new_msg", "hi")
    );
    assert_eq!(Encoded::of(&event).unwrap().term(), message.term());
}

#[test]
fn what_no_pubsub_sends_is_passed_over() {
    let plain = Term::atom("Elixir.Phoenix.PubSub");
    for term in [
        term!({:forward_to_local, "t", 1}),
        term!({:forward_to_remote, "t", 1, plain.clone()}),
        term!({:forward_to_local, :t, 1, plain.clone()}),
        term!({:forward_to_local, "t", 1, "no module"}),
        term!({:forward_to_local, "t", 1, plain, 5}),
        term!(:forward_to_local),
    ] {
        assert!(Forward::read(&Encoded::new(&term).unwrap()).is_none(), "{term}");
    }
}

#[test]
fn groups_have_the_names_of_each_version() {
    let adapter = adapter_name("MyApp.PubSub").unwrap();
    assert_eq!(adapter, "Elixir.MyApp.PubSub.Adapter");
    assert_eq!(adapter_name("Elixir.MyApp.PubSub"), Some(adapter));
    assert_eq!(adapter_name("my_pubsub").unwrap(), "Elixir.my_pubsub.Adapter");
    assert_eq!(adapter_name(&"x".repeat(250)), None);
    assert_eq!(groups(adapter, 1, false), Some(vec![adapter]));
    let numbered = |n| Atom::new(&format!("Elixir.MyApp.PubSub.Adapter_{n}"));
    assert_eq!(groups(adapter, 3, false), Some(vec![adapter, numbered(2), numbered(3)]));
    assert_eq!(groups(adapter, 2, true), Some(vec![numbered(1), numbered(2)]));
    assert_eq!(groups(Atom::new(&"x".repeat(255)), 2, false), None);
}

#[test]
fn a_pid_chooses_the_group_that_it_chooses_in_phoenix() {
    for (id, group) in CHOSEN {
        let pid = Pid { node: Atom::new("a@127.0.0.1"), id: *id, serial: 0, creation: Creation(0x6b09_c81e) };
        assert_eq!(phash2_range(&Term::Pid(pid), 4), Some(*group), "{id}");
    }
}

async fn mail(process: &mut Process) -> Result<Term, Exited> {
    let mail: Mail = tokio::time::timeout(AT_MOST, process.receive()).await.expect("mail comes in time")?;
    Ok(mail.term().unwrap())
}

fn read(subscription: &mut Subscription) -> Poll<Option<Result<Term, Lagged>>> {
    use futures_core::Stream as _;
    let next = std::pin::Pin::new(subscription).poll_next(&mut Context::from_waker(Waker::noop()));
    next.map(|item| item.map(|message| message.map(|message| message.term().unwrap())))
}

fn one(subscription: &mut Subscription) -> Term {
    match read(subscription) {
        Poll::Ready(Some(Ok(message))) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_but_the_one_that_says_it_hear_it() {
    let node = lonely();
    let pubsub = node.pubsub("P").start().unwrap();
    let (mut a, mut b) = (node.process(), node.process());
    let (mut stream, mut other) = (pubsub.subscribe("t").unwrap(), pubsub.subscribe("u").unwrap());
    for process in [&a, &b] {
        pubsub.subscribe_process("t", process.pid()).unwrap();
    }
    pubsub.broadcast("t", 1).await.unwrap();
    pubsub.broadcast_from(&a, "t", 2).await.unwrap();
    pubsub.local_broadcast_from(b.pid(), "t", 3).unwrap();
    pubsub.broadcast_from(&stream, "t", 4).await.unwrap();
    pubsub.local_broadcast(b"t", 5).unwrap();
    for (process, said) in [(&mut a, [1, 3, 4, 5]), (&mut b, [1, 2, 4, 5])] {
        for n in said {
            assert_eq!(mail(process).await, Ok(Term::from(n)));
        }
    }
    for n in [1, 2, 3, 5] {
        assert_eq!(one(&mut stream), Term::from(n));
    }
    assert_eq!((read(&mut stream), read(&mut other)), (Poll::Pending, Poll::Pending));
    // To its own node by way of its worker.
    pubsub.direct_broadcast(node.name().atom(), "t", 6).await.unwrap();
    let direct = tokio::time::timeout(AT_MOST, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(direct.term(), Ok(Term::from(6)));
}

#[tokio::test]
async fn subscriptions_end_with_their_process_their_stream_and_by_hand() {
    let node = lonely();
    let pubsub = node.pubsub("P").start().unwrap();
    let (mut twice, dying, stream) = (node.process(), node.process(), pubsub.subscribe("t").unwrap());
    for topic in ["t", "t", "u"] {
        pubsub.subscribe_process(topic, twice.pid()).unwrap();
        pubsub.subscribe_process(topic, dying.pid()).unwrap();
    }
    assert_eq!(pubsub.shared.counts(), (2, 2));
    pubsub.local_broadcast("t", 1).unwrap();
    pubsub.unsubscribe("t", twice.pid());
    pubsub.local_broadcast("t", 2).unwrap();
    pubsub.local_broadcast("u", 3).unwrap();
    for n in [1, 1, 3] {
        assert_eq!(mail(&mut twice).await, Ok(Term::from(n)));
    }
    drop((dying, stream));
    let dead = node.process().pid();
    pubsub.subscribe_process("t", dead).unwrap();
    let gone = async {
        while pubsub.shared.counts() != (1, 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(AT_MOST, gone).await.expect("who has ended is forgotten");
    pubsub.unsubscribe("u", twice.pid());
    assert_eq!(pubsub.shared.counts(), (0, 0));
    let elsewhere = Pid { node: Atom::new("other@h"), ..twice.pid() };
    assert_eq!(pubsub.subscribe_process("t", elsewhere), Err(PubSubError::NoLocal(elsewhere)));
}

#[tokio::test]
async fn a_stream_that_is_not_read_keeps_the_newest_and_says_what_it_lost() {
    let node = lonely();
    let pubsub = node.pubsub("P").start().unwrap();
    let mut few = pubsub.subscribing("t").capacity(3).stream().unwrap();
    let mut small = pubsub.subscribing("t").max_bytes(100).stream().unwrap();
    for n in 0..10 {
        pubsub.local_broadcast("t", n).unwrap();
    }
    assert_eq!(read(&mut few), Poll::Ready(Some(Err(Lagged(7)))));
    assert_eq!([one(&mut few), one(&mut few), one(&mut few)], [7, 8, 9].map(Term::from));
    assert_eq!(read(&mut few), Poll::Pending);
    // One that is too large for it is kept, alone.
    let large = Term::from("x".repeat(1000));
    pubsub.local_broadcast("t", &large).unwrap();
    assert_eq!(read(&mut small), Poll::Ready(Some(Err(Lagged(10)))));
    assert_eq!((one(&mut small), read(&mut small)), (large, Poll::Pending));
    pubsub.local_broadcast("t", 11).unwrap();
    assert_eq!(one(&mut small), Term::from(11));
}

#[tokio::test]
async fn dispatchers_see_who_subscribed_with_what_and_unknown_ones_deliver_as_it_is() {
    let node = lonely();
    let odd = |entries: &[Entry<'_>], from: Option<Subscriber>, message: &Encoded| {
        for entry in entries.iter().filter(|entry| Some(entry.subscriber()) != from) {
            let parts = [Encoded::new(entry.metadata()).unwrap(), message.clone()];
            entry.send(Encoded::tuple(&parts));
        }
    };
    let pubsub = node.pubsub("P").dispatcher("Elixir.Odd", odd).start().unwrap();
    let mut process = node.process();
    pubsub.subscribing("t").metadata(Term::atom("fast")).process(process.pid()).unwrap();
    let mut stream = pubsub.subscribe("t").unwrap();
    pubsub.with_dispatcher("Elixir.Odd").broadcast("t", 1).await.unwrap();
    pubsub.with_dispatcher("Elixir.Odd").broadcast_from(&process, "t", 2).await.unwrap();
    pubsub.with_dispatcher("Elixir.Unknown").broadcast_from(&stream, "t", 3).await.unwrap();
    pubsub.channel_broadcast("t", "e", term!(%{n: 1})).await.unwrap();
    assert_eq!(mail(&mut process).await, Ok(term!({:fast, 1})));
    assert_eq!(mail(&mut process).await, Ok(Term::from(3)));
    assert_eq!([one(&mut stream), one(&mut stream)], [term!({nil, 1}), term!({nil, 2})]);
    let event = one(&mut stream);
    assert!(event.as_map().unwrap().get_atom("__struct__").unwrap().is_atom("Elixir.Phoenix.Socket.Broadcast"));
}

#[tokio::test]
async fn a_worker_that_is_killed_comes_back_as_a_member() {
    let node = lonely();
    let pubsub = node.pubsub("P").pool_size(2).start().unwrap();
    let [first, second] = pubsub.groups() else { panic!("two groups") };
    let before = node.whereis(*second).unwrap();
    node.process().exit(before, &Term::atom("kill")).unwrap();
    let again = async {
        while node.whereis(*second).is_none_or(|worker| node.pg("Elixir.Phoenix.PubSub").members(*second) != [worker]) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(AT_MOST, again).await.expect("it comes back");
    assert_ne!(node.whereis(*second), Some(before));
    // Messages that it does not know do it no harm.
    let (worker, process) = (node.whereis(*first).unwrap(), node.process());
    let mut stream = pubsub.subscribe("t").unwrap();
    process.send(worker, "junk").await.unwrap();
    let forward =
        Forward { topic: Binary::copied(b"t"), message: Encoded::of(&1).unwrap(), dispatcher: Atom::new("Elixir.Odd") };
    process.send_encoded(worker, forward.encode()).await.unwrap();
    assert_eq!(tokio::time::timeout(AT_MOST, stream.next()).await.unwrap().unwrap().unwrap().term(), Ok(Term::from(1)));
    assert_eq!(node.whereis(*first), Some(worker));
}

#[tokio::test]
async fn its_names_are_its_own_until_it_stops() {
    let node = lonely();
    assert_eq!(node.pubsub("P").pool_size(0).start().unwrap_err(), PubSubError::PoolSize);
    assert_eq!(node.pubsub("P").pool_size(2).broadcast_pool_size(3).start().unwrap_err(), PubSubError::PoolSize);
    assert_eq!(node.pubsub("x".repeat(250)).start().unwrap_err(), PubSubError::Name);
    let pubsub: PubSub = node.pubsub("P").pool_size(3).start().unwrap();
    assert_eq!(node.pubsub("P").start().unwrap_err(), PubSubError::Register(RegisterError::Taken));
    let other = node.pubsub("Q").start().unwrap();
    let mut stream = pubsub.subscribe("t").unwrap();
    let process = node.process();
    let used = pubsub.used_by(&process);
    drop(process);
    assert_eq!(used.local_broadcast("t", 1), Err(PubSubError::Ended));
    assert_eq!(used.broadcast("t", 1).await, Err(PubSubError::Ended));
    pubsub.stop();
    assert_eq!(read(&mut stream), Poll::Ready(None));
    assert_eq!(pubsub.subscribe("t").unwrap_err(), PubSubError::Ended);
    assert_eq!(pubsub.broadcast("t", 1).await, Err(PubSubError::Ended));
    let again = node.pubsub("P").start().unwrap();
    let shared = Arc::clone(&again.shared);
    let mut stream = again.subscribe("t").unwrap();
    node.shutdown().await;
    assert_eq!(read(&mut stream), Poll::Ready(None));
    assert!(!shared.runs());
    drop(other);
}
