//! The beginning of a compressed file: what it was coded with, and what comes out of it.

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The first bytes of every compressed file; the version of the format and a line's end follow.
const NAME: &[u8; 6] = b"RNNLMz";

/// The version of the format that is written and read.
const VERSION: u8 = 2;

/// The first bytes of a SHA-256.
pub type Prefix = [u8; 16];

/// What a file was coded with. All of it must be the same to decode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The model: the first bytes of the SHA-256 that is its identity.
    pub identity: Prefix,
    /// The tokenizer and the tokens that the model has read before the first: the first bytes of their SHA-256.
    pub tokenizer: Prefix,
    /// Whether products were rounded before they were added; two machines compute the same bits only if this is equal.
    pub numerics: &'static str,
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the file was coded with.
    pub origin: Origin,
    /// Bytes of the original.
    pub len: u64,
    /// The first bytes of the SHA-256 of the original.
    pub checksum: Prefix,
}

const NUMERICS: [&str; 2] = ["fma", "no_fma"];

/// Computes the checksum of bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Checksum(Sha256);

impl Checksum {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bytes of the SHA-256.
    pub fn finish(self) -> Prefix {
        let digest = self.0.finalize();
        *digest.first_chunk().expect("a SHA-256 has 32 bytes")
    }

    /// That of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Prefix {
        let mut checksum = Self::default();
        checksum.update(bytes);
        checksum.finish()
    }
}

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = 8 + 1 + 16 + 16 + 8 + 16 + 4;

    /// The header as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let numerics = NUMERICS.iter().position(|name| *name == self.origin.numerics);
        let mut bytes = NAME.to_vec();
        bytes.extend([VERSION, b'\n']);
        bytes.push(numerics.expect("bug: a kernel's numerics are one of two") as u8);
        bytes.extend(self.origin.identity);
        bytes.extend(self.origin.tokenizer);
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.checksum);
        bytes.extend(&Checksum::of(&bytes)[..4]);
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// `InvalidValue` for bytes that are not a header, are of another version of the format, or are damaged.
    pub fn read(bytes: &[u8; Self::LEN]) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidValue, message));
        let rest = match bytes.strip_prefix(NAME) {
            Some([VERSION, b'\n', rest @ ..]) => rest,
            Some([version, b'\n', ..]) => {
                return refuse(format!(
                    "the file has version {version} of the format of `rnnlm-server compress`; this program reads version {VERSION}"
                ));
            }
            _ => {
                return refuse(
                    "the file does not begin as one that `rnnlm-server compress` has written".to_owned(),
                );
            }
        };
        if Checksum::of(&bytes[..Self::LEN - 4])[..4] != bytes[Self::LEN - 4..] {
            return Err(damaged("its header"));
        }
        let at = |place: usize| *rest[place..].first_chunk().expect("bug: the header has a fixed length");
        let numerics = NUMERICS.get(usize::from(rest[0])).ok_or_else(|| damaged("its header"))?;
        Ok(Self {
            origin: Origin { identity: at(1), tokenizer: at(17), numerics },
            len: u64::from_le_bytes(*rest[33..].first_chunk().expect("bug: the header has a fixed length")),
            checksum: at(41),
        })
    }

    /// Refuses to decode with anything else than what the file was coded with.
    ///
    /// # Errors
    /// `InvalidValue`.
    pub fn check(&self, origin: &Origin) -> Result<()> {
        let refuse = |what: String| Err(Error::new(ErrorKind::InvalidValue, what));
        if self.origin.identity != origin.identity {
            return refuse(format!(
                "the file was compressed with the model of identity `{}...`; this model's identity is `{}...`",
                hex(&self.origin.identity),
                hex(&origin.identity)
            ));
        }
        if self.origin.tokenizer != origin.tokenizer {
            return refuse(
                "the file was compressed with another tokenizer or other initial tokens than those of this model".to_owned(),
            );
        }
        if self.origin.numerics != origin.numerics {
            return refuse(format!(
                "the file was compressed with `{}` numerics; this machine has `{}` numerics, which give other bits",
                self.origin.numerics, origin.numerics
            ));
        }
        Ok(())
    }
}

/// The error of a file that is damaged; `what` is where.
pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("the file is damaged: {what} does not match its checksum"))
}

fn hex(bytes: &Prefix) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let origin = Origin { identity: [7; 16], tokenizer: [9; 16], numerics: "fma" };
        Header { origin, len: 1 << 40, checksum: Checksum::of(b"text") }
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_found() {
        let bytes: [u8; Header::LEN] = header().to_bytes().try_into().unwrap();
        assert_eq!(Header::read(&bytes), Ok(header()));
        for bit in 0..8 * Header::LEN {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_of_another_version_is_refused_by_its_number() {
        let mut bytes: [u8; Header::LEN] = header().to_bytes().try_into().unwrap();
        bytes[6] = 1;
        let error = Header::read(&bytes).expect_err("an older format");
        assert!(
            error.message.contains("version 1") && error.message.contains("version 2"),
            "{}",
            error.message
        );
    }

    #[test]
    fn another_model_tokenizer_or_numerics_is_refused_by_name() {
        let own = header().origin;
        assert_eq!(header().check(&own), Ok(()));
        for (other, part) in [
            (Origin { identity: [1; 16], ..own }, "0101"),
            (Origin { tokenizer: [1; 16], ..own }, "tokenizer"),
            (Origin { numerics: "no_fma", ..own }, "no_fma"),
        ] {
            let error = header().check(&other).expect_err("another origin");
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}
