//! Setting a node up, and starting it with all its services.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::epmd;
use crate::handshake::Cookie;
use crate::net::{DialError, PortSource, dial};
#[cfg(feature = "tls")]
use crate::net::{Tls, TlsConfig, TlsError};
use crate::node::dial::{adopt, be_named};
use crate::node::registration::{self, Registrar};
use crate::node::{Config, CookieFileError, EpmdMode, EpmdUse, Node};
use crate::process::RegisterError;
use crate::term::{Atom, Creation, NodeName, NodeNameError};
use crate::{global, io, rpc, standard};

/// Sets a node up; made by [`Node::builder`].
#[derive(Debug, Clone)]
#[must_use = "a node starts with `start`"]
pub struct NodeBuilder {
    name: String,
    cookie: Option<Cookie>,
    cookies: Vec<(Atom, Cookie)>,
    hidden: bool,
    listen: Option<IpAddr>,
    port: u16,
    listed: bool,
    named_by: Option<String>,
    epmd: EpmdMode,
    epmd_config: Option<epmd::Config>,
    peer_port: Option<u16>,
    ipv6: bool,
    #[cfg(feature = "tls")]
    tls: Option<TlsConfig>,
    net_ticktime: Duration,
    init_stop: bool,
    connect_all: bool,
    prevent_overlapping_partitions: bool,
    busy_limit: Option<usize>,
    #[cfg(feature = "cluster")]
    strategies: Vec<crate::cluster::Strategy>,
    #[cfg(feature = "cluster")]
    hooks: std::sync::Arc<dyn crate::cluster::Hooks>,
}

/// A node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NodeNameError),
    /// There is no cookie.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// The name's host has no address.
    #[error(transparent)]
    Host(#[from] DialError),
    /// The port cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// EPMD does not run, or refuses the name.
    #[error(transparent)]
    Epmd(#[from] epmd::Error),
    /// TLS cannot be set up.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A strategy cannot begin.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] crate::cluster::ClusterError),
    /// A service's name is taken.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

impl Node {
    /// Sets up a node of this name, `name@host`.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder {
            name: name.into(),
            cookie: None,
            cookies: Vec::new(),
            hidden: false,
            listen: None,
            port: 0,
            listed: true,
            named_by: None,
            epmd: EpmdMode::Auto,
            epmd_config: None,
            peer_port: None,
            ipv6: false,
            #[cfg(feature = "tls")]
            tls: None,
            net_ticktime: Duration::from_secs(60),
            init_stop: false,
            connect_all: true,
            prevent_overlapping_partitions: true,
            busy_limit: None,
            #[cfg(feature = "cluster")]
            strategies: Vec::new(),
            #[cfg(feature = "cluster")]
            hooks: std::sync::Arc::new(crate::cluster::DefaultHooks),
        }
    }
}

impl NodeBuilder {
    /// The cookie of the cluster. Without it, that of `~/.erlang.cookie` is taken.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// The cookie for one peer, where it differs.
    pub fn cookie_for(mut self, peer: impl Into<Atom>, cookie: Cookie) -> Self {
        self.cookies.push((peer.into(), cookie));
        self
    }

    /// Joins as a hidden node: not listed by `nodes()`, no part of the mesh.
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The address to listen on; the first one of the name's host otherwise.
    pub fn listen(mut self, address: IpAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// The port to listen on; any free one otherwise.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Neither listens nor registers: peers reach this node over the connections that it makes.
    pub fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// Takes its name from `peer`, which gives one that no other node of the cluster has; of the name given to
    /// [`Node::builder`] only the host counts. Such a node is hidden and unlisted, as `erl -name undefined` is.
    pub fn dynamic(mut self, peer: impl Into<String>) -> Self {
        self.named_by = Some(peer.into());
        self.hidden().unlisted()
    }

    /// How the node is found; [`EpmdMode::Auto`] otherwise.
    pub fn epmd(mut self, mode: EpmdMode) -> Self {
        self.epmd = mode;
        self
    }

    /// Where EPMDs listen; what `ERL_EPMD_PORT` and `ERL_EPMD_ADDRESS` say otherwise.
    pub fn epmd_config(mut self, config: epmd::Config) -> Self {
        self.epmd_config = Some(config);
        self
    }

    /// The port that every peer listens on, so that no EPMD is asked: as `-erl_epmd_port`.
    pub fn peer_port(mut self, port: u16) -> Self {
        self.peer_port = Some(port);
        self
    }

    /// Host names mean IPv6 addresses, for this node and its peers: as `-proto_dist inet6_tcp`.
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// Talks TLS, in both roles: as `-proto_dist inet_tls`. Files that change are loaded again.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// After how long a silent peer is given up; the kernel's `net_ticktime`, 60 seconds.
    pub fn net_ticktime(mut self, time: Duration) -> Self {
        self.net_ticktime = time;
        self
    }

    /// From how many queued bytes on senders to a peer wait; the emulator's `+zdbbl`, 1 MiB.
    pub fn busy_limit(mut self, bytes: usize) -> Self {
        self.busy_limit = Some(bytes);
        self
    }

    /// Lets peers end this node by `init:stop()`: then [`Node::stopped`] returns, and the program calls
    /// [`Node::shutdown`]. Without it `init:stop/0` is `undef`.
    pub fn allow_init_stop(mut self) -> Self {
        self.init_stop = true;
        self
    }

    /// Whether to connect to every node that a peer is connected to, and share `:global` names with them; on by default,
    /// as the kernel's `connect_all`.
    pub fn connect_all(mut self, whether: bool) -> Self {
        self.connect_all = whether;
        self
    }

    /// Whether to leave nodes that others have lost, so that parts of the cluster never overlap; on by default, as the
    /// kernel parameter of that name. All nodes of a cluster should agree.
    pub fn prevent_overlapping_partitions(mut self, whether: bool) -> Self {
        self.prevent_overlapping_partitions = whether;
        self
    }

    /// Finds other nodes by this strategy; may be said several times.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, strategy: crate::cluster::Strategy) -> Self {
        self.strategies.push(strategy);
        self
    }

