//! Bytes of terms, from peers and from storage.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tiebeam::fuzz::fuzz_etf(data));
