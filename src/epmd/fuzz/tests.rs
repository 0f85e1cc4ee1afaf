use proptest::prelude::*;

use super::*;
use crate::epmd::Registration;

/// Requests that an EPMD understands.
pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        any_registration().prop_map(Request::Alive2),
        any::<u16>().prop_map(|highest| Request::Unregistrable { highest }),
        any_name(254).prop_map(Request::PortPlease2),
        Just(Request::Names),
        Just(Request::Dump),
        Just(Request::Kill),
        any_name(255).prop_map(Request::Stop),
    ]
}

fn any_name(max: usize) -> impl Strategy<Value = String> {
    let char = any::<char>().prop_map(|c| if c == '\0' { 'x' } else { c });
    prop::collection::vec(char, 1..=max).prop_map(|chars| chars.into_iter().collect())
}

fn any_registration() -> impl Strategy<Value = Registration> {
    let numbers = (any::<u16>(), any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>());
    (any_name(255), prop::collection::vec(any::<u8>(), 0..=1020), numbers).prop_map(|(name, extra, numbers)| {
        let (port, node_type, protocol, highest, lowest) = numbers;
        Registration { name, port, node_type, protocol, highest, lowest, extra }
    })
}

/// A message in good form, cut and with a few bytes changed.
fn nearly_a_message() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        any_request().prop_map(|request| request.encode()),
        any_registration().prop_map(|node| reply::encode_port2(Some(&node))),
        any_registration().prop_map(|node| reply::encode_names(4369, [node].iter())),
    ];
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (message, any::<prop::sample::Index>(), damage).prop_map(|(mut bytes, cut, damage)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes
    })
}

/// `PROPTEST_CASES` turns the number up or down.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(usual), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(100_000))]
    #[test]
    fn any_bytes_are_understood_or_refused(data in prop::collection::vec(any::<u8>(), 0..48)) {
        fuzz_epmd(&data);
    }
}

proptest! {
    #![proptest_config(cases(2_000))]
    #[test]
    fn damaged_messages_are_understood_or_refused(data in nearly_a_message()) {
        fuzz_epmd(&data);
    }
}
