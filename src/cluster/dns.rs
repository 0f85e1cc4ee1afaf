//! The addresses of a name as nodes: libcluster's `DNSPoll`.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::dns_message::{Answer, Kind, answer, query};
use crate::term::NodeName;

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cluster whose nodes are the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dns {
    /// The name that is asked for.
    pub query: String,
    /// What stands before the `@` of every node.
    pub node_basename: String,
    /// The server; those of `/etc/resolv.conf` otherwise.
    pub server: Option<SocketAddr>,
    /// How often to ask; every five seconds.
    pub polling_interval: Duration,
}

impl Dns {
    /// The addresses of `query`, as nodes called `node_basename`.
    #[must_use]
    pub fn new(query: impl Into<String>, node_basename: impl Into<String>) -> Self {
        let polling_interval = Duration::from_secs(5);
        Self { query: query.into(), node_basename: node_basename.into(), server: None, polling_interval }
    }

    pub(super) async fn names(&self) -> io::Result<BTreeSet<NodeName>> {
        let servers = match self.server {
            Some(server) => vec![server],
            None => servers(&std::fs::read_to_string("/etc/resolv.conf")?),
        };
        let mut names = BTreeSet::new();
        for kind in [Kind::A, Kind::Aaaa] {
            let found = ask(&servers, &self.query, kind).await?;
            let name = |ip: IpAddr| NodeName::new(&format!("{}@{ip}", self.node_basename)).ok();
            names.extend(found.into_iter().filter_map(name));
        }
        Ok(names)
    }
}

/// The name servers of a `resolv.conf`.
fn servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    text.lines().filter_map(address).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// The answer of the first server that has one. A name that does not exist has no addresses.
async fn ask(servers: &[SocketAddr], name: &str, kind: Kind) -> io::Result<Vec<IpAddr>> {
    let mut failed = io::Error::other("there is no name server");
    for &server in servers {
        match timeout(PATIENCE * 2, ask_one(server, name, kind)).await {
            Ok(Ok(Answer::Addresses(addresses))) => return Ok(addresses),
            Ok(Ok(Answer::NoName)) => return Ok(Vec::new()),
            Ok(Ok(Answer::Failed(code))) => failed = io::Error::other(format!("{server} answers with code {code}")),
            Ok(Ok(Answer::Truncated)) => failed = io::Error::other(format!("{server} cuts its answers")),
            Ok(Err(error)) => failed = error,
            Err(_elapsed) => failed = io::Error::other(format!("{server} does not answer")),
        }
    }
    Err(failed)
}

async fn ask_one(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Answer> {
    let id = getrandom::u32().map_err(io::Error::other)?.to_be_bytes();
    let asked = query(u16::from_be_bytes([id[0], id[1]]), name, kind)
        .ok_or_else(|| io::Error::other(format!("{name:?} is no name")))?;
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Only what comes from the server is received.
    socket.connect(server).await?;
    let mut packet = vec![0; 4096];
    for _ in 0..2 {
        socket.send(&asked).await?;
        let received = async {
            loop {
                let len = socket.recv(&mut packet).await?;
                if let Some(answer) = packet.get(..len).and_then(|bytes| answer(bytes, &asked)) {
                    return Ok::<_, io::Error>(answer);
                }
            }
        };
        match timeout(PATIENCE / 2, received).await {
            Ok(Ok(Answer::Truncated)) => return over_tcp(server, &asked).await,
            Ok(answer) => return answer,
            Err(_elapsed) => {}
        }
    }
    Err(io::Error::other(format!("{server} does not answer")))
}

async fn over_tcp(server: SocketAddr, asked: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), asked].concat()).await?;
    let len = stream.read_u16().await?;
    let mut bytes = vec![0; len.into()];
    stream.read_exact(&mut bytes).await?;
    answer(&bytes, asked).ok_or_else(|| io::Error::other(format!("{server} answers something else")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_among_other_lines() {
        let text = "# nameserver 9.9.9.9\nsearch lab\nnameserver 10.0.0.2\n  nameserver\tfd00::1\nnameserver x\n";
        assert_eq!(servers(text), ["10.0.0.2:53", "[fd00::1]:53"].map(|server| server.parse().unwrap()));
    }
}
