//! How a node is set up.

use std::time::Duration;

use hashbrown::HashMap;

use crate::dflags::DFlags;
use crate::epmd;
use crate::handshake::Cookie;
use crate::net::{PortSource, Transport};
use crate::term::{Atom, NodeName};

/// Everything that is fixed when a node starts.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The name; for a dynamic one the host only is known, and the peer gives the rest.
    pub(crate) name: NodeName,
    pub(crate) cookie: Cookie,
    /// Cookies of single nodes, where they differ.
    pub(crate) cookies: HashMap<Atom, Cookie>,
    pub(crate) hidden: bool,
    /// How the ports of peers are found.
    pub(crate) ports: PortSource,
    /// Whether host names mean IPv6 addresses.
    pub(crate) ipv6: bool,
    /// Plain TCP or TLS.
    pub(crate) transport: Transport,
    pub(crate) net_ticktime: Duration,
    /// How many ticks to a tick time: BEAM's `net_tickintensity`.
    pub(crate) tick_intensity: u32,
    /// For each step of a connection's set-up: BEAM's `net_setuptime`.
    pub(crate) setup_time: Duration,
    /// Bytes queued for a peer from which senders wait: BEAM's `+zdbbl`.
    pub(crate) busy_limit: usize,
    /// The largest frame that is accepted, in bytes.
    pub(crate) max_frame: usize,
}

impl Config {
    pub(crate) fn new(name: NodeName, cookie: Cookie) -> Self {
        Self {
            name,
            cookie,
            cookies: HashMap::new(),
            hidden: false,
            ports: PortSource::Epmd(epmd::Config::DEFAULT_PORT),
            ipv6: false,
            transport: Transport::default(),
            net_ticktime: Duration::from_secs(60),
            tick_intensity: 4,
            setup_time: Duration::from_secs(7),
            busy_limit: 1024 * 1024,
            max_frame: 256 * 1024 * 1024,
        }
    }

    /// The flags that we publish.
    pub(crate) fn flags(&self) -> DFlags {
        if self.hidden { DFlags::default_hidden() } else { DFlags::default_visible() }
    }

    /// The cookie that we share with a peer.
    pub(crate) fn cookie_for(&self, peer: Atom) -> &Cookie {
        self.cookies.get(&peer).unwrap_or(&self.cookie)
    }
}
