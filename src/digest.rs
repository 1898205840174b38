//! SHA-256 over fields: the identity of a tokenizer or of a model.

use std::fmt::Write;

use sha2::{Digest as _, Sha256};

/// A digest that takes fields. Each is hashed with its length, so that two lists of fields never hash as the same bytes.
#[derive(Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    /// Adds the next field.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The digest in hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes all that is written");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_lengths_and_fields() {
        let mut digest = Digest::default();
        digest.field(b"ab");
        let whole = Sha256::digest(b"\x02\0\0\0\0\0\0\0ab");
        let hex: Vec<String> = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest.finish(), hex.concat());
    }

    #[test]
    fn what_one_field_ends_in_the_next_cannot_begin_with() {
        let of = |fields: [&[u8]; 2]| {
            let mut digest = Digest::default();
            fields.iter().for_each(|field| digest.field(field));
            digest.finish()
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
    }
}
