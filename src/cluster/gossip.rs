//! Announcing a node by UDP and hearing others do: libcluster's `Gossip`, by multicast or broadcast.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::ClusterError;
use super::heartbeat::{self, IV, Key};
use super::server::Report;
use crate::term::NodeName;

/// The longest pause between announcements; each is random, so that a cluster's do not come all at once.
const LONGEST_PAUSE_MS: u32 = 5000;

/// Names are kept for ever once they are known, so strangers may not bring any number of them.
const MOST_NAMES: usize = 4096;

/// How a node announces itself, with libcluster's names and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gossip {
    /// The port of all nodes, 45892.
    pub port: u16,
    /// The address to listen on; all by default.
    pub if_addr: Option<IpAddr>,
    /// The group, 233.252.1.32 (an IPv6 group too), or the address to broadcast to.
    pub multicast_addr: IpAddr,
    /// The address of the interface to the group; for an IPv6 group the interface's name.
    pub multicast_if: Option<String>,
    /// How many routers a packet may pass, 1: none.
    pub multicast_ttl: u32,
    /// Sends to `multicast_addr` without joining it as a group.
    pub broadcast_only: bool,
    /// Only nodes of the same secret hear each other.
    secret: Option<Key>,
}

impl Default for Gossip {
    fn default() -> Self {
        Self {
            port: 45892,
            if_addr: None,
            multicast_addr: Ipv4Addr::new(233, 252, 1, 32).into(),
            multicast_if: None,
            multicast_ttl: 1,
            broadcast_only: false,
            secret: None,
        }
    }
}

impl Gossip {
    /// Only nodes of the same secret hear each other.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(Key::new(secret));
        self
    }

    /// Opens the socket.
    pub(super) fn open(&self, own: NodeName) -> Result<Announcer, ClusterError> {
        let any: IpAddr =
            if self.multicast_addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let address = SocketAddr::new(self.if_addr.unwrap_or(any), self.port);
        let socket = self.socket(address).map_err(|error| ClusterError::Gossip { address, error })?;
        let to = SocketAddr::new(self.multicast_addr, self.port);
        Ok(Announcer { socket, to, own, key: self.secret.clone(), known: HashSet::new() })
    }

    fn socket(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // All nodes of a machine hear the same port.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        match (self.multicast_addr, self.broadcast_only) {
            (_, true) => socket.set_broadcast(true)?,
            (IpAddr::V4(group), false) => {
                let interface = match &self.multicast_if {
                    Some(interface) => interface.parse().map_err(io::Error::other)?,
                    None => Ipv4Addr::UNSPECIFIED,
                };
                socket.set_broadcast(true)?;
                socket.set_multicast_ttl_v4(self.multicast_ttl)?;
                socket.set_multicast_loop_v4(true)?;
                socket.set_multicast_if_v4(&interface)?;
                socket.join_multicast_v4(&group, &interface)?;
            }
            (IpAddr::V6(group), false) => {
                let interface = self.multicast_if.as_deref().map_or(Ok(0), interface_index)?;
                socket.set_only_v6(true)?;
                socket.set_multicast_hops_v6(self.multicast_ttl)?;
                socket.set_multicast_loop_v6(true)?;
                socket.set_multicast_if_v6(interface)?;
                socket.join_multicast_v6(&group, interface)?;
            }
        }
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }
}

/// The number of an interface, as Linux shows it.
fn interface_index(name: &str) -> io::Result<u32> {
    if name.contains('/') {
        return Err(io::Error::other("this is no interface's name"));
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// A node's end of the gossip.
pub(super) struct Announcer {
    socket: UdpSocket,
    to: SocketAddr,
    own: NodeName,
    key: Option<Key>,
    known: HashSet<String>,
}

impl Announcer {
    /// Announces the node, and reports who else does.
    pub(super) async fn run(mut self, reports: &mpsc::UnboundedSender<Report>) {
        let mut packet = vec![0; heartbeat::LONGEST + 1];
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    self.announce().await;
                    let pause = getrandom::u32().unwrap_or_default() % LONGEST_PAUSE_MS;
                    next = Instant::now() + Duration::from_millis(u64::from(pause) + 1);
                }
                received = self.socket.recv_from(&mut packet) => match received {
                    Ok((len, from)) => {
                        let node = packet.get(..len).and_then(|packet| self.heard(packet));
                        tracing::trace!(%from, len, node = node.map(|node| node.as_str()), "packet");
                        if node.is_some_and(|node| reports.send(Report::Heard(node)).is_err()) {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no packet");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    async fn announce(&self) {
        let mut iv = [0; IV];
        if self.key.is_some() && getrandom::fill(&mut iv).is_err() {
            tracing::warn!("no random numbers: nothing is announced");
            return;
        }
        if let Err(error) = self.socket.send_to(&heartbeat::encode(self.own, self.key.as_ref(), iv), self.to).await {
            tracing::warn!(%error, to = %self.to, "cannot announce the node");
        }
    }

    /// The other node that a packet announces.
    fn heard(&mut self, packet: &[u8]) -> Option<NodeName> {
        let name = heartbeat::decode(packet, self.key.as_ref())?;
        if name == self.own.as_str() {
            return None;
        }
        if !self.known.contains(&name) {
            if self.known.len() == MOST_NAMES {
                tracing::warn!("more names are announced than a cluster has nodes; new ones are passed over");
                return None;
            }
            NodeName::new(&name).ok()?;
            self.known.insert(name.clone());
        }
        NodeName::new(&name).ok()
    }
}
