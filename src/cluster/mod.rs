//! Clusters that form themselves, as with libcluster: strategies that find nodes, and what connects to them.
//!
//! Each [`Strategy`] names nodes: a fixed list, those of an EPMD, those that announce themselves. What any of
//! them names is connected to, again and again with ever longer pauses while it cannot be reached. A strategy that knows
//! the whole cluster also has nodes left that it no longer names, unless another one does.
//!
//! ```no_run
//! use tiebeam::Node;
//! use tiebeam::cluster::Strategy;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder("rust@127.0.0.1").cluster("gossip:secret=s3cret".parse::<Strategy>()?).start().await?;
//! # let _ = node;
//! # Ok(())
//! # }
//! ```

mod dns;
mod dns_message;
mod gossip;
mod heartbeat;
mod hosts;
mod http;
mod kubernetes;
mod kubernetes_api;
mod rancher;
mod server;
mod sources;
mod spec;
mod state;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::dns::{Dns, Records};
pub use self::gossip::Gossip;
pub use self::kubernetes::Kubernetes;
pub use self::kubernetes_api::{Lookup, Mode};
pub use self::rancher::Rancher;
pub use self::spec::StrategyError;

use self::sources::{Poll, Source};
use self::state::Formation;
use crate::net::DialError;
use crate::node::{Node, NodeKind};
use crate::term::NodeName;

/// How the nodes of a cluster find each other. Its text form is that of `--cluster`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// These nodes, as libcluster's `Epmd`: `static:a@h,b@h`.
    Static(Vec<NodeName>),
    /// The nodes of this machine's EPMD, as `LocalEpmd`: `local_epmd[:timeout=MS|infinity]`.
    LocalEpmd {
        /// How often to ask; once where nothing is said.
        every: Option<Duration>,
    },
    /// The nodes of the EPMDs of the hosts in `.hosts.erlang`, as `ErlangHosts`: `hosts[:file=F,timeout=MS|infinity]`.
    Hosts {
        /// The file; otherwise that of the working or the home directory.
        file: Option<PathBuf>,
        /// How often to ask; once where nothing is said.
        every: Option<Duration>,
    },
    /// The nodes that announce themselves by UDP, as `Gossip`: `gossip[:port=N,secret=S…]`.
    Gossip(Gossip),
    /// The addresses of a name, as `DNSPoll`: `dns:QUERY,BASENAME[,polling_interval=MS,server=IP:PORT]`; those of a
    /// headless service, as `Kubernetes.DNS`: `kubernetes_dns:service=S,application_name=A`; or the hosts of its SRV
    /// records, as `Kubernetes.DNSSRV`: `kubernetes_dns_srv:service=S,namespace=N,application_name=A`.
    Dns(Dns),
    /// What a Kubernetes API lists, as `Kubernetes`: `kubernetes:node_basename=B,selector=app=B[,mode=ip|dns|hostname…]`.
    Kubernetes(Box<Kubernetes>),
    /// The containers of this one's service, as `Rancher`: `rancher:node_basename=B[,metadata=HOST:PORT]`.
    Rancher(Rancher),
}

/// A cluster cannot be formed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The socket for announcements cannot be opened.
    #[error("gossip on {address}: {error}")]
    Gossip {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A file cannot be used.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// A future of a hook.
pub type Hooked<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the strategies do to a node: libcluster's `connect`, `disconnect` and `list_nodes`.
pub trait Hooks: Send + Sync + 'static {
    /// Connects to a node that a strategy names.
    fn connect<'a>(&'a self, node: &'a Node, peer: NodeName) -> Hooked<'a, Result<(), DialError>> {
        Box::pin(node.connect(peer.atom()))
    }

    /// Leaves a node that no strategy names any more.
    fn disconnect<'a>(&'a self, node: &'a Node, peer: NodeName) -> Hooked<'a, bool> {
        Box::pin(node.disconnect(peer.atom()))
    }

    /// The nodes that need no connecting to; hidden ones count, as with libcluster.
    fn connected(&self, node: &Node) -> Vec<NodeName> {
        node.nodes_of(NodeKind::Connected)
    }
}

impl std::fmt::Debug for dyn Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// The hooks where nothing else is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultHooks;

impl Hooks for DefaultHooks {}

/// Forms a cluster around a node by these strategies, for as long as it runs.
///
/// # Errors
/// [`ClusterError`], when a strategy cannot begin.
pub fn start(node: &Node, strategies: &[Strategy], hooks: Arc<dyn Hooks>) -> Result<(), ClusterError> {
    if strategies.is_empty() {
        return Ok(());
    }
    let (reports, inbox) = mpsc::unbounded_channel();
    let mut sources = Vec::new();
    for strategy in strategies {
        sources.push(match strategy {
            Strategy::Static(nodes) => Source::Fixed(nodes.clone()),
            Strategy::LocalEpmd { every } => Source::Polled(Poll::LocalEpmd, *every),
            Strategy::Hosts { file, every } => Source::Polled(Poll::Hosts(hosts::load(file.as_deref())?), *every),
            Strategy::Dns(dns) => Source::Polled(Poll::Dns(dns.clone()), Some(dns.polling_interval)),
            Strategy::Kubernetes(api) => Source::Polled(Poll::Kubernetes(api.clone()), Some(api.polling_interval)),
            Strategy::Rancher(rancher) => {
                Source::Polled(Poll::Rancher(rancher.clone()), Some(rancher.polling_interval))
            }
            Strategy::Gossip(gossip) => Source::Heard(gossip.open(node.name())?),
        });
    }
    let formation = Formation::new(node.name(), sources.iter().map(Source::knows_all));
    for (index, source) in sources.into_iter().enumerate() {
        node.spawn_task(sources::run(node.clone(), index, source, reports.clone()));
    }
    node.spawn_task(server::form(node.clone(), hooks, formation, inbox));
    Ok(())
}
