//! A network between nodes that can be cut: each node has an EPMD of its own here, which tells it of every other node a
//! port that leads through this file. What is sent over a cut link arrives when it is whole again, as with lost packets.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::free_port;

/// The network. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Network(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The rest of a registration's answer, as nodes send it: port, kind, protocol, versions.
    nodes: HashMap<String, [u8; 8]>,
    creation: u32,
    /// The ports that lead from a node to another.
    ways: HashMap<(String, String), u16>,
    cut: HashSet<(String, String)>,
}

/// Who may reach all nodes, whatever is cut.
const EVERYWHERE: &str = "";

impl Network {
    /// The port of an EPMD for the node of this name (`name@host`).
    pub fn epmd_of(&self, node: &str) -> u16 {
        self.serve(alive_name(node))
    }

    /// The port of an EPMD whose nodes reach all others directly.
    pub fn epmd_of_observers(&self) -> u16 {
        self.serve(EVERYWHERE.into())
    }

    /// Cuts these two off from each other.
    pub fn cut(&self, one: &str, other: &str) {
        let (one, other) = (alive_name(one), alive_name(other));
        self.state().cut.extend([(one.clone(), other.clone()), (other, one)]);
    }

    /// All is whole again.
    pub fn heal(&self) {
        self.state().cut.clear();
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_whole(&self, link: &(String, String)) {
        let mut state = self.state();
        while state.cut.contains(link) {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn serve(&self, asker: String) -> u16 {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let network = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (network, asker) = (network.clone(), asker.clone());
                std::thread::spawn(move || network.answer(stream, &asker));
            }
        });
        port
    }

    /// One request, as an EPMD answers it; a registration lasts as long as its connection.
    fn answer(&self, mut stream: TcpStream, asker: &str) -> Option<()> {
        let mut len = [0; 2];
        stream.read_exact(&mut len).ok()?;
        let mut request = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut request).ok()?;
        let (tag, body) = request.split_first()?;
        match tag {
            b'x' => {
                let registration: [u8; 8] = body.get(..8)?.try_into().ok()?;
                let len = usize::from(u16::from_be_bytes(body.get(8..10)?.try_into().ok()?));
                let name = String::from_utf8(body.get(10..10 + len)?.to_vec()).ok()?;
                let creation = {
                    let mut state = self.state();
                    state.creation += 1;
                    state.nodes.insert(name.clone(), registration);
                    1000 + state.creation
                };
                stream.write_all(&[&[118, 0][..], &creation.to_be_bytes()].concat()).ok()?;
                let _closed = stream.read(&mut [0]);
                let mut state = self.state();
                if state.nodes.get(&name) == Some(&registration) {
                    state.nodes.remove(&name);
                }
            }
            b'z' => {
                let name = String::from_utf8(body.to_vec()).ok()?;
                let answer = match self.way(asker, &name) {
                    None => vec![119, 1],
                    Some((port, about)) => {
                        let len = u16::try_from(name.len()).ok()?.to_be_bytes();
                        [&[119, 0][..], &port.to_be_bytes(), &about, &len, name.as_bytes(), &[0, 0]].concat()
                    }
                };
                stream.write_all(&answer).ok()?;
            }
            b'n' => {
                let lines: String = self.state().nodes.iter().map(|(name, of)| line(name, of)).collect();
                stream.write_all(&[&[0, 0, 0, 0], lines.as_bytes()].concat()).ok()?;
            }
            _ => {}
        }
        Some(())
    }

    /// The port by which a node comes to another, and what it said of itself.
    fn way(&self, from: &str, to: &str) -> Option<(u16, [u8; 6])> {
        let mut state = self.state();
        let [a, b, about @ ..] = *state.nodes.get(to)?;
        if from == EVERYWHERE {
            return Some((u16::from_be_bytes([a, b]), about));
        }
        let link = (from.to_owned(), to.to_owned());
        if let Some(port) = state.ways.get(&link) {
            return Some((*port, about));
        }
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        state.ways.insert(link.clone(), port);
        let network = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (network, link) = (network.clone(), link.clone());
                std::thread::spawn(move || network.forward(stream, &link));
            }
        });
        Some((port, about))
    }

    fn forward(&self, near: TcpStream, link: &(String, String)) -> Option<()> {
        self.wait_until_whole(link);
        let [a, b, ..] = *self.state().nodes.get(&link.1)?;
        let far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes([a, b]))).ok()?;
        for stream in [&near, &far] {
            stream.set_nodelay(true).ok()?;
        }
        let (back, network, to) = ((far.try_clone().ok()?, near.try_clone().ok()?), self.clone(), link.clone());
        std::thread::spawn(move || network.copy(back.0, back.1, &to));
        self.copy(near, far, link);
        Some(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, link: &(String, String)) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            self.wait_until_whole(link);
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _closed_already = stream.shutdown(Shutdown::Both);
        }
    }
}

fn alive_name(node: &str) -> String {
    node.split('@').next().unwrap_or(node).to_owned()
}

fn line(name: &str, [a, b, ..]: &[u8; 8]) -> String {
    format!("name {name} at port {}\n", u16::from_be_bytes([*a, *b]))
}
