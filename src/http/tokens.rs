//! `/v1/tokenize` and `/v1/detokenize`.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiResult;
use super::extract::{Body, UseCases};
use super::wire::InputToken;

/// A text to be split.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and the sea"}))]
pub(super) struct TokenizeRequest {
    /// The default model, if absent.
    model: Option<String>,
    text: Option<String>,
}

/// A text as tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenizeAnswer {
    /// The ids.
    tokens: Vec<u32>,
    /// The same tokens, with their entries and their places in the text.
    pieces: Vec<InputToken>,
    /// Words outside the vocabulary.
    unknown_count: usize,
}

/// A text as tokens
///
/// Nothing is added that the text does not hold.
#[utoipa::path(post, path = "/v1/tokenize", tag = "tokens",
    request_body = TokenizeRequest, responses((status = 200, body = TokenizeAnswer)))]
pub(super) async fn tokenize(
    UseCases(service): UseCases,
    Body(TokenizeRequest { model, text }): Body<TokenizeRequest>,
) -> ApiResult<Json<TokenizeAnswer>> {
    let tokenized = service.tokenize(model.as_deref(), text.unwrap_or_default()).await?;
    let pieces: Vec<InputToken> = tokenized.tokens.into_iter().map(InputToken::from).collect();
    let tokens = pieces.iter().map(|piece| piece.token.id).collect();
    Ok(Json(TokenizeAnswer { tokens, pieces, unknown_count: tokenized.unknown_count }))
}

/// Tokens to be joined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tokens": [2, 8, 9]}))]
pub(super) struct DetokenizeRequest {
    /// The default model, if absent.
    model: Option<String>,
    /// The ids.
    tokens: Option<Vec<u32>>,
}

/// Tokens as a text.
#[derive(Serialize, ToSchema)]
pub(super) struct DetokenizeAnswer {
    text: String,
}

/// Tokens as a text
///
/// The inverse of `/v1/tokenize` for whatever that can answer.
#[utoipa::path(post, path = "/v1/detokenize", tag = "tokens",
    request_body = DetokenizeRequest, responses((status = 200, body = DetokenizeAnswer)))]
pub(super) async fn detokenize(
    UseCases(service): UseCases,
    Body(DetokenizeRequest { model, tokens }): Body<DetokenizeRequest>,
) -> ApiResult<Json<DetokenizeAnswer>> {
    let text = service.detokenize(model.as_deref(), tokens.unwrap_or_default()).await?;
    Ok(Json(DetokenizeAnswer { text }))
}
