//! EPMD, the Erlang Port Mapper Daemon: which node of a machine listens on which port.
//!
//! One TCP connection a request: `u16 length`, then that many bytes, the first of which says what is
//! asked. Replies have no length; all but the one to ALIVE2 end with the server closing.
//!
//! ```text
//! node  ──ALIVE2──▶ epmd     "I am `name` and listen on `port`"
//! node  ◀──result── epmd     with the node's creation; the connection stays open, and *is* the
//!                            registration: when it closes, or the node writes on it, the name is gone
//! peer  ─PORT2────▶ epmd     "where is `name`?"
//! peer  ◀──────────  epmd     everything the node told, or "unknown"; then close
//! ```
//! NAMES and DUMP list what is registered, KILL ends the daemon, STOP takes one name away. All but
//! PORT2 and NAMES are for peers on the same machine. (ERTS User's Guide, "Distribution Protocol",
//! section "EPMD Protocol"; what the guide leaves open follows erts' own daemon.)
//!
//! Here is the protocol without a socket: `request` and `reply` are the messages, `registry` the names
//! and `answer` the rules by which a daemon answers. `net` carries them.

pub(crate) mod answer;
pub(crate) mod config;
mod error;
mod registration;
pub(crate) mod registry;
pub(crate) mod reply;
pub(crate) mod request;

pub use config::Config;
pub use error::{Error, Phase};
pub use registration::Registration;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
