//! What an EPMD answers to a request, and what becomes of the connection then.

use std::net::IpAddr;

use crate::epmd::Registration;
use crate::epmd::registry::{NotRegistered, Registry, Slot};
use crate::epmd::reply::{self, Alive2};
use crate::epmd::request::Request;

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    /// Whether the connection comes from this machine.
    pub(crate) local: bool,
    /// The connection's number, told in dumps.
    pub(crate) fd: i32,
    /// The wall clock in seconds.
    pub(crate) now: u32,
}

/// What the daemon is about to do with the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing is said, the connection closed; the reason is for the log.
    Close(&'static str),
    /// Say this, then close.
    Reply(Vec<u8>),
    /// Say this and keep the connection: it is the registration.
    Registered(Slot, Vec<u8>),
    /// Say this and leave it to the node to close.
    Refused(Vec<u8>, NotRegistered),
    /// Close the connection of this registration, which has ended; then say this and close.
    Stopped(Slot, Vec<u8>),
    /// Say this, and end.
    Exit(Vec<u8>),
}

/// An EPMD without its sockets.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) registry: Registry,
    pub(crate) epmd_port: u16,
    /// KILL is obeyed while nodes are registered, and STOP at all.
    pub(crate) relaxed_command_check: bool,
}

impl Daemon {
    /// Answers one request. Whoever asks from another machine may only look, and no further than for
    /// what a node needs to connect.
    pub(crate) fn handle(&mut self, request: Request, asker: Asker) -> Answer {
        match request {
            Request::PortPlease2(name) => Answer::Reply(reply::encode_port2(self.registry.lookup(&name))),
            Request::Names => Answer::Reply(reply::encode_names(self.epmd_port, self.registry.nodes())),
            _ if !asker.local => Answer::Close("not from a local address"),
            Request::Alive2(node) => self.register(node, asker),
            Request::Unregistrable { highest } => {
                Answer::Refused(Alive2::Refused.encode(highest), NotRegistered::Unregistrable)
            }
            Request::Dump => Answer::Reply(reply::encode_dump(
                self.epmd_port,
                self.registry.active_entries(),
                self.registry.dead_entries(),
            )),
            Request::Kill if self.relaxed_command_check || self.registry.is_empty() => {
                Answer::Exit(reply::KILL_OK.to_vec())
            }
            Request::Kill => Answer::Reply(reply::KILL_NO.to_vec()),
            Request::Stop(_) if !self.relaxed_command_check => Answer::Close("STOP_REQ without relaxed_command_check"),
            Request::Stop(name) => self.stop(&name),
        }
    }

    fn register(&mut self, node: Registration, asker: Asker) -> Answer {
        let highest = node.highest;
        match self.registry.register(node, asker.fd, asker.now) {
            Ok((slot, creation)) => Answer::Registered(slot, Alive2::Registered { creation }.encode(highest)),
            Err(why) => Answer::Refused(Alive2::Refused.encode(highest), why),
        }
    }

    fn stop(&mut self, name: &str) -> Answer {
        let Some(slot) = self.registry.slot_of(name) else {
            return Answer::Reply([reply::NOEXIST, reply::STOPPED].concat());
        };
        self.registry.unregister(slot);
        Answer::Stopped(slot, reply::STOPPED.to_vec())
    }
}

/// Whether a connection comes from this machine: from a loopback address, or from the very address that
/// it came to.
pub(crate) fn is_local(peer: IpAddr, ours: IpAddr) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || peer == ours.to_canonical()
}

#[cfg(test)]
mod tests;
