//! A native node for Erlang and Elixir clusters.

pub mod term;
