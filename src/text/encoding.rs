//! What encoding a text gives.

use std::ops::Range;

use super::rewrite::{Origin, Rewritten};
use super::tokenizer::Tokenizer;
use super::visible::visible;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Joint, Tail, TokenId};

/// A text as tokens, and where each came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The tokens' ids.
    pub tokens: Vec<TokenId>,
    /// For each token the characters of the text, as it was given, that it stands for.
    pub spans: Vec<Range<usize>>,
    /// Which of the tokens stand for a word outside the vocabulary (or for a literal unknown token): rising indices.
    pub unknown: Vec<usize>,
    /// How the text ends, for what is joined on to it.
    pub joint: Joint,
    /// Length of the text as it was given, in characters.
    pub char_count: usize,
}

impl Encoding {
    /// How many words were outside the vocabulary.
    pub fn unknown_count(&self) -> usize {
        self.unknown.len()
    }

    /// Moves `tail` past this text. A text of white space alone moves the joint, an empty one nothing.
    pub fn extend(&self, tail: &mut Tail) {
        if self.char_count > 0 {
            tail.extend(&self.tokens);
            tail.joint = self.joint;
        }
    }
}

/// An encoding in the making: tokens come in with their bytes in the rewritten text.
pub(super) struct Draft<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    starts: Origin<'a>,
    ends: Origin<'a>,
    encoding: Encoding,
}

impl<'a> Draft<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, rewritten: &'a Rewritten<'_>) -> Self {
        let (starts, ends) = (rewritten.origin(), rewritten.origin());
        Self { tokenizer, text: rewritten.text(), starts, ends, encoding: Encoding::default() }
    }

    /// The word at `range`: its token, or the unknown one.
    pub(super) fn word(&mut self, range: Range<usize>) -> Result<()> {
        match self.tokenizer.id_of(&self.text[range.clone()]) {
            Some(token) => self.token(token, range),
            None => self.unknown(range)?,
        }
        Ok(())
    }

    /// A word outside the vocabulary.
    ///
    /// # Errors
    /// `UnknownToken` where the vocabulary has no token for such.
    pub(super) fn unknown(&mut self, range: Range<usize>) -> Result<()> {
        let Some(unk) = self.tokenizer.unk() else { return Err(self.unknown_word(range)) };
        self.token(unk, range);
        Ok(())
    }

    /// The error that the word at `range` has no token.
    pub(super) fn unknown_word(&mut self, range: Range<usize>) -> Error {
        const SHOWN_MAX: usize = 40;
        let word = &self.text[range.clone()];
        let shown = visible(&word.chars().take(SHOWN_MAX).collect::<String>());
        let more = if word.chars().nth(SHOWN_MAX).is_some() { "..." } else { "" };
        let at = self.starts.start(range.start);
        let message = format!(
            "`{shown}{more}` at character {at} is not in the vocabulary, and the model has no unknown token to read it as"
        );
        Error::new(ErrorKind::UnknownToken, message)
    }

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
