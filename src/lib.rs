//! A native node for Erlang and Elixir clusters.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod demo;
pub mod dflags;
pub mod dist;
pub mod epmd;
pub mod etf;
pub mod gen_server;
pub mod handshake;
pub mod net;
pub mod node;
pub mod phash2;
pub mod process;
pub mod rpc;
pub mod serde;
pub mod term;
pub mod text;

mod builder;
mod io;
mod signal;
mod standard;

pub use crate::builder::{NodeBuilder, StartError};
pub use crate::handshake::Cookie;
pub use crate::node::Node;
pub use crate::process::Process;
pub use crate::term::{Atom, Pid, Ref, Term};

/// What `cargo fuzz` drives; see `fuzz/`.
#[cfg(fuzzing)]
pub mod fuzz {
    pub use crate::dist::fuzz_dist;
    pub use crate::etf::fuzz::fuzz_etf;
    pub use crate::handshake::fuzz_handshake;
}
