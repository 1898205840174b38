//! A piece of a compressed file: coded on its own, so that it is checked before it is decoded.
//!
//! Pieces come in groups. The model starts on every piece of a group from the same state, so all of them are decoded side by side, and a pass over
//! the weights serves a token of each. What the literals and the tokenizer depend on goes on from piece to piece, in order; so their code is
//! not mixed with that of the tokens, and is decoded when all tokens are known.

use super::bytes::Literals;
use super::header::{Checksum, damaged};
use super::range::RangeEncoder;
use crate::error::{Error, ErrorKind, Result};

/// What the bytes of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The code of tokens, then that of literals where they do not say the text.
    Tokens,
    /// The code of literal bytes.
    Bytes,
    /// The bytes themselves.
    Stored,
}

const CONTENTS: [Content; 3] = [Content::Tokens, Content::Bytes, Content::Stored];

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub content: Content,
    /// Tokens that it codes.
    pub token_count: u32,
    /// Bytes that come out of it.
    pub len: u32,
    /// How many of the first bytes of `code` are that of the tokens.
    pub tokens_len: u32,
    /// The code.
    pub code: Vec<u8>,
}

/// A frame without its code, which follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    content: Content,
    token_count: u32,
    len: u32,
    tokens_len: u32,
    code_len: u32,
    check: [u8; 4],
}

impl Frame {
    /// The most bytes that come out of a frame.
    pub const LEN_MAX: usize = 64 << 10;
    /// The frames of a group; the last group of a file may have fewer.
    pub const GROUP_LEN: usize = 16;
    /// The most bytes that come out of a group.
    pub const GROUP_BYTES: usize = Self::GROUP_LEN * Self::LEN_MAX;
    /// The most tokens of a frame; tokens that add nothing to a text are few.
    pub const TOKENS_MAX: usize = 2 * Self::LEN_MAX;

    /// The frame as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let place = CONTENTS.iter().position(|content| *content == self.content);
        let mut bytes = vec![place.expect("all contents are listed") as u8];
        for number in [self.token_count, self.len, self.tokens_len, self.code.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        let check = check(&bytes, &self.code);
        bytes.extend(check);
        bytes.extend(&self.code);
        bytes
    }
}

impl FrameHead {
    /// Bytes of a head.
    pub const LEN: usize = 1 + 4 * 4 + 4;

    /// Reads a head.
    ///
    /// # Errors
    /// `InvalidValue` for bytes that cannot be one.
    pub fn read(bytes: &[u8; Self::LEN]) -> Result<Self> {
        let number = |at: usize| {
            u32::from_le_bytes(*bytes[at..].first_chunk().expect("bug: a head has a fixed length"))
        };
        let content = CONTENTS.get(usize::from(bytes[0])).copied();
        let content = content.ok_or_else(|| damaged("the head of a piece"))?;
        let head = Self {
            content,
            token_count: number(1),
            len: number(5),
            tokens_len: number(9),
            code_len: number(13),
            check: *bytes[Self::LEN - 4..].first_chunk().expect("bug: a head has a fixed length"),
        };
        // What would become longer is stored as it is.
        let is_possible = (1..=Frame::LEN_MAX).contains(&(head.len as usize))
            && head.code_len <= head.len
            && head.tokens_len <= head.code_len
            && head.token_count as usize <= Frame::TOKENS_MAX;
        if !is_possible {
            return Err(damaged("the head of a piece"));
        }
        Ok(head)
    }

    /// Bytes of the code that follows.
    pub fn code_len(&self) -> usize {
        self.code_len as usize
    }

    /// The frame whose code is `code`.
    ///
    /// # Errors
    /// `InvalidValue` if the frame is damaged.
    pub fn with_code(self, code: Vec<u8>) -> Result<Frame> {
        let Self { content, token_count, len, tokens_len, .. } = self;
        let frame = Frame { content, token_count, len, tokens_len, code };
        let bytes = frame.to_bytes();
        if bytes[Self::LEN - 4..Self::LEN] == self.check { Ok(frame) } else { Err(damaged("a piece")) }
    }
}

/// The checksum of a head and its code.
fn check(head: &[u8], code: &[u8]) -> [u8; 4] {
    let mut checksum = Checksum::default();
    checksum.update(head);
    checksum.update(code);
    *checksum.finish().first_chunk().expect("a checksum has 16 bytes")
}

impl Frame {
    /// The frame of bytes that are hardly a text.
    pub fn of_bytes(bytes: &[u8], literals: &mut Literals) -> Self {
        let mut encoder = RangeEncoder::default();
        literals.encode_all(&mut encoder, bytes);
        Self { content: Content::Bytes, code: encoder.finish(), ..Self::stored(bytes) }
    }

    /// The frame of bytes that would become longer.
    pub fn stored(bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        Self { content: Content::Stored, token_count: 0, len, tokens_len: 0, code: bytes.to_vec() }
    }

    /// The code of the tokens, and that of the literals.
    pub fn into_codes(self) -> [Vec<u8>; 2] {
        let mut tokens = self.code;
        let literals = tokens.split_off(self.tokens_len as usize);
        [tokens, literals]
    }

    /// The error of a frame from which something else comes out than was put in.
    pub fn mismatch() -> Error {
        let message = "the file is damaged: a piece does not decode to its length";
        Error::new(ErrorKind::InvalidValue, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_every_flipped_bit_is_found() {
        let frame =
            Frame { content: Content::Bytes, token_count: 3, len: 70, tokens_len: 2, code: vec![1, 2, 3] };
        assert_eq!(frame.clone().into_codes(), [vec![1, 2], vec![3]]);
        let bytes = frame.to_bytes();
        let read = |bytes: &[u8]| {
            let (head, code) = bytes.split_first_chunk().expect("a head");
            let head = FrameHead::read(head)?;
            // A reader takes as many bytes as the head says, which may not be there.
            let code = code.get(..head.code_len()).ok_or_else(|| damaged("a piece"))?;
            head.with_code(code.to_vec())
        };
        assert_eq!(read(&bytes), Ok(frame));
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
    }
}
