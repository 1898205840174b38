//! `/v1/suggest` and `/v1/sessions/{id}/suggest`.

use axum::response::{IntoResponse, Response};

use super::error::ApiResult;
use super::extract::{Body, Path, UseCases};
use super::held::hold;
use super::json::Json;
use crate::api::suggest::{SuggestRequest, SuggestResponse};
use crate::service::Returning;

/// Suggest words
///
/// Whole words for a half-typed one: the most likely words that begin with `prefix`, after `text` or `tokens`. Without a `prefix`,
/// the unfinished last word of `text` is completed, or the next word is suggested if the last one is finished.
#[utoipa::path(post, path = "/v1/suggest", operation_id = "suggest", tag = "suggest", request_body = SuggestRequest,
    responses((status = 200, description = "The suggestions", body = SuggestResponse)))]
pub(super) async fn suggest(
    UseCases(service): UseCases,
    Body(request): Body<SuggestRequest>,
) -> ApiResult<Response> {
    let SuggestRequest { prompt, carried, .. } = &request;
    let returning = Returning { session: None, model: prompt.model.as_deref(), carried };
    let room = service.room_for_returned_state(&returning)?;
    Ok(hold(Json(service.suggest(request).await?).into_response(), room))
}

/// Suggest words in a session
///
/// The session holds the finished words and does not move: `text` and `tokens` are read ahead on a copy, and `prefix` is what is
/// typed of the next word. A busy session answers as it stood before the running write.
#[utoipa::path(post, path = "/v1/sessions/{id}/suggest", operation_id = "suggestInSession", tag = "suggest",
    params(("id" = String, Path, description = "The session's id")), request_body = SuggestRequest,
    responses((status = 200, description = "The suggestions", body = SuggestResponse)))]
pub(super) async fn session_suggest(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Body(request): Body<SuggestRequest>,
) -> ApiResult<Response> {
    let returning = Returning { session: Some(&id), model: None, carried: &request.carried };
    let room = service.room_for_returned_state(&returning)?;
    Ok(hold(Json(service.session_suggest(&id, request).await?).into_response(), room))
}
