//! A native node for Erlang and Elixir clusters.

pub mod epmd;
pub mod dflags;
pub mod etf;
pub mod net;
pub mod term;

#[expect(dead_code, reason = "the layers that carry signals are built on it next")]
mod signal;
