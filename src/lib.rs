//! A native node for Erlang and Elixir clusters.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod dflags;
#[cfg_attr(not(test), expect(dead_code, reason = "the sockets that drive it come next"))]
#[expect(unused_imports, reason = "likewise")]
pub mod dist;
pub mod epmd;
pub mod etf;
#[expect(dead_code, reason = "the sockets that drive it come next")]
#[cfg_attr(not(test), expect(unused_imports, reason = "likewise"))]
pub mod handshake;
pub mod net;
pub mod phash2;
pub mod serde;
pub mod term;

#[expect(dead_code, reason = "the layers that carry signals are built on it next")]
mod signal;
