//! `/v1/score` and `/v1/sessions/{id}/score`.

mod text;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::document::QueryOf;
use super::error::ApiResult;
use super::extract::{Body, Path, Query, UseCases, check_origin_of_text};
use super::held::hold;
use super::json::Json;
use super::layers::refuse_query;
use crate::api::score::{ScoreRequest, ScoreResponse, ScoreTextQuery, SessionScoreRequest};
use crate::service::{Returning, TextScorer};

/// Score texts
///
/// The log-probability of each text, and what follows from it: perplexities and bits per token, character and byte.
///
/// With `content-type: text/plain`, the body is one text of any length. It is read and scored in pieces, so that neither
/// `--max-body` nor the memory limits it; with `token_logprobs`, `--max-text` does. Its options are in the query string. The
/// `--request-timeout` ends a text that makes no progress, however long it is.
#[utoipa::path(post, path = "/v1/score", operation_id = "score", tag = "scoring", params(QueryOf<ScoreTextQuery>),
    request_body(content((ScoreRequest = "application/json"), (String = "text/plain"))),
    responses((status = 200, description = "The scores", body = ScoreResponse)))]
pub(super) async fn score(
    State(app): State<Arc<App>>,
    UseCases(service): UseCases,
    request: Request,
) -> ApiResult<Response> {
    if !is_plain_text(&request) {
        refuse_query(&request)?;
        let Body(request) = Body::<ScoreRequest>::from_request(request, &app).await?;
        let ScoreRequest { prompt, carried, .. } = &request;
        let returning = Returning { session: None, model: prompt.model.as_deref(), carried };
        let room = service.room_for_returned_state(&returning)?;
        return Ok(hold(Json(service.score(request).await?).into_response(), room));
    }
    check_origin_of_text(request.headers(), &app.config.http.cors_origins)?;
    let (mut parts, body) = request.into_parts();
    let Query(query) = Query::<ScoreTextQuery>::from_request_parts(&mut parts, &app).await?;
    let text =
        text::Text { body, bytes_max: query.scoring.token_logprobs.then_some(app.config.limits.max_text) };
    Ok(Json(text.score(&app.config, TextScorer::new(&service.piecewise(), query)?).await?).into_response())
}

/// Score continuations of a session
///
/// Each continuation is scored from where the session stands. The session does not move.
#[utoipa::path(post, path = "/v1/sessions/{id}/score", operation_id = "scoreInSession", tag = "scoring",
    params(("id" = String, Path, description = "The session's id")), request_body = SessionScoreRequest,
    responses((status = 200, description = "The scores", body = ScoreResponse)))]
pub(super) async fn session_score(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Body(request): Body<SessionScoreRequest>,
) -> ApiResult<Json<ScoreResponse>> {
    Ok(Json(service.session_score(&id, request).await?))
}

fn is_plain_text(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/plain")
}
