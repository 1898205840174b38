//! Use case: texts to tokens and back, and what a client sees of a token.

use super::{Input, Service};
use crate::catalog::Served;
use crate::error::Result;
use crate::lm::{Tail, TokenId};
use crate::text::Encoding;

/// A token as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenText {
    /// The id.
    pub id: TokenId,
    /// The vocabulary's entry.
    pub entry: String,
    /// What it adds to the text before it.
    pub text: String,
    /// Its bytes, where they are not whole characters.
    pub bytes: Option<Vec<u8>>,
}

/// A token of a text that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputToken {
    /// The token.
    pub token: TokenText,
    /// The characters of the text that it stands for; `None` when it was sent as an id.
    pub span: Option<std::ops::Range<usize>>,
    /// Whether it stands for a word outside the vocabulary.
    pub unknown: bool,
}

/// A text as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// In the order of the text.
    pub tokens: Vec<InputToken>,
    /// Words outside the vocabulary.
    pub unknown_count: usize,
}

impl Service {
    /// `text` as the tokens of `model`.
    ///
    /// # Errors
    /// Unknown model, text too long, unknown word where the model has no token for it.
    pub async fn tokenize(&self, model: Option<&str>, text: String) -> Result<Tokenized> {
        let served = self.catalog.get(model)?;
        let prepared = self.prepare_text(served, text, "text").await?;
        let encoding = prepared.text.as_ref().map(|(_, encoding)| encoding);
        let tokens = input_tokens(served, &Tail::default(), &prepared.tokens, encoding);
        Ok(Tokenized { tokens, unknown_count: prepared.unknown_count })
    }

    /// The text of `tokens` of `model`.
    ///
    /// # Errors
    /// Unknown model, token out of range, too many tokens.
    pub async fn detokenize(&self, model: Option<&str>, tokens: Vec<TokenId>) -> Result<String> {
        let served = self.catalog.get(model)?;
        let prepared = self.prepare(served, Input::Tokens(tokens), "").await?;
        Ok(served.tokenizer.decode(&prepared.tokens))
    }
}

/// What a client sees of `token` after `tail`.
pub(super) fn token_text(served: &Served, tail: &Tail, token: TokenId) -> TokenText {
    let piece = served.tokenizer.piece(tail, token);
    TokenText {
        id: token,
        entry: served.tokenizer.entry(token).to_owned(),
        text: piece.text,
        bytes: piece.bytes,
    }
}

/// What a client sees of `tokens`, read at `tail`; `encoding` if they were sent as text.
pub(super) fn input_tokens(
    served: &Served,
    tail: &Tail,
    tokens: &[TokenId],
    encoding: Option<&Encoding>,
) -> Vec<InputToken> {
    let mut tail = tail.clone();
    let unk = served.tokenizer.unk();
    let each = tokens.iter().enumerate().map(|(index, &token)| {
        let text = token_text(served, &tail, token);
        tail.extend(&[token]);
        let unknown =
            encoding.map_or(Some(token) == unk, |encoding| encoding.unknown.binary_search(&index).is_ok());
        InputToken { token: text, span: encoding.map(|encoding| encoding.spans[index].clone()), unknown }
    });
    each.collect()
}
