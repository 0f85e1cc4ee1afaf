//! Recorded exchanges of Elixir's replicas, replayed; simulated replicas that lose, repeat and reorder messages; the process.

mod process;
mod recorded;
mod simulated;
#[cfg(feature = "storage")]
mod stored;
