//! The `tiebeam` program.

fn main() {}
