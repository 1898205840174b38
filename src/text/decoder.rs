//! Tokens back into text, one at a time.

use std::sync::Arc;

use super::hugging_face::HuggingFace;
use super::join::{Neighbour, Words};
use super::tokenizer::{Scheme, Tokenizer};
use crate::lm::{Joint, Tail, TokenId};

/// Turns tokens into text as they come. Whole characters only: the bytes of one that is not complete yet are held back.
///
/// However the tokens are cut into decoders (each with the tail that the one before has reached), all text joined is the same.
pub struct Decoder {
    tokenizer: Arc<Tokenizer>,
    tail: Tail,
}

impl Decoder {
    pub(super) fn new(tokenizer: Arc<Tokenizer>, tail: Tail) -> Self {
        Self { tokenizer, tail }
    }

    /// What `token` adds to the text; empty while it is only a part of a character.
    pub fn push(&mut self, token: TokenId) -> String {
        let text = self.tokenizer.piece(&self.tail, token).text;
        self.tail.extend(&[token]);
        text
    }

    /// What is held back, with U+FFFD for the bytes that are no character.
    pub fn finish(self) -> String {
        self.tokenizer.held_back(&self.tail)
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

impl Piece {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), bytes: None }
    }
}

impl Tokenizer {
    /// The text of `tokens`, from the start of a text.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut tail = Tail::default();
        let mut text = String::new();
        for &token in tokens {
            text.push_str(&self.piece(&tail, token).text);
            tail.extend(&[token]);
        }
        text + &self.held_back(&tail)
    }

    /// A decoder that goes on from `tail`.
    pub fn decoder(self: &Arc<Self>, tail: &Tail) -> Decoder {
        Decoder::new(self.clone(), tail.clone())
    }

    /// What `token` adds to a text that stands at `tail`.
    ///
    /// The end of a text adds nothing, unless it is the line end too; the unknown token adds its entry.
    pub fn piece(&self, tail: &Tail, token: TokenId) -> Piece {
        if let Scheme::HuggingFace(scheme) = self.scheme() {
            let line = self.line(tail);
            return match Some(token) == self.newline() {
                true => Piece::text(scheme.held_back(&line) + "\n"),
                false if self.is_silent(token) => Piece::default(),
                false => scheme.piece(&line, tail.joint, token),
            };
        }
        if Some(token) == self.newline() {
            return Piece::text("\n");
        }
        if self.is_silent(token) {
            return Piece::default();
        }
        Piece::text(format!("{}{}", self.separator(tail, token), self.entry(token)))
    }

    fn held_back(&self, tail: &Tail) -> String {
        match self.scheme() {
            Scheme::HuggingFace(scheme) => scheme.held_back(&self.line(tail)),
            _ => String::new(),
        }
    }

    /// The last tokens of `tail` that show, since the last line end: as many as joining on to them needs.
    fn line(&self, tail: &Tail) -> Vec<TokenId> {
        let line = tail.tokens().iter().rev().copied().take_while(|&token| Some(token) != self.newline());
        let mut shown: Vec<_> =
            line.filter(|&token| !self.is_silent(token)).take(HuggingFace::CONTEXT).collect();
        shown.reverse();
        shown
    }

    /// What stands between the text so far and the entry of `token`.
    fn separator(&self, tail: &Tail, token: TokenId) -> &'static str {
        let past = tail.tokens();
        let shown = past.iter().rposition(|&before| !self.is_silent(before));
        let Some(at) = shown.filter(|_| tail.joint == Joint::Closed) else { return "" };
        let (before, next) = (self.entry(past[at]), self.entry(token));
        if Some(past[at]) == self.newline()
            || before.ends_with(char::is_whitespace)
            || next.starts_with(char::is_whitespace)
        {
            return "";
        }
        match self.scheme() {
            Scheme::Char => "",
            Scheme::Word(pattern) => {
                let before = Neighbour::new(before, past[at], &past[..at], self.newline());
                let next = Neighbour::new(next, token, past, self.newline());
                Words { rules: self.rules(), pattern }.separator(before, next)
            }
            Scheme::Whitespace | Scheme::HuggingFace(_) => " ",
        }
    }
}
