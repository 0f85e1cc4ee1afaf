//! The packet by which a node announces itself: `heartbeat::` and the term `#{node => 'name@host'}`, in the clear or
//! under a secret.

use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _, block_padding::Pkcs7};
use sha2::{Digest as _, Sha256};

use crate::term::NodeName;

/// The length of the random start of a packet under a secret.
pub(super) const IV: usize = 16;

/// No packet that means anything is longer: the name is an atom of at most 255 characters of four bytes.
pub(super) const LONGEST: usize = 1200;

const PRELUDE: &[u8] = b"heartbeat::";
/// The external format of a map of one entry, whose key is the atom `node`; of atoms there are four forms.
const MAP: &[u8] = &[131, 116, 0, 0, 0, 1];

/// The key that a secret stands for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Of a secret's SHA-256, as libcluster has it.
    pub(super) fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

/// The packet of a node. `iv` must be random for each packet under a secret.
pub(super) fn encode(node: NodeName, key: Option<&Key>, iv: [u8; IV]) -> Vec<u8> {
    let name = node.as_str().as_bytes();
    let mut plain = [PRELUDE, MAP, &[119, 4], b"node"].concat();
    match u8::try_from(name.len()) {
        Ok(len) => plain.extend([119, len]),
        Err(_long) => {
            plain.push(118);
            plain.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    plain.extend(name);
    let Some(key) = key else { return plain };
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.0.into(), &iv.into());
    [&iv[..], &cipher.encrypt_padded_vec_mut::<Pkcs7>(&plain)].concat()
}

/// The node that a packet announces, when it is one, and under this secret. The text is no node's name yet.
pub(super) fn decode(packet: &[u8], key: Option<&Key>) -> Option<String> {
    match key {
        None => plain(packet),
        Some(key) => {
            let (iv, sealed) = packet.split_first_chunk::<IV>()?;
            let cipher = cbc::Decryptor::<aes::Aes256>::new(&key.0.into(), iv.into());
            plain(&cipher.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()?)
        }
    }
}

fn plain(packet: &[u8]) -> Option<String> {
    let (key, rest) = atom(packet.strip_prefix(PRELUDE)?.strip_prefix(MAP)?)?;
    let (node, rest) = atom(rest)?;
    (key == "node" && rest.is_empty()).then_some(node)
}

fn atom(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (len, rest) = match tag {
        115 | 119 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        100 | 118 => rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        _ => return None,
    };
    let (text, rest) = rest.split_at_checked(len)?;
    let text = match tag {
        // Latin-1.
        100 | 115 => text.iter().copied().map(char::from).collect(),
        _ => std::str::from_utf8(text).ok()?.to_owned(),
    };
    Some((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn me() -> NodeName {
        NodeName::new("a@127.0.0.1").unwrap()
    }

    /// What `term_to_binary(#{node => 'a@127.0.0.1'})` gives on OTP 25, and since 26.
    const OLD: &str = "83740000000164 00046E6F6465 64 000B61403132372E302E302E31";
    const NEW: &str = "83740000000177 046E6F6465 77 0B61403132372E302E302E31";

    fn packet(term: &str) -> Vec<u8> {
        [PRELUDE, &bytes(&term.replace(' ', ""))].concat()
    }

    #[test]
    fn both_forms_of_atoms_are_read_and_the_newer_one_is_written() {
        assert_eq!(encode(me(), None, [0; IV]), packet(NEW));
        for term in [OLD, NEW] {
            assert_eq!(decode(&packet(term), None).as_deref(), Some("a@127.0.0.1"));
        }
    }

    #[test]
    fn a_secret_gives_the_bytes_that_libcluster_gives() {
        let key = Key::new("secret");
        let new = "7F0D933F5911EBA05F343DDC9AB29BE5D6F98B3C7C7A4861377C8BC259925220723F7589089E06FFD1CECCB80B72D211";
        assert_eq!(encode(me(), Some(&key), [0; IV]), [vec![0; IV], bytes(new)].concat());
        let old = "7F0D933F5911EBA05F343DDC9AB29BE5E0AEEFB31F48CC450C5C6A3D981C7F57A8FC5AB7BC5381A30B6C8CDE6F455399";
        let old = [vec![0; IV], bytes(old)].concat();
        assert_eq!(decode(&old, Some(&key)).as_deref(), Some("a@127.0.0.1"));
        assert_eq!(decode(&old, Some(&Key::new("other"))), None);
        assert_eq!(decode(&old, None), None);
        assert_eq!(decode(&packet(NEW), Some(&key)), None);
    }

    #[test]
    fn what_is_cut_short_or_longer_says_nothing() {
        let key = Key::new("secret");
        for (whole, key) in [(encode(me(), None, [0; IV]), None), (encode(me(), Some(&key), [7; IV]), Some(&key))] {
            assert_eq!(decode(&whole, key).as_deref(), Some("a@127.0.0.1"));
            for len in 0..whole.len() {
                assert_eq!(decode(&whole[..len], key), None, "{len}");
            }
            assert_eq!(decode(&[&whole[..], &[0]].concat(), key), None);
        }
    }

    #[test]
    fn the_longest_name_fits() {
        let long = NodeName::new(&format!("a@{}", "h".repeat(253))).unwrap();
        let packet = encode(long, Some(&Key::new("s")), [1; IV]);
        assert!(packet.len() <= LONGEST);
        assert_eq!(decode(&packet, Some(&Key::new("s"))).as_deref(), Some(long.as_str()));
    }
}
