//! The result of encoding a text: its tokens, and the characters that each stands for.

use std::ops::Range;

use super::escape::escape_invisible;
use super::memory::{Memory, room_for_one};
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
    /// For each token, the range of characters of the given text that it stands for; only for the first if no more were wanted.
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
    /// Bytes of its lists.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tokens) + size_of_val(&*self.spans) + size_of_val(&*self.unknown)
    }

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

/// What is wanted of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether the span of each token is wanted, which takes four times the memory of its id, or only that of the first.
    pub spans: bool,
    /// The maximum number of tokens: a text is refused as soon as it has more.
    pub tokens_max: usize,
}

impl Wanted {
    /// Everything, however long.
    pub const ALL: Self = Self { spans: true, tokens_max: usize::MAX };
}

/// Builds an encoding from left to right. Each token is added with its byte range in the rewritten text.
pub(super) struct EncodingBuilder<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    starts: SourceOffsets<'a>,
    ends: SourceOffsets<'a>,
    wanted: Wanted,
    memory: &'a mut dyn Memory,
    encoding: Encoding,
}

impl<'a> EncodingBuilder<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        rewritten: &'a Rewritten<'_>,
        wanted: Wanted,
        memory: &'a mut dyn Memory,
    ) -> Self {
        Self {
            tokenizer,
            text: rewritten.text(),
            starts: rewritten.source_offsets(),
            ends: rewritten.source_offsets(),
            wanted,
            memory,
            encoding: Encoding::default(),
        }
    }

    /// Adds the token of the word at `range`, or the unknown token.
    ///
    /// # Errors
    /// `UnknownToken` if the vocabulary has neither; `TextTooLong`.
    pub(super) fn word(&mut self, range: Range<usize>) -> Result<()> {
        match self.tokenizer.id_of(&self.text[range.clone()]) {
            Some(token) => self.token(token, range),
            None => self.unknown(range),
        }
    }

    /// Adds the unknown token for the word at `range`.
    ///
    /// # Errors
    /// `UnknownToken` if the vocabulary has no unknown token; `TextTooLong`.
    pub(super) fn unknown(&mut self, range: Range<usize>) -> Result<()> {
        let Some(unk) = self.tokenizer.unk() else { return Err(self.unknown_word(range)) };
        self.token(unk, range)
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

    /// The memory that the encoding takes, for what a scheme needs beside it.
    pub(super) fn memory(&mut self) -> &mut dyn Memory {
        self.memory
    }

    /// Adds `token` for the bytes at `range`.
    ///
    /// # Errors
    /// `TextTooLong` if it is one token too many; as [`Memory::take`].
    pub(super) fn token(&mut self, token: TokenId, range: Range<usize>) -> Result<()> {
        if self.encoding.tokens.len() >= self.wanted.tokens_max {
            let max = self.wanted.tokens_max;
            return Err(Error::new(ErrorKind::TextTooLong, format!("the text has more than {max} tokens")));
        }
        if Some(token) == self.tokenizer.unk() {
            room_for_one(&mut self.encoding.unknown, self.memory)?;
            self.encoding.unknown.push(self.encoding.tokens.len());
        }
        room_for_one(&mut self.encoding.tokens, self.memory)?;
        self.encoding.tokens.push(token);
        if self.wanted.spans || self.encoding.spans.is_empty() {
            room_for_one(&mut self.encoding.spans, self.memory)?;
            self.encoding.spans.push(self.starts.start(range.start)..self.ends.end(range.end));
        }
        Ok(())
    }

    pub(super) fn finish(self, joint: Joint, char_count: usize) -> Encoding {
        Encoding { joint, char_count, ..self.encoding }
    }
}
