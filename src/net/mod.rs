//! Sockets and the tasks that serve them.

pub mod epmd_client;
