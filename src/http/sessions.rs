//! `/v1/sessions`: created, listed, looked at, appended to, copied, rewound, reset and deleted.

use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::document::QueryOf;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Path, Query, UseCases};
use super::held::hold;
use super::json::Json;
use crate::api::append::{AppendRequest, AppendResponse};
use crate::api::question::Question;
use crate::api::rewind::{RewindRequest, RewindResponse};
use crate::api::sessions::{
    CreateSessionRequest, CreatedSession, Expectation, ForkRequest, ListSessionsQuery, Session, SessionList,
};
use crate::error::Error;
use crate::service::{AskedBeside, check_session_id};

/// Names the session that an answer is about and, in a request, the session to create.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// Create a session
///
/// The session exists only when all that was asked has succeeded: a failure leaves an old session with the same id as it was.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "createSession", tag = "sessions",
    request_body = CreateSessionRequest,
    params(("x-session-id" = Option<String>, Header, description = "The new session's id, unless the body gives it")),
    responses((status = 201, description = "The session was created", body = CreatedSession, headers(
        ("location" = String, description = "The session's path"),
        ("x-session-id" = String, description = "The session's id")))))]
pub(super) async fn create(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Body(mut request): Body<CreateSessionRequest>,
) -> ApiResult<Response> {
    request.id = id_of(request.id, &headers)?;
    let model = request.prompt.model.as_deref();
    let room =
        service.room_beside_write(&AskedBeside { session: None, model, next: request.next.as_ref() })?;
    let created = service.create_session(request).await?;
    Ok(hold(answer_created(&created.session.id.clone(), created), room))
}

/// List sessions
#[utoipa::path(get, path = "/v1/sessions", operation_id = "listSessions", tag = "sessions",
    params(QueryOf<ListSessionsQuery>),
    responses((status = 200, description = "A page of the list, in an order that the server chooses", body = SessionList)))]
pub(super) async fn list(
    UseCases(service): UseCases,
    Query(query): Query<ListSessionsQuery>,
) -> ApiResult<Json<SessionList>> {
    Ok(Json(service.list_sessions(&query).await?))
}

/// Get a session
///
/// This does not count as a use of the session: it does not extend its life.
#[utoipa::path(get, path = "/v1/sessions/{id}", operation_id = "getSession", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, description = "The session", body = Session)))]
pub(super) async fn get(UseCases(service): UseCases, Path(id): Path<String>) -> ApiResult<Json<Session>> {
    Ok(Json(service.session(&id)?))
}

/// Delete a session
#[utoipa::path(delete, path = "/v1/sessions/{id}", operation_id = "deleteSession", tag = "sessions",
    params(("id" = String, Path, description = "The session's id"), QueryOf<Expectation>),
    responses((status = 204, description = "The session was deleted")))]
pub(super) async fn delete(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Query(expected): Query<Expectation>,
) -> ApiResult<StatusCode> {
    service.delete_session(&id, expected).await.map_err(ApiError::of_write(expected))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Append to a session
///
/// Reads `text` or `tokens` from where the session stands, and moves it. If this fails on the way, for example at the time limit, the
/// tokens that were read stay read: the header `x-session-position` says where the session stands.
#[utoipa::path(post, path = "/v1/sessions/{id}/append", operation_id = "appendToSession", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")), request_body = AppendRequest,
    responses((status = 200, description = "The session has read the input", body = AppendResponse)))]
pub(super) async fn append(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Body(request): Body<AppendRequest>,
) -> ApiResult<Response> {
    let room = service.room_beside_write(&beside(&id, request.next.as_ref()))?;
    let failed = ApiError::of_write(request.expected);
    Ok(hold(Json(service.append(&id, request).await.map_err(failed)?).into_response(), room))
}

/// Copy a session
///
/// This is a read: a busy session is copied as it stood before the running write. The copy has the same time to live, unless
/// the request gives another.
#[utoipa::path(post, path = "/v1/sessions/{id}/fork", operation_id = "forkSession", tag = "sessions",
    params(("id" = String, Path, description = "The id of the session to copy"),
        ("x-session-id" = Option<String>, Header, description = "The copy's id, unless the body gives it")),
    request_body = ForkRequest,
    responses((status = 201, description = "The copy was created", body = Session, headers(
        ("location" = String, description = "The copy's path"),
        ("x-session-id" = String, description = "The copy's id")))))]
pub(super) async fn fork(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(mut request): Body<ForkRequest>,
) -> ApiResult<Response> {
    request.id = id_of(request.id, &headers)?;
    let copy = service.fork_session(&id, &request).await?;
    Ok(answer_created(&copy.id.clone(), copy))
}

/// Reset a session
///
/// Sets the session back to its model's start.
#[utoipa::path(post, path = "/v1/sessions/{id}/reset", operation_id = "resetSession", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")), request_body = Expectation,
    responses((status = 200, description = "The session was reset", body = Session)))]
pub(super) async fn reset(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Body(expected): Body<Expectation>,
) -> ApiResult<Json<Session>> {
    Ok(Json(service.reset_session(&id, expected).await.map_err(ApiError::of_write(expected))?))
}

/// Rewind a session
///
/// Sets the session back to an earlier position, at most the `rewind_tokens` with which it was created. What follows is, bit for
/// bit, what would have followed then. If this fails, the session stays where it was.
#[utoipa::path(post, path = "/v1/sessions/{id}/rewind", operation_id = "rewindSession", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")), request_body = RewindRequest,
    responses((status = 200, description = "The session stands at the position", body = RewindResponse)))]
pub(super) async fn rewind(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Body(request): Body<RewindRequest>,
) -> ApiResult<Response> {
    let room = service.room_beside_write(&beside(&id, request.next.as_ref()))?;
    let failed = ApiError::of_write(request.expected);
    Ok(hold(Json(service.rewind_session(&id, request).await.map_err(failed)?).into_response(), room))
}

/// The question beside a write to the session `id`.
fn beside<'a>(id: &'a str, next: Option<&'a Question>) -> AskedBeside<'a> {
    AskedBeside { session: Some(id), model: None, next }
}

/// 201, with the path and the id of the new session.
fn answer_created(id: &str, body: impl Serialize) -> Response {
    let headers = [(LOCATION, format!("/v1/sessions/{id}")), (SESSION_ID, id.to_owned())];
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

/// The id that a new session is to have: from the body, from the header, or the same from both.
fn id_of(body: Option<String>, headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(header) = headers.get(SESSION_ID) else { return Ok(body) };
    let header = String::from_utf8_lossy(header.as_bytes()).into_owned();
    check_session_id(&header).map_err(|error| error.at(SESSION_ID.as_str()))?;
    match body {
        Some(body) if body != header => {
            let message = format!("`id` is `{body}`, but the header `{SESSION_ID}` is `{header}`");
            Err(ApiError::from(Error::invalid("id", message)))
        }
        _ => Ok(Some(header)),
    }
}
