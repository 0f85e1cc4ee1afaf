//! How a TCP connection becomes what nodes talk over: left as it is, or made TLS.

use std::time::Duration;

use tokio::net::TcpStream;

use super::error::DialError;
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::Tls;

/// BEAM's `-proto_dist`, but for the address family.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<std::sync::Arc<Tls>>,
}

impl Transport {
    /// For a connection that we made to the node at `host`.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, unused_variables))]
    pub(crate) async fn dialled(&self, tcp: TcpStream, host: &str, limit: Duration) -> Result<Stream, DialError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.connect(tcp, host, limit).await;
        }
        Ok(Stream::Plain(tcp))
    }

    /// For a connection that a peer made.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_async, unused_variables))]
    pub(crate) async fn accepted(&self, tcp: TcpStream, limit: Duration) -> Result<Stream, DialError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.accept(tcp, limit).await;
        }
        Ok(Stream::Plain(tcp))
    }
}
