//! The result of encoding a text: its tokens, and the characters that each stands for.

use std::ops::Range;

use super::escape::escape_invisible;
use super::rewrite::{Rewritten, SourceOffsets};
use super::tail::{Joint, Tail};
use super::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;

/// The tokens of a text, and where each comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The tokens' ids.
    pub tokens: Vec<TokenId>,
    /// For each token, the range of characters of the given text that it stands for.
    pub spans: Vec<Range<usize>>,
    /// The indices, in rising order, of the tokens that are the unknown token: words that are not in the vocabulary, and the
    /// unknown token itself where the text contains its entry.
    pub unknown: Vec<usize>,
    /// How the text ends, which decides whether the next word needs a space before it.
    pub joint: Joint,
    /// The length of the given text in characters.
    pub char_count: usize,
}

impl Encoding {
    /// The number of unknown tokens.
    pub fn unknown_count(&self) -> usize {
        self.unknown.len()
    }

    /// Appends this text to `tail`. A text of only white space changes the joint alone; an empty text changes nothing.
    pub fn extend(&self, tail: &mut Tail) {
        if self.char_count > 0 {
            tail.extend(&self.tokens);
            tail.joint = self.joint;
        }
    }
}

/// Builds an encoding from left to right. Each token is added with its byte range in the rewritten text.
pub(super) struct EncodingBuilder<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    starts: SourceOffsets<'a>,
    ends: SourceOffsets<'a>,
    encoding: Encoding,
}

impl<'a> EncodingBuilder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, rewritten: &'a Rewritten<'_>) -> Self {
        Self {
            tokenizer,
            text: rewritten.text(),
            starts: rewritten.source_offsets(),
            ends: rewritten.source_offsets(),
            encoding: Encoding::default(),
        }
    }

    /// Adds the token of the word at `range`, or the unknown token.
    ///
    /// # Errors
    /// `UnknownToken` if the vocabulary has neither.
    pub(super) fn word(&mut self, range: Range<usize>) -> Result<()> {
        match self.tokenizer.id_of(&self.text[range.clone()]) {
            Some(token) => self.token(token, range),
            None => self.unknown(range)?,
        }
        Ok(())
    }

    /// Adds the unknown token for the word at `range`.
    ///
    /// # Errors
    /// `UnknownToken` if the vocabulary has no unknown token.
    pub(super) fn unknown(&mut self, range: Range<usize>) -> Result<()> {
        let Some(unk) = self.tokenizer.unk() else { return Err(self.unknown_word(range)) };
        self.token(unk, range);
        Ok(())
    }

    /// The error that there is no token for the word at `range`.
    pub(super) fn unknown_word(&mut self, range: Range<usize>) -> Error {
        const SHOWN_MAX: usize = 40;
        let word = &self.text[range.clone()];
        let shown = escape_invisible(&word.chars().take(SHOWN_MAX).collect::<String>());
        let ellipsis = if word.chars().nth(SHOWN_MAX).is_some() { "..." } else { "" };
        let at = self.starts.start(range.start);
        let message = format!(
            "`{shown}{ellipsis}` at character {at} is not in the vocabulary, and the model has no unknown token"
        );
        Error::new(ErrorKind::UnknownToken, message)
    }

    /// Adds `token` for the bytes at `range`.
    pub(super) fn token(&mut self, token: TokenId, range: Range<usize>) {
        if Some(token) == self.tokenizer.unk() {
            self.encoding.unknown.push(self.encoding.tokens.len());
        }
        self.encoding.tokens.push(token);
        self.encoding.spans.push(self.starts.start(range.start)..self.ends.end(range.end));
    }

    pub(super) fn finish(self, joint: Joint, char_count: usize) -> Encoding {
        Encoding { joint, char_count, ..self.encoding }
    }
}
