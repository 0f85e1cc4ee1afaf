//! Simulated clusters: tables converge, locks exclude.
