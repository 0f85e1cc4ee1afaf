//! Frames, as a connected peer sends them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tiebeam::fuzz::fuzz_dist(data));
