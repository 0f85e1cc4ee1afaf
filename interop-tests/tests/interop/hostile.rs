//! Strangers at the port: whatever they send, the others go on, and the log says why they were closed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use interop_tests::{Release, on_every_release};

use crate::world::World;

on_every_release!(junk_at_the_port_disturbs_nobody);

/// Where the node listens, as its ready line says.
fn listening(world: &World) -> SocketAddr {
    let line = &world.rust.ready;
    let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(',').next());
    address.and_then(|address| address.parse().ok()).expect("the ready line names the address")
}

fn junk_at_the_port_disturbs_nobody(release: Release) {
    let mut world = World::new(release);
    assert_eq!(world.eval("pong = net_adm:ping(N), put(w, tiebeam_peer:watch_nodes()), ok."), "ok");
    let address = listening(&world);
    let before = world.rust.resident();
    let name = |text: &str, flags: u64| {
        let mut body = vec![b'N'];
        body.extend(flags.to_be_bytes());
        body.extend(7_u32.to_be_bytes());
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
        let mut message = (body.len() as u16).to_be_bytes().to_vec();
        message.extend(body);
        message
    };
    const FLAGS: u64 = 0x0D_07DF_7FBD;
    let mut junk: Vec<Vec<u8>> = vec![
        vec![],
        vec![0, 0],
        vec![0xFF; 70_000],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        name("no-at-sign", FLAGS),
        name("a@b@c", FLAGS),
        name("stranger@127.0.0.1", 0),
        name("stranger@127.0.0.1", FLAGS),
        name(world.rust.name(), FLAGS),
        // In the name of the connected BEAM, which it can not prove to be.
        name(world.beam.name(), FLAGS),
    ];
    // Each message cut short, and each with a byte flipped.
    let valid = name("stranger@127.0.0.1", FLAGS);
    junk.extend((0..valid.len()).map(|len| valid[..len].to_vec()));
    junk.extend((0..valid.len()).map(|at| {
        let mut flipped = valid.clone();
        flipped[at] ^= 0x55;
        flipped
    }));
    for round in 0..10_u8 {
        for bytes in &junk {
            let mut stream = TcpStream::connect(address).expect("the node goes on listening");
            stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a TCP socket");
            // The node may close first: then there is nobody to write to.
            let _closed = stream.write_all(bytes).and_then(|()| stream.write_all(&[round; 40]));
            let _ = stream.read(&mut [0; 256]);
        }
    }
    assert_eq!(world.eval("rpc:call(N, D, add, [1, 2])."), "3");
    assert_eq!(world.eval("tiebeam_peer:seen_nodes(get(w))."), "[]", "the connection was up all the time");
    assert!(world.rust.resident() < before + (50 << 20), "memory has grown");
    assert!(world.rust.log().contains("handshake of a caller failed"), "{}", world.rust.log());
    world.beam.assert_quiet();
}
