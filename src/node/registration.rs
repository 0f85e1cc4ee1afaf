//! Being found: the node's name at an EPMD, kept there for the node's life.
//!
//! The registration lasts as long as its socket. When the EPMD ends, the node registers again every two seconds, and
//! keeps its creation whatever the new EPMD says, as BEAMs do.

use std::time::Duration;

use super::Node;
use crate::epmd::{self, Registration};
use crate::net::epmd_client::{self, Registered};
use crate::net::epmd_server::{EpmdServer, Running, Settings};
use crate::term::{Creation, NodeName};

/// How the node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EpmdMode {
    /// The machine's EPMD where one runs, else one embedded in this node; with a port that all peers know
    /// ([`peer_port`](crate::NodeBuilder::peer_port)), none is made.
    #[default]
    Auto,
    /// The machine's EPMD; starting fails where none runs.
    Require,
    /// One embedded in this node; starting fails where another runs.
    Embedded,
    /// None: peers must know the port.
    Off,
}

/// Which EPMD a node has turned out to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpmdUse {
    /// One that ran already.
    Existing,
    /// Its own.
    Embedded,
    /// None.
    Off,
}

/// Registers one node, as often as needed.
#[derive(Debug)]
pub(crate) struct Registrar {
    mode: EpmdMode,
    config: epmd::Config,
    registration: Registration,
    /// Peers know the port without an EPMD.
    is_known: bool,
}

/// A registration that holds.
#[derive(Debug)]
pub(crate) struct Held {
    registered: Option<Registered>,
    /// Our own EPMD, which others may have registered with too.
    server: Option<Running>,
}

impl Held {
    /// The creation that the EPMD gave.
    pub(crate) fn creation(&self) -> Option<Creation> {
        self.registered.as_ref().map(|registered| Creation(registered.creation()))
    }

    pub(crate) fn epmd_use(&self) -> EpmdUse {
        match (&self.registered, &self.server) {
            (None, _) => EpmdUse::Off,
            (Some(_), Some(_)) => EpmdUse::Embedded,
            (Some(_), None) => EpmdUse::Existing,
        }
    }
}

impl Registrar {
    pub(crate) fn new(mode: EpmdMode, config: epmd::Config, name: NodeName, port: u16, hidden: bool) -> Self {
        let registration = Registration::new(name.name(), port);
        let registration = if hidden { registration.hidden() } else { registration };
        Self { mode, config, registration, is_known: false }
    }

    /// For a node that all peers find without an EPMD: one that runs is told of it, but none is made.
    pub(crate) fn known(self, is_known: bool) -> Self {
        Self { is_known, ..self }
    }

    /// Registers, with an EPMD of our own where the mode says so.
    pub(crate) async fn register(&self) -> Result<Held, epmd::Error> {
        match self.mode {
            EpmdMode::Off => Ok(Held { registered: None, server: None }),
            EpmdMode::Require => self.register_with(None).await,
            EpmdMode::Embedded => self.register_with(Some(self.serve().await?)).await,
            EpmdMode::Auto => match self.register_with(None).await {
                Err(epmd::Error::NoEpmd(_)) if self.is_known => Ok(Held { registered: None, server: None }),
                Err(epmd::Error::NoEpmd(_)) => match self.serve().await {
                    Ok(server) => self.register_with(Some(server)).await,
                    // Somebody else's EPMD came up in between.
                    Err(epmd::Error::AddressInUse(_)) => self.register_with(None).await,
                    Err(error) => Err(error),
                },
                registered => registered,
            },
        }
    }

    async fn serve(&self) -> Result<Running, epmd::Error> {
        let settings = Settings { listen: self.config.clone(), ..Settings::default() };
        Ok(EpmdServer::bind(settings).await?.spawn())
    }

    async fn register_with(&self, server: Option<Running>) -> Result<Held, epmd::Error> {
        let registered = epmd_client::register(self.config.local(), &self.registration).await?;
        Ok(Held { registered: Some(registered), server })
    }
}

/// Keeps the node registered until it shuts down.
pub(crate) async fn stay_registered(node: Node, registrar: Registrar, held: Held) {
    let mut held = held;
    let mut stopping = node.stopping();
    loop {
        let lost = async {
            match &mut held.registered {
                Some(registered) => registered.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = lost => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
        tracing::warn!("EPMD has ended, or has dropped our registration; registering again");
        tokio::select! {
            again = register_again(&registrar, held.server.take()) => held = again,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
        node.set_epmd_use(held.epmd_use());
    }
    drop(held.registered.take());
    if let Some(server) = held.server.take() {
        server.shutdown().await;
    }
}

async fn register_again(registrar: &Registrar, own: Option<Running>) -> Held {
    const PAUSE: Duration = Duration::from_secs(2);
    // Our own EPMD goes on serving others while we cannot register with it.
    let mut own = own;
    loop {
        let registered = match &own {
            Some(_) => registrar.register_with(None).await,
            None => registrar.register().await,
        };
        match registered {
            Ok(mut held) => {
                held.server = held.server.or_else(|| own.take());
                tracing::info!(epmd = ?held.epmd_use(), "registered again");
                return held;
            }
            Err(error) => tracing::warn!(%error, "not registered with EPMD"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
