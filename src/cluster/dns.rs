//! The addresses or hosts of a name as nodes: libcluster's `DNSPoll`, `Kubernetes.DNS` and `Kubernetes.DNSSRV`.

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

/// What a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Records {
    /// Its addresses, IPv4 and IPv6: `DNSPoll`.
    Addresses,
    /// Its IPv4 addresses; a short name is looked for in the domains that `/etc/resolv.conf` searches: `Kubernetes.DNS`.
    V4,
    /// The hosts of its SRV records: `Kubernetes.DNSSRV`.
    Services,
}

/// A cluster whose nodes are the addresses, or the hosts, of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dns {
    /// The name that is asked for.
    pub query: String,
    /// What stands before the `@` of every node.
    pub node_basename: String,
    /// What it is asked for.
    pub records: Records,
    /// The server; those of `/etc/resolv.conf` otherwise.
    pub server: Option<SocketAddr>,
    /// How often to ask; every five seconds.
    pub polling_interval: Duration,
}

impl Dns {
    /// The addresses of `query`, as nodes called `node_basename`.
    #[must_use]
    pub fn new(query: impl Into<String>, node_basename: impl Into<String>) -> Self {
        let (polling_interval, records) = (Duration::from_secs(5), Records::Addresses);
        Self { query: query.into(), node_basename: node_basename.into(), records, server: None, polling_interval }
    }

    /// The pods of a headless service, by its IPv4 addresses, as nodes called `application_name`.
    #[must_use]
    pub fn kubernetes(service: impl Into<String>, application_name: impl Into<String>) -> Self {
        Self { records: Records::V4, ..Self::new(service, application_name) }
    }

    /// The pods of a stateful set's headless service, by their host names, as nodes called `application_name`. The
    /// cluster's domain is `cluster.local`, or what `CLUSTER_DOMAIN` says.
    #[must_use]
    pub fn kubernetes_srv(service: &str, namespace: &str, application_name: impl Into<String>) -> Self {
        let domain = std::env::var("CLUSTER_DOMAIN").unwrap_or_else(|_unset| "cluster.local.".into());
        let query = format!("{service}.{namespace}.svc.{domain}");
        Self { records: Records::Services, ..Self::new(query, application_name) }
    }

    pub(super) async fn names(&self) -> io::Result<BTreeSet<NodeName>> {
        let (servers, search) = match self.server {
            Some(server) => (vec![server], Vec::new()),
            None => {
                let text = std::fs::read_to_string("/etc/resolv.conf")?;
                (servers(&text), search(&text))
            }
        };
        let (kinds, search): (&[_], _) = match self.records {
            Records::Addresses => (&[Kind::A, Kind::Aaaa], &[][..]),
            Records::V4 => (&[Kind::A], &search[..]),
            Records::Services => (&[Kind::Srv], &search[..]),
        };
        let mut names = BTreeSet::new();
        for kind in kinds {
            let found = ask_all(&servers, &candidates(&self.query, search), *kind).await?;
            let name = |host: String| NodeName::new(&format!("{}@{host}", self.node_basename)).ok();
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

/// The domains of a `resolv.conf` in which short names are looked for; the last line that tells them counts.
fn search(text: &str) -> Vec<String> {
    let mut line = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("search" | "domain")).then(|| words.map(str::to_owned).collect())
    });
    line.next_back().unwrap_or_default()
}

/// What a name may mean, in the order in which OTP's resolver asks: as it is where it has a full stop, then in each domain.
fn candidates(name: &str, search: &[String]) -> Vec<String> {
    if name.ends_with('.') || search.is_empty() {
        return vec![name.into()];
    }
    let itself = name.contains('.').then(|| name.to_owned());
    itself.into_iter().chain(search.iter().map(|domain| format!("{name}.{domain}"))).collect()
}

/// The hosts of the first of these names that has any.
async fn ask_all(servers: &[SocketAddr], names: &[String], kind: Kind) -> io::Result<Vec<String>> {
    let mut failed = None;
    for name in names {
        match ask(servers, name, kind).await {
            Ok(hosts) if hosts.is_empty() => {}
            Ok(hosts) => return Ok(hosts),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(Vec::new()), Err)
}

/// The answer of the first server that has one. A name that does not exist has no hosts.
async fn ask(servers: &[SocketAddr], name: &str, kind: Kind) -> io::Result<Vec<String>> {
    let mut failed = io::Error::other("there is no name server");
    for &server in servers {
        match timeout(PATIENCE * 2, ask_one(server, name, kind)).await {
            Ok(Ok(Answer::Hosts(hosts))) => return Ok(hosts),
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
    #[test]
    fn short_names_are_looked_for_where_otp_looks() {
        let text = "domain old.lab\nnameserver 10.0.0.2\nsearch a.svc.lab svc.lab\n";
        let search = search(text);
        assert_eq!(search, ["a.svc.lab", "svc.lab"]);
        assert_eq!(candidates("web", &search), ["web.a.svc.lab", "web.svc.lab"]);
        assert_eq!(candidates("web.a", &search), ["web.a", "web.a.a.svc.lab", "web.a.svc.lab"]);
        assert_eq!(candidates("web.a.svc.lab.", &search), ["web.a.svc.lab."]);
        assert_eq!(candidates("web", &[]), ["web"]);
    }

    #[test]
    fn a_stateful_sets_service_is_asked_for_in_the_clusters_domain() {
        let srv = Dns::kubernetes_srv("web-headless", "lab", "app");
        assert_eq!((srv.query.as_str(), srv.records), ("web-headless.lab.svc.cluster.local.", Records::Services));
    }
}
