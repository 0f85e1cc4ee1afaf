//! Any bytes, as requests and as replies: nothing panics, and what is understood survives a round trip.

use crate::epmd::reply::{self, Alive2};
use crate::epmd::request::{Request, RequestReader};

/// What must hold for whatever a peer sends.
pub(crate) fn fuzz_epmd(data: &[u8]) {
    let mut reader = RequestReader::default();
    let whole = reader.handle_bytes(data.get(..reader.room()).unwrap_or(data));
    if let Ok(Some(request)) = &whole {
        assert_eq!(reader.room(), 0);
        if !matches!(request, Request::Stop(name) if name.is_empty()) {
            assert_eq!(Request::decode(&request.encode()[2..]).as_ref(), Ok(request));
        }
    }
    let mut slow = RequestReader::default();
    for byte in data.chunks(1) {
        if slow.room() == 0 || !matches!(slow.handle_bytes(byte), Ok(None)) {
            break;
        }
    }
    let _ = Request::decode(data);
    if let Ok(Some(Alive2::Registered { creation })) = Alive2::decode(data) {
        assert!(data.len() == 6 || creation <= 0xffff);
    }
    if let Ok(Some(Some(node))) = reply::decode_port2(data) {
        assert!(data.starts_with(&reply::encode_port2(Some(&node))));
    }
    if let Ok((_, text)) = reply::decode_listing(data) {
        let names = reply::parse_names(text);
        assert!(names.len() <= text.len());
    }
}

#[cfg(test)]
pub(crate) mod tests;
