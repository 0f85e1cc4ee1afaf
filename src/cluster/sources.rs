//! The sources of names: a list, EPMDs that are asked, announcements that are heard.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc;

use super::gossip::Announcer;
use super::server::Report;
use super::{Dns, Kubernetes, Rancher};
use crate::epmd::{self, Config};
use crate::net::{PortSource, dial, epmd_client};
use crate::node::Node;
use crate::term::NodeName;

/// The pause after a failed look is at most this many times the usual one.
const LONGEST_PAUSES: u32 = 8;

/// Where names come from.
pub(super) enum Source {
    Fixed(Vec<NodeName>),
    Polled(Poll, Option<Duration>),
    Heard(Announcer),
}

/// What is asked.
pub(super) enum Poll {
    LocalEpmd,
    Hosts(Vec<String>),
    Dns(Dns),
    Kubernetes(Box<Kubernetes>),
    Rancher(Rancher),
}

/// A look that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollError {
    #[error(transparent)]
    Epmd(#[from] epmd::Error),
    #[error(transparent)]
    Host(#[from] crate::net::DialError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Source {
    /// Whether what it no longer names is gone.
    pub(super) fn knows_all(&self) -> bool {
        match self {
            Self::Polled(Poll::Dns(_) | Poll::Kubernetes(_) | Poll::Rancher(_), _) => true,
            // As with libcluster, a name that an EPMD has lost may belong to a node that goes on.
            Self::Polled(Poll::LocalEpmd | Poll::Hosts(_), _) | Self::Fixed(_) | Self::Heard(_) => false,
        }
    }
}

/// Reports what the source names until the node stops.
pub(super) async fn run(node: Node, index: usize, source: Source, reports: mpsc::UnboundedSender<Report>) {
    let mut stopping = node.stopping();
    let work = async {
        match source {
            Source::Fixed(nodes) => {
                let _stops = reports.send(Report::Listed(index, nodes.into_iter().collect()));
            }
            Source::Polled(poll, every) => poll.repeat(&node, index, every, &reports).await,
            Source::Heard(announcer) => announcer.run(&reports).await,
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

impl Poll {
    /// Looks again and again; after failures less often, with what was known before still standing.
    async fn repeat(self, node: &Node, index: usize, every: Option<Duration>, reports: &mpsc::UnboundedSender<Report>) {
        let mut pauses = 1;
        loop {
            match self.names(node).await {
                Ok(names) => {
                    pauses = 1;
                    tracing::debug!(source = index, "{} nodes are named", names.len());
                    if reports.send(Report::Listed(index, names)).is_err() {
                        return;
                    }
                    if every.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(source = index, %error, "nobody tells which nodes there are");
                    pauses = (pauses * 2).min(LONGEST_PAUSES);
                }
            }
            tokio::time::sleep(every.unwrap_or(Duration::from_secs(5)) * pauses).await;
        }
    }

    async fn names(&self, node: &Node) -> Result<BTreeSet<NodeName>, PollError> {
        match self {
            Self::LocalEpmd => {
                let local = Config { port: epmd_port(node)?, addresses: Vec::new() }.local();
                Ok(at_host(epmd_client::names(local).await?, node.name().host()))
            }
            Self::Hosts(hosts) => of_hosts(node, hosts).await,
            Self::Dns(dns) => Ok(dns.names().await?),
            Self::Kubernetes(api) => Ok(api.names().await?),
            Self::Rancher(rancher) => Ok(rancher.names().await?),
        }
    }
}

/// The names of all hosts that answer; an error where none does.
async fn of_hosts(node: &Node, hosts: &[String]) -> Result<BTreeSet<NodeName>, PollError> {
    let port = epmd_port(node)?;
    let (mut names, mut failed) = (BTreeSet::new(), None);
    for host in hosts {
        let found: Result<_, PollError> = async {
            let address = dial::resolve(host, node.config().ipv6).await?;
            let epmd = Config { port, addresses: Vec::new() }.at(address);
            Ok(at_host(epmd_client::names(epmd).await?, host))
        }
        .await;
        match found {
            Ok(found) => names.extend(found),
            Err(error) => {
                tracing::info!(host, %error, "no EPMD tells its nodes");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if names.is_empty() => Err(error),
        _ => Ok(names),
    }
}

fn at_host(names: Vec<(String, u16)>, host: &str) -> BTreeSet<NodeName> {
    names.into_iter().filter_map(|(name, _)| NodeName::new(&format!("{name}@{host}")).ok()).collect()
}

/// The port of the cluster's EPMDs.
fn epmd_port(node: &Node) -> Result<u16, PollError> {
    match node.config().ports {
        PortSource::Epmd(port) => Ok(port),
        PortSource::Fixed(_) => Ok(Config::from_vars(|name| std::env::var(name).ok())?.port),
    }
}
