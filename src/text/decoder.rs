//! Tokens back into text, one at a time.

use std::sync::Arc;

use super::Tokenizer;
use crate::lm::{Tail, TokenId};

/// Turns tokens into text as they come. Whole characters only: the bytes of one that is not complete yet are held back.
///
/// However the tokens are cut into decoders (each with the tail that the one before has reached), all text joined is the same.
pub struct Decoder {
    tokenizer: Arc<Tokenizer>,
    tail: Tail,
}

impl Decoder {
    /// What `token` adds to the text; empty while it is only a part of a character.
    pub fn push(&mut self, token: TokenId) -> String {
        todo!()
    }

    /// What is held back, with U+FFFD for the bytes that are no character.
    pub fn finish(self) -> String {
        todo!()
    }

    /// The tail that was reached.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }
}

/// What one token adds to a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Whole characters; the first of them may have begun in tokens before.
    pub text: String,
    /// The token's own bytes, where they are not whole characters.
    pub bytes: Option<Vec<u8>>,
}
