//! What the command line says about TLS and IPv6, for nodes and one-shots alike.

use clap::Args;

#[cfg(feature = "tls")]
use super::exit::Usage;
use crate::NodeBuilder;
#[cfg(feature = "tls")]
use crate::net::TlsConfig;

/// How nodes talk.
#[derive(Debug, Args)]
pub(crate) struct Transport {
    /// Host names mean IPv6 addresses, as `-proto_dist inet6_tcp`.
    #[arg(long, global = true)]
    pub(crate) ipv6: bool,
    /// The port of every node, instead of asking EPMDs: as -erl_epmd_port.
    #[arg(long, global = true, value_name = "N", env = "ERL_DIST_PORT")]
    pub(crate) dist_port: Option<u16>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: Tls,
}

#[cfg(feature = "tls")]
#[derive(Debug, Args)]
struct Tls {
    /// Talk TLS, as `-proto_dist inet_tls`: our certificate (chain).
    #[arg(long, global = true, value_name = "PEM")]
    tls_cert: Option<std::path::PathBuf>,
    /// The certificate's key.
    #[arg(long, global = true, value_name = "PEM")]
    tls_key: Option<std::path::PathBuf>,
    /// The authorities whose certificates are believed.
    #[arg(long, global = true, value_name = "PEM")]
    tls_ca: Option<std::path::PathBuf>,
    /// Whether the other side's certificate is checked.
    #[arg(long, global = true, value_enum, default_value_t = Verify::Peer)]
    tls_verify: Verify,
}

#[cfg(feature = "tls")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Verify {
    Peer,
    None,
}

impl Transport {
    pub(crate) fn apply(&self, builder: NodeBuilder) -> anyhow::Result<NodeBuilder> {
        let builder = match self.dist_port {
            Some(port) => builder.peer_port(port),
            None => builder,
        };
        let builder = if self.ipv6 { builder.ipv6() } else { builder };
        #[cfg(feature = "tls")]
        let builder = match self.tls.config()? {
            Some(config) => builder.tls(config),
            None => builder,
        };
        Ok(builder)
    }

    /// What TLS is to be like; nothing where it was not asked for.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Result<Option<TlsConfig>, Usage> {
        self.tls.config()
    }
}

#[cfg(feature = "tls")]
impl Tls {
    fn config(&self) -> Result<Option<TlsConfig>, Usage> {
        let config = match (&self.tls_cert, &self.tls_key, &self.tls_ca, self.tls_verify) {
            (None, None, None, _) => return Ok(None),
            (Some(cert), Some(key), Some(ca), Verify::Peer) => TlsConfig::mutual(cert, key, ca),
            (Some(cert), Some(key), _, Verify::None) => TlsConfig::unverified(cert, key),
            (Some(_), Some(_), None, Verify::Peer) => {
                return Err(Usage("--tls-ca is needed to check peers (or --tls-verify none)"));
            }
            (_, _, _, Verify::Peer | Verify::None) => {
                return Err(Usage("TLS needs both --tls-cert and --tls-key"));
            }
        };
        Ok(Some(config))
    }
}
