//! `/v1/next` and `/v1/sessions/{id}/next`.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};

use super::document::QueryOf;
use super::error::ApiResult;
use super::extract::{Body, Path, Query, UseCases, accepts};
use super::held::hold;
use super::json::Json;
use crate::api::next::{NextQuery, NextReply, NextRequest, NextResponse, SessionNextRequest};
use crate::error::Error;
use crate::service::Service;

/// Get the next-token distribution
///
/// The distribution over the token that comes after `text` or `tokens`, read from the model's start.
///
/// With `accept: application/octet-stream`, the answer is the log-probabilities of the whole vocabulary instead: little-endian
/// `f32`, by token id, with the headers `x-position`, `x-vocab-size` and `x-unknown-count`.
///
/// With `requests`, the answer is `{"responses": [...]}`: for each question an answer or the error that a call of its own would
/// have returned.
#[utoipa::path(post, path = "/v1/next", operation_id = "nextToken", tag = "next", request_body = NextRequest,
    responses((status = 200, description = "The distribution, or one result for each of `requests`",
        content((NextReply = "application/json"), (Vec<u8> = "application/octet-stream")),
        headers(
        ("x-position" = u64, description = "The position, with `application/octet-stream`"),
        ("x-vocab-size" = u64, description = "The number of tokens, with `application/octet-stream`"),
        ("x-unknown-count" = u64, description = "The number of unknown words, with `application/octet-stream`")))))]
pub(super) async fn next(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Body(request): Body<NextRequest>,
) -> ApiResult<Response> {
    answer(&service, &headers, request).await
}

/// Get the next-token distribution by query
///
/// The same as the POST for one text: for a browser and a first try.
#[utoipa::path(get, path = "/v1/next", operation_id = "getNextToken", tag = "next", params(QueryOf<NextQuery>),
    responses((status = 200, description = "The distribution",
        content((NextResponse = "application/json"), (Vec<u8> = "application/octet-stream")),
        headers(
        ("x-position" = u64, description = "The position, with `application/octet-stream`"),
        ("x-vocab-size" = u64, description = "The number of tokens, with `application/octet-stream`"),
        ("x-unknown-count" = u64, description = "The number of unknown words, with `application/octet-stream`")))))]
pub(super) async fn get_next(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Query(query): Query<NextQuery>,
) -> ApiResult<Response> {
    answer(&service, &headers, query.try_into()?).await
}

/// Get a session's next-token distribution
///
/// The session does not move: `text` and `tokens` are read ahead on a copy. A busy session answers as it stood before the
/// running write. `accept: application/octet-stream` works as in `/v1/next`.
#[utoipa::path(post, path = "/v1/sessions/{id}/next", operation_id = "nextSessionToken", tag = "next",
    params(("id" = String, Path, description = "The session's id")), request_body = SessionNextRequest,
    responses((status = 200, description = "The distribution",
        content((NextResponse = "application/json"), (Vec<u8> = "application/octet-stream")),
        headers(
        ("x-position" = u64, description = "The position, with `application/octet-stream`"),
        ("x-vocab-size" = u64, description = "The number of tokens, with `application/octet-stream`"),
        ("x-unknown-count" = u64, description = "The number of unknown words, with `application/octet-stream`")))))]
pub(super) async fn session_next(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(mut request): Body<SessionNextRequest>,
) -> ApiResult<Response> {
    let wants_octets = accepts(&headers, OCTETS);
    if wants_octets {
        ask_for_octets(&mut request)?;
    }
    let room = service.room_for_session_next(&id, &request)?;
    let response = service.session_next(&id, request).await?;
    Ok(hold(if wants_octets { octets(&response) } else { Json(response).into_response() }, room))
}

async fn answer(service: &Service, headers: &HeaderMap, mut request: NextRequest) -> ApiResult<Response> {
    let wants_octets = accepts(headers, OCTETS) && request.requests.is_none();
    if wants_octets {
        ask_for_octets(&mut request.next)?;
    }
    let room = service.room_for_next(&request)?;
    let response = match service.next(request).await? {
        NextReply::One(response) if wants_octets => octets(&response),
        reply => Json(reply).into_response(),
    };
    Ok(hold(response, room))
}

/// Has the answer list the whole vocabulary. As numbers alone, it has no place for a state.
fn ask_for_octets(request: &mut SessionNextRequest) -> ApiResult<()> {
    if request.carried.return_state {
        let message = format!(
            "`return_state` is true, but the answer is `{OCTETS}`, which holds no state; it is accepted with JSON"
        );
        return Err(Error::invalid("return_state", message).into());
    }
    request.question.shown.full = true;
    Ok(())
}

const OCTETS: &str = "application/octet-stream";

/// The log-probabilities of the whole vocabulary, as numbers.
fn octets(response: &NextResponse) -> Response {
    let logprobs = response.next.logprobs.as_deref().unwrap_or_default();
    let numbers = logprobs.iter().map(|logprob| logprob.unwrap_or(f64::NEG_INFINITY) as f32);
    let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    let headers = [
        (CONTENT_TYPE, OCTETS.to_owned()),
        (HeaderName::from_static("x-position"), response.position.to_string()),
        (HeaderName::from_static("x-vocab-size"), logprobs.len().to_string()),
        (HeaderName::from_static("x-unknown-count"), response.unknown_count.to_string()),
    ];
    (headers, bytes).into_response()
}
