//! Scenarios against real BEAMs.
