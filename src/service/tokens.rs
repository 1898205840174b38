//! Use case: texts to tokens and back, and what a client sees of a token.

use super::Service;
use super::input::{Input, Prepared, Use};
use crate::api::prompt::TextOrIds;
use crate::api::tokens::{
    DetokenizeRequest, DetokenizeResponse, InputToken, Token, TokenizeRequest, TokenizeResponse,
};
use crate::catalog::Served;
use crate::error::Result;
use crate::lm::TokenId;
use crate::text::Tail;

impl Service {
    /// The tokens of a text.
    ///
    /// # Errors
    /// Unknown model; text too long; an unknown word where the model has no unknown token.
    pub async fn tokenize(&self, request: TokenizeRequest) -> Result<TokenizeResponse> {
        let served = &self.named_model(request.model.as_deref())?;
        let purpose = if request.pieces { Use::Pieces } else { Use::Read };
        let input = Input { value: TextOrIds::Text(request.text), path: "text", purpose };
        let prepared = self.prepare(served, input).await?;
        let found = prepared.tokens.len();
        self.keep(self.room_for_ids(served, found, if request.pieces { found } else { 0 })?);
        let tokens = prepared.tokens.to_vec();
        let pieces = request.pieces.then(|| input_tokens(served, &Tail::default(), &prepared));
        Ok(TokenizeResponse { tokens, pieces, unknown_count: prepared.unknown_count })
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// Unknown model; a token out of range; too many tokens.
    pub async fn detokenize(&self, request: DetokenizeRequest) -> Result<DetokenizeResponse> {
        let served = &self.named_model(request.model.as_deref())?;
        let input = Input { value: TextOrIds::Ids(request.tokens), path: "tokens", purpose: Use::Read };
        let prepared = self.prepare(served, input).await?;
        let entries = prepared.tokens.iter().map(|&token| served.tokenizer.entry(token).len() + 1);
        self.keep(self.room_for_text(entries.sum())?);
        Ok(DetokenizeResponse { text: served.tokenizer.decode(&prepared.tokens) })
    }
}

/// What a client sees of the token `id` after `tail`.
pub(super) fn token(served: &Served, tail: &Tail, id: TokenId) -> Token {
    let piece = served.tokenizer.piece(tail, id);
    Token { id, token: served.tokenizer.entry(id).to_owned(), text: piece.text, bytes: piece.bytes }
}

/// What a client sees of the tokens of an input, read at `tail`.
pub(super) fn input_tokens(served: &Served, tail: &Tail, input: &Prepared) -> Vec<InputToken> {
    let mut tail = tail.clone();
    let unk = served.tokenizer.unk();
    let each = input.tokens.iter().enumerate().map(|(index, &id)| {
        let token = token(served, &tail, id);
        tail.extend(&[id]);
        let Some(source) = &input.source else {
            return InputToken { token, start: None, end: None, unknown: Some(id) == unk };
        };
        let span = &source.encoding.spans[index];
        InputToken {
            token,
            start: Some(span.start),
            end: Some(span.end),
            unknown: source.encoding.unknown.binary_search(&index).is_ok(),
        }
    });
    each.collect()
}
