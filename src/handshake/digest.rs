//! The cookie, and the digests that prove its possession without showing it.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// The secret that the nodes of a cluster share. It is never shown: `Debug` prints `***`.
#[derive(Clone)]
pub struct Cookie(Arc<[u8]>);

/// A text that cannot be a cookie. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// Nothing at all.
    #[error("a cookie is not empty")]
    Empty,
    /// More than an atom holds.
    #[error("a cookie has at most 255 characters")]
    TooLong,
    /// A character that the digest of a BEAM cannot take.
    #[error("a cookie has Latin-1 characters only")]
    NotLatin1,
}

impl Cookie {
    /// The cookie of this text.
    ///
    /// # Errors
    /// A text that a BEAM could not use as a cookie: see [`CookieError`].
    pub fn new(text: &str) -> Result<Self, CookieError> {
        if text.is_empty() {
            return Err(CookieError::Empty);
        }
        if text.chars().nth(255).is_some() {
            return Err(CookieError::TooLong);
        }
        let latin1: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        latin1.map(|bytes| Self(bytes.into())).map_err(|_wide_character| CookieError::NotLatin1)
    }

    /// The text, for whoever has to hand it on; nothing else shows it.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| char::from(*byte)).collect()
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(***)")
    }
}

impl TryFrom<&str> for Cookie {
    type Error = CookieError;

    fn try_from(text: &str) -> Result<Self, CookieError> {
        Self::new(text)
    }
}

impl std::str::FromStr for Cookie {
    type Err = CookieError;

    fn from_str(text: &str) -> Result<Self, CookieError> {
        Self::new(text)
    }
}

/// A number that the other side has to answer with the digest of it and the cookie. It must be unpredictable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge(pub(crate) u32);

/// The answer to a challenge. There is no `==`: see [`Digest::verify`].
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; 16]);

impl Digest {
    /// `MD5(cookie ++ decimal(challenge))`.
    pub(crate) fn new(cookie: &Cookie, challenge: Challenge) -> Self {
        let mut context = md5::Context::new();
        context.consume(&cookie.0);
        context.consume(challenge.0.to_string());
        Self(context.finalize().0)
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub(crate) fn verify(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(cookie: &str, challenge: u32) -> String {
        let cookie = Cookie::new(cookie).expect("a cookie");
        Digest::new(&cookie, Challenge(challenge)).bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_are_those_of_otp() {
        assert_eq!(digest("tb", 12345), "e1b317999c61f65ef8f95606cd276301");
        assert_eq!(digest("monster", u32::MAX), "9dffd90a48c46a8277429bfdefc02ebe");
    }

    #[test]
    fn a_cookie_is_taken_as_latin1_and_never_shown() {
        let cookie = Cookie::new("påsk").expect("Latin-1");
        assert_eq!(*cookie.0, [b'p', 0xE5, b's', b'k']);
        assert_eq!(format!("{cookie:?}"), "Cookie(***)");
        assert_eq!(Cookie::new("").err(), Some(CookieError::Empty));
        assert_eq!(Cookie::new(&"x".repeat(256)).err(), Some(CookieError::TooLong));
        assert_eq!(Cookie::new("→").err(), Some(CookieError::NotLatin1));
    }

    #[test]
    fn digests_of_other_cookies_or_challenges_do_not_verify() {
        let (one, other) = (Cookie::new("one").expect("a cookie"), Cookie::new("other").expect("a cookie"));
        let digest = Digest::new(&one, Challenge(1));
        assert!(digest.verify(&Digest::new(&one, Challenge(1))));
        assert!(!digest.verify(&Digest::new(&one, Challenge(2))));
        assert!(!digest.verify(&Digest::new(&other, Challenge(1))));
    }
}
