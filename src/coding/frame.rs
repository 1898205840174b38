//! A piece of a compressed file: coded on its own, so that it is checked before it is decoded, while the models go on from the piece before.

use super::header::{Checksum, damaged};
use crate::error::{Error, ErrorKind, Result};

/// What the bytes of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The code of tokens, with literals where they do not say the text.
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
    /// The code.
    pub code: Vec<u8>,
}

/// A frame without its code, which follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    content: Content,
    token_count: u32,
    len: u32,
    code_len: u32,
    check: [u8; 4],
}

impl Frame {
    /// The most bytes that come out of a frame.
    pub const LEN_MAX: usize = 64 << 10;
    /// The most tokens of a frame; tokens that add nothing to a text are few.
    pub const TOKENS_MAX: usize = 2 * Self::LEN_MAX;

    /// The frame as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let place = CONTENTS.iter().position(|content| *content == self.content);
        let mut bytes = vec![place.expect("all contents are listed") as u8];
        for number in [self.token_count, self.len, self.code.len() as u32] {
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
    pub const LEN: usize = 1 + 3 * 4 + 4;

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
            code_len: number(9),
            check: *bytes[13..].first_chunk().expect("bug: a head has a fixed length"),
        };
        // A code is longer than what it codes only by a little: literals that surprise the model.
        let code_len_max = 16 * Frame::LEN_MAX;
        let is_possible = (1..=Frame::LEN_MAX).contains(&(head.len as usize))
            && head.code_len as usize <= code_len_max
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
        let Self { content, token_count, len, .. } = self;
        let frame = Frame { content, token_count, len, code };
        let bytes = frame.to_bytes();
        if bytes[13..Self::LEN] == self.check { Ok(frame) } else { Err(damaged("a piece")) }
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
        let frame = Frame { content: Content::Bytes, token_count: 3, len: 70, code: vec![1, 2, 3] };
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
