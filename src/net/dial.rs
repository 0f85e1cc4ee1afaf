//! Finding a node and dialling it: name, address, EPMD, port, handshake.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::epmd_client;
use super::error::DialError;
use super::greet::Greeting;
use super::stream::Stream;
use crate::dflags::DFlags;
use crate::epmd;
use crate::handshake::{Challenge, Cookie, Established, Initiator, Local, Step};
use crate::term::NodeName;

/// How a peer's port is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortSource {
    /// Its machine's EPMD, at this port.
    Epmd(u16),
    /// The same for every node of the cluster, as with `-erl_epmd_port`.
    Fixed(u16),
}

/// The first address of a host, as BEAMs take it.
pub(crate) async fn resolve(host: &str, ipv6: bool) -> Result<IpAddr, DialError> {
    let none = |why: String| DialError::Resolve(host.into(), why);
    let mut found = lookup_host((host, 0)).await.map_err(|error| none(error.to_string()))?;
    let wanted = found.find(|address| address.is_ipv6() == ipv6);
    let other = || none(format!("none of {}", if ipv6 { "IPv6" } else { "IPv4" }));
    Ok(wanted.ok_or_else(other)?.ip())
}

/// Where a peer listens.
pub(crate) async fn locate(peer: NodeName, ports: PortSource, ipv6: bool) -> Result<SocketAddr, DialError> {
    let address = resolve(peer.host(), ipv6).await?;
    let port = match ports {
        PortSource::Fixed(port) => port,
        PortSource::Epmd(port) => {
            let config = epmd::Config { port, ..epmd::Config::default() };
            epmd_client::port_please(config.at(address), peer.name()).await?.port
        }
    };
    Ok(SocketAddr::new(address, port))
}

/// Connects to where a peer listens. What we write goes out at once from the first byte on.
pub(crate) async fn open(address: SocketAddr, limit: Duration) -> Result<TcpStream, DialError> {
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let connected = connected.map_err(|_elapsed| DialError::TimedOut("connecting to the node's port"))?;
    let stream = connected.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => DialError::Refused(address),
        kind => DialError::Io(kind),
    })?;
    stream.set_nodelay(true).map_err(|error| DialError::Io(error.kind()))?;
    Ok(stream)
}

/// Who we say we are.
pub(crate) enum Introduction {
    /// A node with a name.
    Named(Local),
    /// A node of this host that asks its peer for a name.
    Nameless(&'static str, DFlags),
}

/// Introduces ourselves to `peer`. `still_pending` says, when the peer believes that it is connected to us, whether it
/// is wrong.
pub(crate) async fn introduce(
    stream: &mut Stream,
    (we, peer, cookie): (Introduction, NodeName, Cookie),
    challenge: Challenge,
    step_time: Duration,
    still_pending: impl Fn() -> bool,
) -> Result<Established, DialError> {
    let prefix = stream.prefix();
    let (mut machine, first) = match we {
        Introduction::Named(local) => Initiator::dial(local, peer, cookie, challenge, prefix),
        Introduction::Nameless(host, flags) => Initiator::dial_nameless(host, flags, peer, cookie, challenge, prefix),
    };
    let mut greeting = Greeting::new(stream, prefix, step_time);
    greeting.send(&first).await?;
    loop {
        let Some(body) = greeting.receive().await? else { return Err(machine.closed().into()) };
        match machine.handle(&body)? {
            Step::Continue { send, next } => {
                greeting.send(&send).await?;
                machine = next;
            }
            Step::Decide(alive) if still_pending() => {
                let (send, next) = alive.insist();
                greeting.send(&send).await?;
                machine = next;
            }
            Step::Decide(alive) => {
                let (send, error) = alive.give_up();
                greeting.send(&send).await?;
                return Err(error.into());
            }
            Step::Refused { send, error } => {
                greeting.send(&send).await?;
                return Err(error.into());
            }
            Step::Established { send, established } => {
                greeting.send(&send).await?;
                return Ok(established);
            }
        }
    }
}
