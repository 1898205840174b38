//! `/v1/tokenize` and `/v1/detokenize`.

use super::error::ApiResult;
use super::extract::{Body, UseCases};
use super::json::Json;
use crate::api::tokens::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse};

/// Split a text into tokens
///
/// No token is added that the text does not contain.
#[utoipa::path(post, path = "/v1/tokenize", operation_id = "tokenize", tag = "tokens",
    request_body = TokenizeRequest,
    responses((status = 200, description = "The tokens of the text", body = TokenizeResponse)))]
pub(super) async fn tokenize(
    UseCases(service): UseCases,
    Body(request): Body<TokenizeRequest>,
) -> ApiResult<Json<TokenizeResponse>> {
    Ok(Json(service.tokenize(request).await?))
}

/// Join tokens into a text
///
/// The inverse of `/v1/tokenize` for all token ids that it can return.
#[utoipa::path(post, path = "/v1/detokenize", operation_id = "detokenize", tag = "tokens",
    request_body = DetokenizeRequest,
    responses((status = 200, description = "The text of the tokens", body = DetokenizeResponse)))]
pub(super) async fn detokenize(
    UseCases(service): UseCases,
    Body(request): Body<DetokenizeRequest>,
) -> ApiResult<Json<DetokenizeResponse>> {
    Ok(Json(service.detokenize(request).await?))
}
