//! Sockets and the tasks that serve them.

pub mod epmd_client;
pub mod epmd_server;
