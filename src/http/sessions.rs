//! `/v1/sessions`: made, listed, looked at, copied, set back, ended.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ApiResult};
use super::extract::{Body, Query, Session, UseCases, object};
use super::question::{Distribution, Question};
use crate::error::{Error, Result};
use crate::service::{CreateRequest, CreateResponse, Input, OnExisting, SessionId, SessionInfo};

/// Names the session that an answer is about, and in a request the one that is to be made.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionObject {
    id: String,
    model: String,
    /// Tokens read since the model's start.
    position: u64,
    /// What its state takes, its bookkeeping aside.
    state_bytes: usize,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last read or written; looking at it is no use.
    #[schema(format = DateTime)]
    last_used_at: String,
    /// When it goes if nobody uses it.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Whether a write is running.
    busy: bool,
}

/// A session to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the old man and", "next": {"top_k": 3}}))]
pub(super) struct CreateBody {
    /// 1 to 128 of `[A-Za-z0-9._:-]`; the header `x-session-id` if absent, else made up.
    id: Option<String>,
    /// The default model, if absent.
    model: Option<String>,
    /// Read first.
    text: Option<String>,
    /// Read first, as ids.
    tokens: Option<Vec<u32>>,
    /// How long it lives after its last use; the server's own if absent, which is also the longest.
    ttl_seconds: Option<f64>,
    /// Whether it takes the place of an idle session of the same id; false if absent.
    replace: Option<bool>,
    /// What is asked of its next token.
    #[serde(default, deserialize_with = "object")]
    next: Option<Question>,
}

/// A session that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedSession {
    #[serde(flatten)]
    session: SessionObject,
    /// Words of the input outside the vocabulary.
    unknown_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Distribution>,
}

/// Make a session
///
/// It is there only when all that was asked has succeeded: a failure leaves the old one of the same id as it was.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "create_session", tag = "sessions",
    request_body = CreateBody,
    params(("x-session-id" = Option<String>, Header, description = "The new session's id")),
    responses((status = 201, body = CreatedSession, headers(("location" = String), ("x-session-id" = String)))))]
pub(super) async fn create(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Body(body): Body<CreateBody>,
) -> ApiResult<Response> {
    let CreateBody { id, model, text, tokens, ttl_seconds, replace, next } = body;
    let request = CreateRequest {
        id: id_of(id.as_deref(), &headers)?,
        model,
        input: Input::new(text, tokens)?,
        ttl: ttl(ttl_seconds)?,
        on_existing: if replace == Some(true) { OnExisting::Replace } else { OnExisting::Refuse },
        next: next.map(|mut next| next.query()),
    };
    let CreateResponse { session, unknown_count, next } = service.create_session(request).await?;
    let id = session.id.clone();
    let created = CreatedSession { session: session.into(), unknown_count, next: next.map(Into::into) };
    Ok(made(&id, created))
}

/// A page of the sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// How many at most; 100 if absent.
    limit: Option<usize>,
    /// The last id of the page before.
    after: Option<String>,
}

/// Sessions, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    /// `list`.
    object: &'static str,
    data: Vec<SessionObject>,
    /// Whether there are more after them.
    has_more: bool,
}

/// The sessions, in the order of their ids
#[utoipa::path(get, path = "/v1/sessions", operation_id = "list_sessions", tag = "sessions", params(ListParams),
    responses((status = 200, body = SessionList)))]
pub(super) async fn list(
    UseCases(service): UseCases,
    Query(ListParams { limit, after }): Query<ListParams>,
) -> ApiResult<Json<SessionList>> {
    let after = after.map(|id| SessionId::parse(&id).map_err(|error| error.at("after"))).transpose()?;
    let page = service.list_sessions(after.as_ref(), limit)?;
    let data = page.sessions.into_iter().map(SessionObject::from).collect();
    Ok(Json(SessionList { object: "list", data, has_more: page.has_more }))
}

/// A session
///
/// Looking at it is no use of it: it expires all the same.
#[utoipa::path(get, path = "/v1/sessions/{id}", operation_id = "get_session", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, body = SessionObject)))]
pub(super) async fn get(UseCases(service): UseCases, Session(id): Session) -> ApiResult<Json<SessionObject>> {
    Ok(Json(service.sessions().info(&id)?.into()))
}

