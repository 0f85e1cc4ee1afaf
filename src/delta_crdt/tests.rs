//! Recorded exchanges of Elixir's replicas, replayed; and simulated replicas that lose, repeat and reorder messages.

mod recorded;
mod simulated;
