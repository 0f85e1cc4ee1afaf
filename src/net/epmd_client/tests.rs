use super::*;

use tokio::net::TcpListener;

/// An EPMD that takes one connection, awaits a request that ends in `request`, says `pieces` one by one
/// and closes.
async fn epmd_that_says(request: &'static [u8], pieces: &[&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let pieces = pieces.to_vec();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut got = vec![0; request.len() + 2];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got[2..], *request);
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    addr
}

const ALIVE2_A: &[u8] = b"x\0\x01M\0\0\x06\0\x06\0\x01a\0\0";

async fn register_a(pieces: &[&'static [u8]]) -> Result<Registered, Error> {
    register(epmd_that_says(ALIVE2_A, pieces).await, &Registration::new("a", 1)).await
}

#[tokio::test]
async fn a_registration_has_its_creation_however_the_reply_comes() {
    assert_eq!(register_a(&[b"v\0\0\0\x01\x02"]).await.unwrap().creation(), 0x102);
    assert_eq!(register_a(&[b"v", b"\0\0\0", b"\x01", b"\x02"]).await.unwrap().creation(), 0x102);
    assert_eq!(register_a(&[b"y\0", b"\0\x02"]).await.unwrap().creation(), 2);
}

#[tokio::test]
async fn the_loss_of_a_registration_is_seen() {
    let mut registered = register_a(&[b"v\0\0\0\x01\x02", b"junk", b"more junk"]).await.unwrap();
    registered.closed().await;
}

#[tokio::test]
async fn a_registration_fails_for_a_reason() {
    let failure = |pieces: &'static [&'static [u8]]| async move { register_a(pieces).await.unwrap_err() };
    assert_eq!(failure(&[b"v\x01\0\0\0\x63"]).await, Error::NameInUse("a".into()));
    assert_eq!(failure(&[b"y\x01\0\x63"]).await, Error::NameInUse("a".into()));
    assert_eq!(failure(&[]).await, Error::Refused);
    assert_eq!(failure(&[b"v\0"]).await, CUT_SHORT);
    assert_eq!(failure(&[b"HTTP/1.1"]).await, Error::MalformedReply("not an answer to ALIVE2_REQ"));
}

#[tokio::test]
async fn names_that_no_epmd_takes_are_not_even_asked_for() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    for name in ["", "a\0", &"a".repeat(256)] {
        let invalid = Err(Error::InvalidName(name.to_owned()));
        assert_eq!(register(nowhere, &Registration::new(name, 1)).await.map(|_| ()), invalid);
        assert_eq!(port_please(nowhere, name).await.map(|_| ()), invalid);
        assert_eq!(stop(nowhere, name).await, invalid);
    }
    let node = Registration { extra: vec![0; 1021], ..Registration::new("a", 1) };
    assert_eq!(register(nowhere, &node).await.map(|_| ()), Err(Error::ExtraTooLong(1021)));
}

#[tokio::test]
async fn a_lookup_does_not_wait_for_the_close() {
    let reply: &[u8] = b"w\0\0\x05H\0\0\x06\0\x05\0\x01a\0\x02ex";
    let addr = epmd_that_says(b"za", &[&reply[..1], &reply[1..9], &reply[9..], b"", b"", b"", b""]).await;
    let node = port_please(addr, "a").await.unwrap();
    assert_eq!(node, Registration { lowest: 5, extra: b"ex".into(), ..Registration::new("a", 5).hidden() });
}

#[tokio::test]
async fn a_lookup_fails_for_a_reason() {
    let failure = |pieces: &'static [&'static [u8]]| async move {
        port_please(epmd_that_says(b"za", pieces).await, "a").await.unwrap_err()
    };
    assert_eq!(failure(&[b"w\x01"]).await, Error::NameNotRegistered("a".into()));
    assert_eq!(failure(&[]).await, Error::NameNotRegistered("a".into()));
    assert_eq!(failure(&[b"w\0\0\x05M"]).await, CUT_SHORT);
    assert_eq!(failure(&[b"v\0"]).await, Error::MalformedReply("not an answer to PORT_PLEASE2_REQ"));
}

#[tokio::test]
async fn lists_are_read_until_the_close() {
    let addr = epmd_that_says(b"n", &[b"\0\0", b"\x11\x11name a", b" at port 5\n"]).await;
    assert_eq!(names(addr).await, Ok(vec![("a".to_owned(), 5)]));
    assert_eq!(names(epmd_that_says(b"n", &[]).await).await, Err(Error::Refused));
    assert_eq!(dump_text(epmd_that_says(b"d", &[b"\0\0\0\x01x"]).await).await, Ok((1, b"x".to_vec())));
}

#[tokio::test]
async fn orders_are_obeyed_or_not() {
    assert_eq!(kill(epmd_that_says(b"k", &[b"OK"]).await).await, Ok(()));
    assert_eq!(kill(epmd_that_says(b"k", &[b"NO"]).await).await, Err(Error::LiveNodes));
    assert_eq!(kill(epmd_that_says(b"k", &[]).await).await, Err(Error::Refused));
    assert_eq!(stop(epmd_that_says(b"sa", &[b"STOP", b"PED"]).await, "a").await, Ok(()));
    let unknown = stop(epmd_that_says(b"sa", &[b"NOEXIST", b"STOPPED"]).await, "a").await;
    assert_eq!(unknown, Err(Error::NameNotRegistered("a".into())));
    assert_eq!(stop(epmd_that_says(b"sa", &[]).await, "a").await, Err(Error::Refused));
}

#[tokio::test]
async fn no_epmd_is_an_error_of_its_own() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(names(closed).await, Err(Error::NoEpmd(closed)));
    let closed = TcpListener::bind("[::1]:0").await.unwrap().local_addr().unwrap();
    assert_eq!(port_please(closed, "a").await, Err(Error::NoEpmd(closed)));
}

// With the clock paused, time jumps as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn an_epmd_that_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let silent = Error::TimedOut { addr, phase: Phase::Answer };
    let before = tokio::time::Instant::now();
    assert_eq!(names(addr).await, Err(silent.clone()));
    assert!(before.elapsed() >= PHASE);
    assert_eq!(register(addr, &Registration::new("a", 1)).await.map(|_| ()), Err(silent));
    drop(listener);
}
