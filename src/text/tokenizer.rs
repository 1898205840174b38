//! The tokenizer: one vocabulary, one way of splitting, and the rules applied before it.

use std::sync::Arc;

use super::{Decoder, Encoding, Kind, Piece, TokenizerSpec};
use crate::error::Result;
use crate::lm::{Tail, TokenId};

/// Text to tokens and back. Immutable, and shared by everything that uses a model.
pub struct Tokenizer {
    spec: TokenizerSpec,
}

impl Tokenizer {
    /// A tokenizer of the rules `spec` over `file`: the bytes of a `vocab.txt`, or of a `tokenizer.json` for [`Kind::HuggingFace`].
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) naming the line or the key at fault, what was found and what was expected.
    pub fn new(spec: TokenizerSpec, file: &[u8]) -> Result<Self> {
        todo!()
    }

    /// How texts are split.
    pub fn kind(&self) -> Kind {
        self.spec.kind
    }

    /// Number of entries; ids are below it.
    pub fn vocab_size(&self) -> usize {
        todo!()
    }

    /// The token of words outside the vocabulary.
    pub fn unk(&self) -> Option<TokenId> {
        todo!()
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        todo!()
    }

    /// The token of a line end, where line ends have one of their own.
    pub fn newline(&self) -> Option<TokenId> {
        todo!()
    }

    /// Whether `token` is the unknown token or the end of a text: what `special: false` leaves out.
    pub fn is_special(&self, token: TokenId) -> bool {
        Some(token) == self.unk() || Some(token) == self.eos()
    }

    /// SHA-256 over the file and the rules, in hexadecimal: perplexities compare only where it is equal.
    pub fn sha256(&self) -> &str {
        todo!()
    }

    /// The vocabulary's entry; empty for an id without one.
    pub fn entry(&self, token: TokenId) -> &str {
        todo!()
    }

    /// The token whose entry is `entry`.
    pub fn id_of(&self, entry: &str) -> Option<TokenId> {
        todo!()
    }

    /// `text` as tokens. Nothing is added that the text does not hold.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownToken`](crate::error::ErrorKind::UnknownToken) with the word and its place in characters, when a word is
    /// outside the vocabulary and there is no unknown token.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        todo!()
    }

    /// The text of `tokens`, from the start of a text.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        todo!()
    }

    /// A decoder that goes on from `tail`.
    pub fn decoder(self: &Arc<Self>, tail: &Tail) -> Decoder {
        todo!()
    }

    /// What `token` adds to a text that stands at `tail`.
    pub fn piece(&self, tail: &Tail, token: TokenId) -> Piece {
        todo!()
    }

    /// The largest byte offset, above 0, at which a text that begins with `text` may be cut: encoding both parts gives the
    /// tokens of the whole, however the text goes on. `None` when no place in `text` is sure.
    pub fn cut(&self, text: &str) -> Option<usize> {
        todo!()
    }
}
