//! Sockets and the tasks that serve them.

mod connection;
pub(crate) mod dial;
pub mod epmd_client;
pub mod epmd_server;
mod error;
mod greet;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod writer;

pub use self::connection::Peer;
pub(crate) use self::connection::{Connection, Link, Traffic};
pub(crate) use self::dial::PortSource;
pub use self::error::{Closed, DialError};
pub(crate) use self::greet::Greeting;
pub(crate) use self::stream::Stream;
#[cfg(feature = "tls")]
pub(crate) use self::tls::Tls;
#[cfg(feature = "tls")]
pub use self::tls::{TlsConfig, TlsError};
pub(crate) use self::transport::Transport;
