//! Secrets, of which only digests are kept.

use std::fmt;

use constant_time_eq::constant_time_eq_32;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub(super) struct SecretDigest([u8; Self::LEN]);

impl SecretDigest {
    const LEN: usize = 32;

    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The digest that is written in hexadecimal; `None` for any other text.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        let is_whole = hex.len() == 2 * Self::LEN && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_whole {
            return None;
        }
        let mut bytes = [0; Self::LEN];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Compares all bytes, so that the time does not say where the first difference is.
    pub(super) fn equals(&self, other: &Self) -> bool {
        constant_time_eq_32(&self.0, &other.0)
    }
}

/// Not even a digest belongs in a log: a short secret can be found from it.
impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum`
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_secret_and_its_digest_in_hexadecimal_are_the_same() {
        let digest = SecretDigest::parse(ABC).unwrap();
        assert!(digest.equals(&SecretDigest::of("abc")));
        assert!(digest.equals(&SecretDigest::parse(&ABC.to_uppercase()).unwrap()));
        assert!(!digest.equals(&SecretDigest::of("abd")));
    }

    #[test]
    fn digests_differ_if_any_byte_does() {
        let digest = SecretDigest::of("abc");
        for index in 0..SecretDigest::LEN {
            let mut other = digest;
            other.0[index] ^= 1;
            assert!(!digest.equals(&other), "byte {index}");
        }
    }

    #[test]
    fn what_is_not_64_digits_is_no_digest() {
        for text in
            ["", "ba78", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &ABC.replace("ba", "é")]
        {
            assert!(SecretDigest::parse(text).is_none(), "{text}");
        }
    }
}
