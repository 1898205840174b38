//! `/v1/sessions/{id}/state`.

use axum::http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::document::QueryOf;
use super::error::{ApiError, ApiResult};
use super::extract::{Binary, Path, Query, UseCases, quality};
use super::held::hold;
use super::json::Json;
use crate::api::sessions::Session;
use crate::api::state::{PutStateQuery, SessionState};
use crate::service::Imported;

const OCTET_STREAM: &str = "application/octet-stream";

/// Export a session's state
///
/// What the model keeps of everything that the session has read, as a safetensors file: put into a session of any server with the same weights, it
/// continues bit for bit. With `accept: application/json`, the vectors of each layer and their norms instead. A busy session answers as it
/// stood before the running write. This does not count as a use of the session.
#[utoipa::path(get, path = "/v1/sessions/{id}/state", operation_id = "getSessionState", tag = "sessions",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, description = "The state",
        content((Vec<u8> = "application/octet-stream"), (SessionState = "application/json")))))]
pub(super) async fn get(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    if asks_for_json(&headers) {
        let room = service.room_for_state(&id)?;
        return Ok(hold(Json(service.describe_state(&id)?).into_response(), room));
    }
    let room = service.room_for_export(&id)?;
    Ok(hold(([(CONTENT_TYPE, OCTET_STREAM)], service.export_state(&id)?).into_response(), room))
}

/// Whether JSON is asked for by name, and a file is not preferred to it.
fn asks_for_json(headers: &HeaderMap) -> bool {
    let of = |media_type: &str| quality(headers, &ACCEPT, &[media_type]).unwrap_or(0.0);
    of("application/json") > 0.0 && of("application/json") >= of(OCTET_STREAM)
}

/// Import a state
///
/// Sets the session to a state that was exported, or creates it there. A session that exists keeps its time to live, its extra words and its
/// `rewind_tokens`, and cannot go back behind the state. A state that is damaged, or was computed by other weights, is refused with
/// `state_mismatch`, and nothing changes. Nor does it if there is no room for a cache that is larger than the session's.
#[utoipa::path(put, path = "/v1/sessions/{id}/state", operation_id = "putSessionState", tag = "sessions",
    params(("id" = String, Path, description = "The session's id"), QueryOf<PutStateQuery>),
    request_body(content = Vec<u8>, description = "A state, as a session exports it", content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The session stands at the state", body = Session),
        (status = 201, description = "The session was created", body = Session, headers(
            ("location" = String, description = "The session's path")))))]
pub(super) async fn put(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    Query(query): Query<PutStateQuery>,
    Binary(state): Binary,
) -> ApiResult<Response> {
    let failed = ApiError::of_write(query.expected);
    Ok(match service.import_state(&id, &state, query).await.map_err(failed)? {
        Imported::Replaced(session) => Json(session).into_response(),
        Imported::Created(session) => {
            let location = format!("/v1/sessions/{id}");
            (StatusCode::CREATED, [(LOCATION, location)], Json(session)).into_response()
        }
    })
}
