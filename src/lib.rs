//! A native node for Erlang and Elixir clusters.
//!
//! A program that starts a [`Node`] is a visible peer of real BEAM nodes: it registers with EPMD, shakes hands with the
//! cookie, answers `:rpc` and `:erpc`, calls, sends, links and monitors. Erlang's words are used throughout.
//!
//! ```no_run
//! use tiebeam::{Cookie, Node, term};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder("rust@127.0.0.1").cookie(Cookie::from_home()?).start().await?;
//!
//! // `:rpc.call(:"rust@127.0.0.1", Elixir.Math, :add, [1, 2])` from iex.
//! node.export("Elixir.Math", "add", |(a, b): (i64, i64)| async move { Ok(a + b) });
//!
//! // And the other way.
//! let sum: i64 = node.rpc("a@127.0.0.1").call("lists", "sum", (vec![-1, 2, 3],)).await?;
//!
//! let mut me = node.process();
//! me.register("greeter")?;
//! me.send(("shell", "a@127.0.0.1"), term!({:hello, me.pid(), sum})).await?;
//! let answer: String = me.receive().await?.decode()?;
//! # let _ = answer;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Modules use only what is below them; below the line nothing knows a socket, a clock or randomness.
//!
//! ```text
//! cli · demo · builder   the program, its demo services, a node with all its services
//! cluster · metrics      nodes that find each other, as with libcluster; figures for a recorder
//! horde                  Horde's members and strategies
//! standard               functions that BEAM peers and tools expect
//! delta_crdt · pubsub    replicas that sync with Elixir's DeltaCrdt; Phoenix's broadcasts
//! global · pg            names, locks and groups of the whole cluster
//! supervisor             supervisors that Elixir can ask and tell
//! rpc                    calling functions across nodes
//! io · gen_server        group leaders and devices; servers for gen_server and GenServer
//! node                   who is connected, nodeup and nodedown
//! net                    sockets and tasks: EPMD, dialling, connections
//! process                mailboxes, links, monitors, names, the router
//! ---------------------------------------------------------------------------
//! epmd · handshake · dist · crdt           protocols and replicated data, as state machines
//! serde · text · signal · dflags · phash2
//! etf                    the external term format
//! term                   values
//! ```

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod delta_crdt;
pub mod demo;
pub mod dflags;
pub mod dist;
pub mod epmd;
pub mod etf;
pub mod gen_server;
pub mod global;
pub mod handshake;
pub mod horde;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod net;
pub mod node;
pub mod pg;
pub mod phash2;
pub mod process;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub mod rpc;
pub mod serde;
pub mod supervisor;
pub mod term;
pub mod text;

mod builder;
mod crdt;
mod io;
mod signal;
mod standard;

pub use crate::builder::{NodeBuilder, StartError};
pub use crate::handshake::Cookie;
#[cfg(feature = "tls")]
pub use crate::net::{TlsConfig, TlsError};
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
