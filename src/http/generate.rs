//! `/v1/generate` and `/v1/sessions/{id}/generate`: in one piece, or token by token as server-sent events.

use std::convert::identity;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::error::{ApiError, ApiResult};
use super::extract::{Body, Path, UseCases, accepts};
use super::held::hold;
use super::json::Json;
use super::sse;
use crate::api::generate::{GenerateRequest, GenerateResponse, SessionGenerateRequest};
use crate::api::stream::StreamEvent;
use crate::service::{Generating, Service};

/// Continue a text
///
/// Reads `text` or `tokens` from the model's start, and draws one or several continuations or searches for the most likely ones.
///
/// With `stream`, the answer is a stream of events: `start`, one `token` for each token, and last `done` or `error`. The `text` of
/// all events joined is the text of the answer in one piece. Closing the connection stops the work.
#[utoipa::path(post, path = "/v1/generate", operation_id = "generate", tag = "generation",
    request_body = GenerateRequest,
    responses((status = 200, description = "The continuation, or a stream of events",
        content((GenerateResponse = "application/json"), (StreamEvent = "text/event-stream")))))]
pub(super) async fn generate(
    UseCases(service): UseCases,
    headers: HeaderMap,
    Body(mut request): Body<GenerateRequest>,
) -> ApiResult<Response> {
    let streams = streams(&request, &headers);
    request.stream = Some(streams);
    let generating = service.generate(request).await?;
    if streams { events(&service, generating).await } else { whole(generating).await }
}

/// Continue a session
///
/// Continues from where the session stands, and moves it to the end of what was read and drawn, unless `commit` is false or `fork` is
/// true. The session then holds exactly the `tokens` of the answer, including those that ended the text. If the client closes the
/// connection, the session holds what was drawn until then.
#[utoipa::path(post, path = "/v1/sessions/{id}/generate", operation_id = "generateInSession", tag = "generation",
    params(("id" = String, Path, description = "The session's id")), request_body = SessionGenerateRequest,
    responses((status = 200, description = "The continuation, or a stream of events",
        content((GenerateResponse = "application/json"), (StreamEvent = "text/event-stream")))))]
pub(super) async fn session_generate(
    UseCases(service): UseCases,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(mut request): Body<SessionGenerateRequest>,
) -> ApiResult<Response> {
    let failed = if request.moves_session() { ApiError::of_write(request.expected) } else { identity };
    let streams = streams(&request.generate, &headers);
    request.generate.stream = Some(streams);
    let answer = async {
        let generating = service.session_generate(&id, request).await?;
        if streams { events(&service, generating).await } else { whole(generating).await }
    };
    answer.await.map_err(failed)
}

fn streams(request: &GenerateRequest, headers: &HeaderMap) -> bool {
    request.stream.unwrap_or_else(|| accepts(headers, "text/event-stream"))
}

async fn whole(mut generating: Generating) -> ApiResult<Response> {
    let room = generating.take_room();
    Ok(hold(Json(generating.whole().await?).into_response(), room))
}

/// A stream begins with its first token: what fails before that has a status of its own.
async fn events(service: &Service, mut generating: Generating) -> ApiResult<Response> {
    let room = generating.take_room();
    let events = stream::unfold(generating.events().await?, async |mut events| {
        let event = events.next().await?;
        Some((sse::Event::Named(event.name(), event), events))
    });
    Ok(hold(sse::answer(events, service.stream_keep_alive()), room))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn the_request_decides_on_a_stream_and_else_the_header() {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/event-stream"))]);
        let request = |stream| GenerateRequest { stream, ..GenerateRequest::default() };
        assert!(streams(&request(None), &headers) && streams(&request(Some(true)), &HeaderMap::new()));
        assert!(!streams(&request(Some(false)), &headers) && !streams(&request(None), &HeaderMap::new()));
    }
}
