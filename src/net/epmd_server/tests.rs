use super::*;

use std::net::Ipv4Addr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::epmd::Registration;
use crate::net::epmd_client as client;

/// An EPMD on a port of its own, with what a test sets.
async fn start(change: impl FnOnce(&mut Settings)) -> (SocketAddr, Running) {
    let listen = Config { port: 0, addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let mut settings = Settings { listen, ..Settings::default() };
    change(&mut settings);
    let server = EpmdServer::bind(settings).await.unwrap();
    (server.local_addrs()[0], server.spawn())
}

async fn start_relaxed() -> (SocketAddr, Running) {
    start(|settings| settings.relaxed_command_check = true).await
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

fn alive2(name: &[u8], highest: u16, extra: &[u8]) -> Vec<u8> {
    let count = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let versions = [highest.to_be_bytes(), 5_u16.to_be_bytes()].concat();
    [b"x\x03\xe8M\0", &versions[..], &count(name), name, &count(extra), extra].concat()
}

async fn dial(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

async fn sent(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = dial(addr).await;
    // A daemon that closes early may do so before all is written.
    let _ = stream.write_all(bytes).await;
    stream
}

/// All that is said until the close; a reset is a close.
async fn heard(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all)).await.expect("not closed");
    all
}

async fn ask(addr: SocketAddr, body: &[u8]) -> Vec<u8> {
    heard(sent(addr, &packet(body)).await).await
}

/// Sends an ALIVE2 and takes its reply.
async fn register(addr: SocketAddr, name: &str) -> (TcpStream, [u8; 6]) {
    let mut stream = sent(addr, &packet(&alive2(name.as_bytes(), 6, b""))).await;
    let mut reply = [0; 6];
    stream.read_exact(&mut reply).await.unwrap();
    (stream, reply)
}

async fn names(addr: SocketAddr) -> Vec<String> {
    client::names(addr).await.unwrap().into_iter().map(|(name, _)| name).collect()
}

/// Until that many names are registered.
async fn settle(addr: SocketAddr, count: usize) {
    let start = Instant::now();
    while names(addr).await.len() != count {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", names(addr).await);
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_registers_is_found_and_is_gone_when_it_closes() {
    let (addr, server) = start(|_| {}).await;
    let node = Registration { extra: b"ABC\0\0".into(), ..Registration::new("a", 5555).hidden() };
    let registered = client::register(addr, &node).await.unwrap();
    assert!(registered.creation() > 1_600_000_000);
    assert_eq!(client::port_please(addr, "a").await, Ok(node.clone()));
    assert_eq!(client::names(addr).await, Ok(vec![("a".to_owned(), 5555)]));
    assert_eq!(client::register(addr, &node).await.map(|_| ()), Err(Error::NameInUse("a".into())));
    drop(registered);
    settle(addr, 0).await;
    assert_eq!(client::port_please(addr, "a").await, Err(Error::NameNotRegistered("a".into())));
    server.shutdown().await;
    assert_eq!(client::names(addr).await, Err(Error::NoEpmd(addr)));
}

#[tokio::test]
async fn a_node_that_restarts_at_once_has_its_name_back_and_the_next_creation() {
    let (addr, _server) = start(|_| {}).await;
    let mut creations = Vec::new();
    for _ in 0..200 {
        creations.push(client::register(addr, &Registration::new("a", 1)).await.unwrap().creation());
    }
    assert!(creations.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[tokio::test]
async fn the_end_of_the_daemon_is_seen_by_its_nodes() {
    let (addr, server) = start(|_| {}).await;
    let mut registered = client::register(addr, &Registration::new("a", 1)).await.unwrap();
    server.shutdown().await;
    registered.closed().await;
}

#[tokio::test]
async fn a_byte_on_a_registration_ends_it() {
    let (addr, _server) = start(|_| {}).await;
    let (mut stream, _) = register(addr, "a").await;
    stream.write_all(b"!").await.unwrap();
    settle(addr, 0).await;
    assert_eq!(heard(stream).await, b"");
}

#[tokio::test]
async fn a_refused_node_is_told_and_not_hung_up_on() {
    let (addr, _server) = start(|settings| settings.packet_timeout = Duration::from_secs(1)).await;
    let (_a, _) = register(addr, "a").await;
    let (mut second, reply) = register(addr, "a").await;
    assert_eq!(reply, *b"v\x01\0\0\0\x63");
    let more = tokio::time::timeout(Duration::from_millis(300), second.read_u8()).await;
    assert!(more.is_err(), "{more:?}");
    // Unlike the original, which keeps it for ever.
    assert_eq!(heard(second).await, b"");
    assert_eq!(names(addr).await, ["a"]);
}

#[tokio::test]
async fn nodes_of_old_get_replies_of_old() {
    let (addr, _server) = start(|_| {}).await;
    let mut stream = sent(addr, &packet(&alive2(b"a", 5, b""))).await;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.unwrap();
    assert!(matches!(reply, [b'y', 0, 0, 1..=3]), "{reply:?}");
}

#[tokio::test]
async fn long_names_of_long_characters_are_taken() {
    let (addr, _server) = start(|_| {}).await;
    let name: String = ('\u{1f600}'..).take(201).collect();
    let node = Registration { extra: vec![0; 1020], ..Registration::new(&*name, 4711) };
    let _registered = client::register(addr, &node).await.unwrap();
    assert_eq!(client::port_please(addr, &name).await, Ok(node));
}

#[tokio::test]
async fn names_and_extra_data_that_are_too_long_or_bad_are_refused_with_a_reply() {
    let (addr, _server) = start(|_| {}).await;
    let oversized = [b"a".repeat(600), b"\xff\xff".to_vec(), "é".repeat(256).into_bytes()];
    let bodies = oversized.iter().map(|name| alive2(name, 6, b"")).chain([alive2(b"a", 6, &[255; 1021])]);
    for body in bodies {
        let mut stream = sent(addr, &packet(&body)).await;
        let mut reply = [0; 6];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, *b"v\x01\0\0\0\x63");
    }
    assert_eq!(names(addr).await, [] as [&str; 0]);
}

#[tokio::test]
async fn what_is_no_request_is_closed_without_a_word() {
    let (addr, _server) = start(|_| {}).await;
    let whole = alive2(b"foo", 6, b"");
    let mut bad = vec![
        vec![0; 10],                            // no length
        packet(&b"z".repeat(63_000)),           // too long
        packet(&b"n".repeat(3058)),             // by one
        [packet(b"n"), b"n".to_vec()].concat(), // more than its length
        packet(b"?"),
        packet(b"z"),
        packet(b"z\0"),
        packet(b"zfoo\0bar"),
        packet(b"z\xff"),
        packet(&[&b"z"[..], &b"a".repeat(255)].concat()),
        packet(&alive2(b"foo\0bar", 6, b"")),
        packet(&alive2(b"foobar\0", 6, b"")),
        packet(&alive2(b"", 6, b"")),
        packet(&alive2(b"", 6, b"extra")),
        packet(b"sfoo"), // not relaxed
    ];
    bad.extend((1..whole.len()).map(|end| packet(&whole[..end])));
    for bytes in bad {
        assert_eq!(heard(sent(addr, &bytes).await).await, b"", "{:x?}", &bytes[..bytes.len().min(40)]);
    }
    assert_eq!(names(addr).await, [] as [&str; 0]);
}

#[tokio::test]
async fn requests_may_come_slowly_but_not_never() {
    // All four bytes take longer, and no pause comes near it.
    let (addr, _server) = start(|settings| settings.packet_timeout = Duration::from_secs(3)).await;
    let (_a, _) = register(addr, "a").await;
    let slow = async {
        let mut stream = dial(addr).await;
        for byte in packet(b"za") {
            stream.write_all(&[byte]).await.unwrap();
            sleep(Duration::from_millis(1500)).await;
        }
        heard(stream).await
    };
    let idle = |begun: &'static [u8]| async move {
        let start = Instant::now();
        let said = heard(sent(addr, begun).await).await;
        (said, start.elapsed())
    };
    let (found, nothing, one, two, part) =
        tokio::join!(slow, idle(b""), idle(b"\0"), idle(b"\0\x03"), idle(b"\0\x64only a few bytes"));
    assert!(found.starts_with(b"w\0\x03\xe8M"));
    for (said, took) in [nothing, one, two, part] {
        assert_eq!(said, b"");
        assert!((3..60).contains(&took.as_secs()), "{took:?}");
    }
    assert_eq!(names(addr).await, ["a"]);
}

#[tokio::test]
async fn lists_are_as_the_original_writes_them() {
    let (addr, _server) = start(|_| {}).await;
    let (a, _) = register(addr, "a").await;
    let (_b, _) = register(addr, "b").await;
    drop(a);
    settle(addr, 1).await;
    let (_c, _) = register(addr, "c").await;
    let port = u32::from(addr.port()).to_be_bytes();
    assert_eq!(ask(addr, b"n").await, [&port, &b"name c at port 1000\nname b at port 1000\n"[..]].concat());
    let dump = String::from_utf8(ask(addr, b"d").await[4..].to_vec()).unwrap();
    let without_fds: String = dump.chars().filter(|c| !c.is_ascii_digit()).collect();
    assert_eq!(
        without_fds,
        "active name     <c> at port , fd = \n\0active name     <b> at port , fd = \n\0\
         old/unused name <a>, port = , fd =  \n\0"
    );
}

#[tokio::test]
async fn kill_waits_for_the_last_node() {
    let (addr, mut server) = start(|_| {}).await;
    let (a, _) = register(addr, "a").await;
    assert_eq!(ask(addr, b"k").await, b"NO");
    assert_eq!(client::kill(addr).await, Err(Error::LiveNodes));
    drop(a);
    assert_eq!(ask(addr, b"k").await, b"OK");
    assert_eq!(server.ended().await, Ended::Killed);
    assert_eq!(client::kill(addr).await, Err(Error::NoEpmd(addr)));
}

#[tokio::test]
async fn a_relaxed_daemon_stops_names_and_dies_with_nodes() {
    let (addr, mut server) = start_relaxed().await;
    let (a, _) = register(addr, "a").await;
    let (b, _) = register(addr, "b").await;
    assert_eq!(ask(addr, b"sx").await, b"NOEXISTSTOPPED");
    assert_eq!(ask(addr, b"sa").await, b"STOPPED");
    assert_eq!(heard(a).await, b"");
    assert_eq!(names(addr).await, ["b"]);
    assert_eq!(client::stop(addr, "a").await, Err(Error::NameNotRegistered("a".into())));
    assert_eq!(ask(addr, b"k").await, b"OK");
    assert_eq!(server.ended().await, Ended::Killed);
    assert_eq!(heard(b).await, b"");
}

#[tokio::test]
async fn a_second_daemon_finds_the_first() {
    let (addr, _server) = start(|_| {}).await;
    let listen = Config { port: addr.port(), addresses: vec![] };
    let second = EpmdServer::bind(Settings { listen, ..Settings::default() }).await.map(|_| ());
    assert!(matches!(second, Err(Error::AddressInUse(_))), "{second:?}");
}

#[tokio::test]
async fn both_loopback_addresses_are_served() {
    let (addr, _server) = start(|settings| settings.listen.addresses = vec!["127.0.0.2".parse().unwrap()]).await;
    for ip in ["127.0.0.1", "::1", "127.0.0.2"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), addr.port());
        let registered = client::register(addr, &Registration::new(ip, 1)).await;
        assert!(registered.is_ok(), "{addr}: {registered:?}");
    }
}

#[tokio::test]
async fn a_socket_reset_before_the_reply_leaves_no_zombie() {
    let (addr, _server) = start(|settings| settings.delay_write = Duration::from_millis(200)).await;
    let stream = sent(addr, &packet(&alive2(b"test", 6, b""))).await;
    sleep(Duration::from_millis(50)).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    sleep(Duration::from_millis(300)).await;
    settle(addr, 0).await;
}

#[tokio::test]
async fn delays_are_kept() {
    let (addr, _server) = start(|settings| {
        settings.delay_accept = Duration::from_millis(100);
        settings.delay_write = Duration::from_millis(150);
    })
    .await;
    let start = Instant::now();
    assert_eq!(names(addr).await, [] as [&str; 0]);
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
}

#[tokio::test]
async fn hundreds_of_names_come_and_go_in_either_order() {
    let (addr, _server) = start(|_| {}).await;
    // Both ends are in this process, which may have no more than 1,024 descriptors.
    const NAMES: usize = 300;
    for reversed in [false, true, false] {
        let mut nodes = Vec::new();
        for n in 0..NAMES {
            let (stream, reply) = register(addr, &format!("foo{n}")).await;
            assert_eq!(reply[..2], *b"v\0", "{n}");
            nodes.push(stream);
        }
        assert_eq!(names(addr).await.len(), NAMES);
        if reversed {
            nodes.reverse();
        }
        nodes.into_iter().for_each(drop);
    }
    settle(addr, 0).await;
}

#[tokio::test]
async fn ten_thousand_hostile_connections_change_nothing() {
    let (addr, _server) = start(|_| {}).await;
    let (_a, _) = register(addr, "a").await;
    for n in 1..=10_000_u16 {
        // Extra data that is not there: the length reaches beyond the packet.
        let mut body = alive2(b"gurka", 6, b"");
        let at = body.len() - 2;
        body[at..].copy_from_slice(&n.to_be_bytes());
        assert_eq!(ask(addr, &body).await, b"", "{n}");
    }
    assert_eq!(names(addr).await, ["a"]);
}

#[tokio::test]
async fn extra_data_is_taken_to_1020_bytes_and_refused_or_closed_on_beyond() {
    let (addr, _server) = start(|_| {}).await;
    for n in 1020..3200_usize {
        let body = alive2(b"gurka", 5, &vec![255; n]);
        let mut stream = sent(addr, &packet(&body)).await;
        let mut reply = [0; 2];
        let heard = stream.read_exact(&mut reply).await.map(|_| reply);
        match n {
            1020 => assert_eq!(heard.unwrap(), *b"y\0"),
            _ if body.len() + 2 <= 3059 => assert_eq!(heard.unwrap(), *b"y\x01", "{n}"),
            _ => assert!(heard.is_err(), "{n}"),
        }
    }
}

#[tokio::test]
async fn idle_connections_make_room_for_others_and_registrations_do_not() {
    let (addr, _server) = start(|settings| settings.max_connections = 20).await;
    let (_a, _) = register(addr, "a").await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(sent(addr, b"\0").await);
    }
    assert_eq!(names(addr).await, ["a"]);
    for evicted in idle.drain(..80) {
        assert_eq!(heard(evicted).await, b"");
    }
    // All but a few seats may be taken by nodes; then those who ask are served still.
    let mut nodes = Vec::new();
    for n in 1..12 {
        nodes.push(register(addr, &format!("node{n}")).await);
    }
    assert!(nodes.iter().all(|(_, reply)| reply[1] == 0));
    let (_full, reply) = register(addr, "one-too-many").await;
    assert_eq!(reply[1], 1);
    assert_eq!(names(addr).await.len(), 12);
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_nobody() {
    let listen = Config { port: 0, addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let settings = Settings { listen, max_connections: 10_000, ..Settings::default() };
    let server = EpmdServer::bind(settings).await.unwrap();
    let (addr, shared) = (server.local_addrs()[0], Arc::clone(&server.shared));
    let _server = server.spawn();
    // More than the system takes off the server's hands for a peer that does not read.
    let name = "\u{1f600}".repeat(240);
    for n in 0..8000 {
        let node = Registration::new(format!("{name}{n}"), 1);
        shared.lock().daemon.registry.register(node, 0, 0).unwrap();
    }
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        let mut stream = socket.connect(addr).await.unwrap();
        stream.write_all(&packet(b"n")).await.unwrap();
        deaf.push(stream);
    }
    let held_up = Duration::from_secs(60);
    let listed = tokio::time::timeout(held_up, names(addr)).await.expect("nobody is held up");
    assert_eq!(listed.len(), 8000);
    let start = Instant::now();
    while shared.lock().waiting.len() != deaf.len() {
        assert!(start.elapsed() < held_up, "they got it all: the list is too short for this test");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nodes_that_have_closed_make_room_at_once() {
    let (addr, _server) = start(|settings| settings.max_connections = 20).await;
    for round in 0..50 {
        let mut nodes = Vec::new();
        for n in 0..12 {
            let (stream, reply) = register(addr, &format!("node{round}-{n}")).await;
            assert_eq!(reply[..2], *b"v\0", "node {n} of round {round}");
            nodes.push(stream);
        }
    }
}