/// What a write may expect.
#[derive(Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Expectation {
    /// Where the session must stand, else 412.
    expected_position: Option<u64>,
}

/// End a session
#[utoipa::path(delete, path = "/v1/sessions/{id}", operation_id = "delete_session", tag = "sessions",
    params(("id" = String, Path, description = "The session"), Expectation),
    responses((status = 204)))]
pub(super) async fn delete(
    UseCases(service): UseCases,
    Session(id): Session,
    Query(Expectation { expected_position }): Query<Expectation>,
) -> ApiResult<StatusCode> {
    service.sessions().delete(&id, expected_position)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A copy to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "what-if"}))]
pub(super) struct ForkBody {
    /// The copy's id; made up if absent.
    id: Option<String>,
    /// How long it lives after its last use; the server's own if absent, which is also the longest.
    ttl_seconds: Option<f64>,
}

/// Copy a session
///
/// A read: a session that is busy is copied as it stood before.
#[utoipa::path(post, path = "/v1/sessions/{id}/fork", operation_id = "fork_session", tag = "sessions",
    params(("id" = String, Path, description = "The session to be copied")), request_body = ForkBody,
    responses((status = 201, body = SessionObject, headers(("location" = String), ("x-session-id" = String)))))]
pub(super) async fn fork(
    UseCases(service): UseCases,
    Session(id): Session,
    Body(ForkBody { id: copy, ttl_seconds }): Body<ForkBody>,
) -> ApiResult<Response> {
    let copy = copy.as_deref().map(SessionId::parse).transpose()?;
    let session = service.fork(&id, copy, ttl(ttl_seconds)?)?;
    Ok(made(&session.id.clone(), SessionObject::from(session)))
}

/// Set a session back to its model's start
#[utoipa::path(post, path = "/v1/sessions/{id}/reset", operation_id = "reset_session", tag = "sessions",
    params(("id" = String, Path, description = "The session")), request_body = Expectation,
    responses((status = 200, body = SessionObject)))]
pub(super) async fn reset(
    UseCases(service): UseCases,
    Session(id): Session,
    Body(Expectation { expected_position }): Body<Expectation>,
) -> ApiResult<Json<SessionObject>> {
    Ok(Json(service.reset(&id, expected_position)?.into()))
}

/// 201, with the new session's place.
fn made(id: &SessionId, body: impl Serialize) -> Response {
    let headers = [(LOCATION, format!("/v1/sessions/{id}")), (SESSION_ID, id.to_string())];
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

/// The id that a new session is to have: of the body, or of the header, or the same in both.
fn id_of(body: Option<&str>, headers: &HeaderMap) -> ApiResult<Option<SessionId>> {
    let of_body = body.map(SessionId::parse).transpose()?;
    let of_header = headers.get(SESSION_ID).map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        SessionId::parse(&text).map_err(|error| error.at(SESSION_ID.as_str()))
    });
    match (of_body, of_header.transpose()?) {
        (Some(body), Some(header)) if body != header => {
            let message =
                format!("`id` is `{body}` and the header `{SESSION_ID}` is `{header}`, expected the same");
            Err(ApiError::from(Error::invalid("id", message)))
        }
        (body, header) => Ok(body.or(header)),
    }
}

fn ttl(seconds: Option<f64>) -> Result<Option<Duration>> {
    let parse = |seconds| {
        Duration::try_from_secs_f64(seconds).map_err(|_| {
            let message =
                format!("`ttl_seconds` is {seconds}, expected more than 0 and at most `--session-ttl`");
            Error::invalid("ttl_seconds", message)
        })
    };
    seconds.map(parse).transpose()
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

impl From<SessionInfo> for SessionObject {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id.to_string(),
            model: info.model.to_string(),
            position: info.position,
            state_bytes: info.state_bytes,
            created_at: rfc3339(info.created_at),
            last_used_at: rfc3339(info.last_used_at),
            expires_at: rfc3339(info.expires_at),
            busy: info.busy,
        }
    }
}
