use super::*;

const HERE: Asker = Asker { local: true, fd: 7, now: 1000 };
const ELSEWHERE: Asker = Asker { local: false, ..HERE };

fn daemon(relaxed_command_check: bool) -> Daemon {
    Daemon { registry: Registry::new(10, 10), epmd_port: 4369, relaxed_command_check }
}

fn alive(name: &str) -> Request {
    Request::Alive2(Registration::new(name, 5))
}

fn register(daemon: &mut Daemon, name: &str) -> Slot {
    match daemon.handle(alive(name), HERE) {
        Answer::Registered(slot, reply) => {
            assert_eq!(reply, b"v\0\0\0\x03\xe9");
            slot
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_node_of_the_name_is_refused() {
    let mut daemon = daemon(false);
    register(&mut daemon, "a");
    let refusal = Answer::Refused(b"v\x01\0\0\0\x63".to_vec(), NotRegistered::InUse);
    assert_eq!(daemon.handle(alive("a"), HERE), refusal);
    let refusal = Answer::Refused(b"y\x01\0\x63".to_vec(), NotRegistered::Unregistrable);
    assert_eq!(daemon.handle(Request::Unregistrable { highest: 5 }, HERE), refusal);
}

#[test]
fn other_machines_may_only_look() {
    let mut daemon = daemon(true);
    register(&mut daemon, "a");
    for request in
        [alive("b"), Request::Unregistrable { highest: 6 }, Request::Dump, Request::Kill, Request::Stop("a".into())]
    {
        let answer = daemon.handle(request.clone(), ELSEWHERE);
        assert_eq!(answer, Answer::Close("not from a local address"), "{request:?}");
    }
    let list = Answer::Reply(b"\0\0\x11\x11name a at port 5\n".to_vec());
    assert_eq!(daemon.handle(Request::Names, ELSEWHERE), list);
    let node = Answer::Reply(b"w\0\0\x05M\0\0\x06\0\x06\0\x01a\0\0".to_vec());
    assert_eq!(daemon.handle(Request::PortPlease2("a".into()), ELSEWHERE), node);
    assert_eq!(daemon.handle(Request::PortPlease2("b".into()), ELSEWHERE), Answer::Reply(b"w\x01".to_vec()));
}

#[test]
fn it_does_not_die_under_living_nodes() {
    let mut daemon = daemon(false);
    let slot = register(&mut daemon, "a");
    assert_eq!(daemon.handle(Request::Kill, HERE), Answer::Reply(b"NO".to_vec()));
    let refused = Answer::Close("STOP_REQ without relaxed_command_check");
    assert_eq!(daemon.handle(Request::Stop("a".into()), HERE), refused);
    daemon.registry.unregister(slot);
    assert_eq!(daemon.handle(Request::Kill, HERE), Answer::Exit(b"OK".to_vec()));
}

#[test]
fn it_does_when_relaxed() {
    let mut daemon = daemon(true);
    let slot = register(&mut daemon, "a");
    let unknown = Answer::Reply(b"NOEXISTSTOPPED".to_vec());
    assert_eq!(daemon.handle(Request::Stop("b".into()), HERE), unknown);
    assert_eq!(daemon.handle(Request::Stop(String::new()), HERE), unknown);
    assert_eq!(daemon.handle(Request::Stop("a".into()), HERE), Answer::Stopped(slot, b"STOPPED".to_vec()));
    assert_eq!(daemon.handle(Request::Stop("a".into()), HERE), unknown);
    register_again_and_kill(daemon);
}

fn register_again_and_kill(mut daemon: Daemon) {
    assert!(matches!(daemon.handle(alive("a"), HERE), Answer::Registered(..)));
    assert_eq!(daemon.handle(Request::Kill, HERE), Answer::Exit(b"OK".to_vec()));
}

#[test]
fn a_dump_tells_the_dead_too() {
    let mut daemon = daemon(false);
    let slot = register(&mut daemon, "a");
    daemon.registry.unregister(slot);
    register(&mut daemon, "b");
    let text = "\0\0\x11\x11active name     <b> at port 5, fd = 7\n\0old/unused name <a>, port = 5, fd = 7 \n\0";
    assert_eq!(daemon.handle(Request::Dump, HERE), Answer::Reply(text.into()));
}

#[test]
fn local_is_loopback_or_the_address_that_was_dialled() {
    for (peer, ours, local) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("127.8.9.10", "10.0.0.1", true),
        ("::1", "::1", true),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.2", "10.0.0.1", false),
        ("fe80::1", "fe80::1", true),
        ("fe80::2", "fe80::1", false),
        ("::ffff:127.0.0.1", "::ffff:10.0.0.1", true),
        ("::ffff:10.0.0.2", "::ffff:10.0.0.1", false),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
        ("128.0.0.1", "10.0.0.1", false),
    ] {
        assert_eq!(is_local(peer.parse().unwrap(), ours.parse().unwrap()), local, "{peer} to {ours}");
    }
}
