//! Messages of the handshake, to both roles.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tiebeam::fuzz::fuzz_handshake(data));
