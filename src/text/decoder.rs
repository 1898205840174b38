//! Tokens back to text, one token at a time.

use std::sync::Arc;

use super::hugging_face::HuggingFace;
use super::join::{Joiner, Line, Word, Words};
use super::tail::{Joint, Tail};
use super::tokenizer::{Scheme, Tokenizer};
use crate::lm::TokenId;

/// Turns a stream of tokens into a stream of text. It emits only whole characters: the bytes of a character that is not complete
/// yet are held back.
///
/// The text does not depend on how the tokens are divided between decoders, if each decoder starts with the tail that the one
/// before it has reached.
#[derive(Clone)]
pub struct Decoder {
    tokenizer: Arc<Tokenizer>,
    tail: Tail,
}

impl Decoder {
    pub(super) fn new(tokenizer: Arc<Tokenizer>, tail: Tail) -> Self {
        Self { tokenizer, tail }
    }

    /// The text that `token` adds; empty if the token only continues a character that is still incomplete.
    pub fn push(&mut self, token: TokenId) -> String {
        let text = self.tokenizer.piece(&self.tail, token).text;
        self.tail.extend(&[token]);
        text
    }

    /// The text that is held back: U+FFFD for bytes that did not become a character.
    pub fn finish(self) -> String {
        self.tokenizer.held_back(&self.tail)
    }

    /// The tail after the tokens pushed so far.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }
}

/// The text that one token adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Whole characters. The first may have begun in earlier tokens.
    pub text: String,
    /// The token's own bytes, if they are not whole characters.
    pub bytes: Option<Vec<u8>>,
}

impl Piece {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), bytes: None }
    }
}

impl Tokenizer {
    /// The text of `tokens`, the first of which starts a text.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut tail = Tail::default();
        let mut text = String::new();
        for &token in tokens {
            text.push_str(&self.piece(&tail, token).text);
            tail.extend(&[token]);
        }
        text + &self.held_back(&tail)
    }

    /// A decoder that continues a text from `tail`.
    pub fn decoder(self: &Arc<Self>, tail: &Tail) -> Decoder {
        Decoder::new(self.clone(), tail.clone())
    }

    /// The text that `token` adds to a text whose last tokens are `tail`.
    ///
    /// The end-of-text token adds nothing, unless it is the line end too. The unknown token adds its entry.
    pub fn piece(&self, tail: &Tail, token: TokenId) -> Piece {
        if let Scheme::HuggingFace(scheme) = self.scheme() {
            let context = self.context(tail);
            return match Some(token) == self.newline() {
                true => Piece::text(scheme.held_back(&context) + "\n"),
                false if self.adds_no_text(token) => Piece::default(),
                false => scheme.piece(&context, tail.joint, token),
            };
        }
        if Some(token) == self.newline() {
            return Piece::text("\n");
        }
        if self.adds_no_text(token) {
            return Piece::default();
        }
        Piece::text([self.separator(tail, token), self.entry(token)].concat())
    }

    /// Whether a space at the beginning of the next token's text is not shown.
    pub(super) fn space_is_implied(&self, tail: &Tail) -> bool {
        match self.scheme() {
            Scheme::HuggingFace(scheme) => scheme.space_is_implied(&self.context(tail), tail.joint),
            _ => false,
        }
    }

    fn held_back(&self, tail: &Tail) -> String {
        match self.scheme() {
            Scheme::HuggingFace(scheme) => scheme.held_back(&self.context(tail)),
            _ => String::new(),
        }
    }

    /// The last tokens of `tail` that add text, since the last line end: as many as decoding the next one needs.
    fn context(&self, tail: &Tail) -> Vec<TokenId> {
        let line = tail.tokens().iter().rev().copied().take_while(|&token| Some(token) != self.newline());
        let mut context: Vec<_> =
            line.filter(|&token| !self.adds_no_text(token)).take(HuggingFace::CONTEXT_MAX).collect();
        context.reverse();
        context
    }

    /// The white space between the text so far and the entry of `token`.
    fn separator(&self, tail: &Tail, token: TokenId) -> &'static str {
        let words = match self.scheme() {
            Scheme::Word(pattern) => Words::Pattern(pattern),
            Scheme::Whitespace => Words::WhiteSpace,
            Scheme::Char | Scheme::HuggingFace(_) => return "",
        };
        let line = self.line(tail);
        let starts_text = line.words.is_empty() && !line.follows_line_end;
        let before = line.words.last().map_or("", |word| word.entry);
        let next = Word { token, entry: self.entry(token) };
        if starts_text
            || tail.joint == Joint::Open
            || before.ends_with(char::is_whitespace)
            || next.entry.starts_with(char::is_whitespace)
        {
            return "";
        }
        Joiner { rules: self.rules(), words }.separator(line, next)
    }

    /// The end of the text's last line, as far as `tail` reaches.
    fn line(&self, tail: &Tail) -> Line<'_> {
        let tokens = tail.tokens();
        let end = tokens.iter().rposition(|&token| Some(token) == self.newline());
        let tokens = &tokens[end.map_or(0, |end| end + 1)..];
        let words = tokens.iter().filter(|&&token| !self.adds_no_text(token));
        Line {
            words: words.map(|&token| Word { token, entry: self.entry(token) }).collect(),
            follows_line_end: end.is_some(),
        }
    }
}
