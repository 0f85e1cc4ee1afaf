//! Sockets and the tasks that serve them.

mod connection;
pub(crate) mod dial;
pub mod epmd_client;
pub mod epmd_server;
mod error;
mod greet;
mod writer;

pub use self::connection::Peer;
pub(crate) use self::connection::{Connection, Link, Traffic};
pub(crate) use self::dial::PortSource;
pub use self::error::{Closed, DialError};
pub(crate) use self::greet::Greeting;