    /// What the strategies do instead of connecting and disconnecting, and which nodes they take for connected.
    #[cfg(feature = "cluster")]
    pub fn cluster_hooks(mut self, hooks: impl crate::cluster::Hooks) -> Self {
        self.hooks = std::sync::Arc::new(hooks);
        self
    }

    /// Starts the node: it listens, is registered, and serves `net_kernel`, `rex`, `erpc` and I/O.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self) -> Result<Node, StartError> {
        let name = NodeName::new(&self.name)?;
        let cookie = match self.cookie.clone() {
            Some(cookie) => cookie,
            None => Cookie::from_home()?,
        };
        let epmd_config = match self.epmd_config.clone() {
            Some(config) => config,
            None => epmd::Config::from_vars(|name| std::env::var(name).ok())?,
        };
        let mut config = Config::new(name, cookie);
        config.cookies = self.cookies.iter().cloned().collect();
        config.hidden = self.hidden;
        config.net_ticktime = self.net_ticktime;
        config.ipv6 = self.ipv6;
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls.clone() {
            config.transport.tls = Some(std::sync::Arc::new(Tls::new(tls)?));
        }
        config.busy_limit = self.busy_limit.unwrap_or(config.busy_limit);
        config.ports = self.peer_port.map_or(PortSource::Epmd(epmd_config.port), PortSource::Fixed);
        if let Some(peer) = &self.named_by {
            let peer = NodeName::new(peer)?;
            let (stream, established) = be_named(&config, peer).await?;
            config.name = established.name;
            let node = self.start_services(Node::new(config, established.creation, random()?), EpmdUse::Off)?;
            adopt(&node, stream, established).await;
            return Ok(node);
        }
        if self.listed {
            self.start_listed(config, epmd_config).await
        } else {
            self.start_services(Node::new(config, random_creation()?, random()?), EpmdUse::Off)
        }
    }

    async fn start_listed(&self, config: Config, epmd_config: epmd::Config) -> Result<Node, StartError> {
        let listener = self.bind(&config).await?;
        let address =
            listener.local_addr().map_err(|error| StartError::Listen { address: ([0; 4], 0).into(), error })?;
        let registrar = Registrar::new(self.epmd, epmd_config, config.name, address.port(), config.hidden)
            .known(self.peer_port == Some(address.port()));
        let registered = registrar.register().await?;
        let creation = match registered.creation() {
            Some(creation) => creation,
            None => random_creation()?,
        };
        let node = Node::new(config, creation, random()?);
        node.set_listening(address);
        let node = self.start_services(node, registered.epmd_use())?;
        node.spawn_task(registration::stay_registered(node.clone(), registrar, registered));
        node.spawn_task(crate::node::accept::accept_peers(node.clone(), listener));
        #[cfg(feature = "cluster")]
        crate::cluster::start(&node, &self.strategies, std::sync::Arc::clone(&self.hooks))?;
        Ok(node)
    }

    fn start_services(&self, node: Node, epmd: EpmdUse) -> Result<Node, StartError> {
        node.set_epmd_use(epmd);
        io::start(&node)?;
        rpc::start(&node)?;
        standard::export(&node);
        if self.init_stop {
            standard::export_init_stop(&node);
        }
        if !self.hidden {
            global::start(&node, self.connect_all, self.prevent_overlapping_partitions)?;
        }
        Ok(node)
    }

    async fn bind(&self, config: &Config) -> Result<TcpListener, StartError> {
        let ip = match self.listen {
            Some(ip) => ip,
            None => dial::resolve(config.name.host(), config.ipv6).await?,
        };
        let address = SocketAddr::new(ip, self.port);
        TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
    }
}

/// A creation for a node that no EPMD gave one: not zero, and none of 1 to 3, which are those of before OTP 23.
fn random_creation() -> Result<Creation, StartError> {
    Ok(Creation(random()? | 4))
}

fn random() -> Result<u32, StartError> {
    getrandom::u32().map_err(|error| StartError::Random(error.to_string()))
}
