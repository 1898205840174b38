//! Generation: in one piece, or token by token as server-sent events.

mod answer;
mod request;
mod stream;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

pub(crate) use self::answer::Generated;
pub(crate) use self::request::Tokens;
use self::request::{Delivery, GenerateBody};
use super::app::App;
use super::error::{ApiError, ApiResult};
use super::extract::{Body, Session};
use super::sse;
use crate::service::Generating;

/// How a text goes on
///
/// From the start of the model, after reading `text` or `tokens`. With `stream`, events `start`, `token`, and `done` or
/// `error`; their joined `text` is the text of the answer in one piece. Closing the connection stops the work.
#[utoipa::path(post, path = "/v1/generate", tag = "generation", request_body = GenerateBody,
    responses((status = 200, content((Generated = "application/json"), (stream::Event = "text/event-stream")))))]
pub(super) async fn generate(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(body): Body<GenerateBody>,
) -> ApiResult<Response> {
    let (delivery, list) = (body.delivery(&headers), body.token_list());
    let generating = app.service()?.generate(body.at_start()?).await?;
    deliver(&app, generating, (delivery, list)).await
}

/// How a session goes on
///
/// The session moves to the end of what was read and drawn, unless `commit` is false. It holds exactly the tokens of the answer:
/// what ended the text is among them. When the client goes away, it holds what was drawn till then.
#[utoipa::path(post, path = "/v1/sessions/{id}/generate", operation_id = "session_generate", tag = "generation", request_body = GenerateBody,
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, content((Generated = "application/json"), (stream::Event = "text/event-stream")))))]
pub(super) async fn session_generate(
    State(app): State<Arc<App>>,
    Session(id): Session,
    headers: HeaderMap,
    Body(body): Body<GenerateBody>,
) -> ApiResult<Response> {
    let (delivery, list) = (body.delivery(&headers), body.token_list());
    let unguarded = body.is_unguarded_write();
    let request = body.on_session(id)?;
    let answer = async { deliver(&app, app.service()?.generate(request).await?, (delivery, list)).await };
    let failed = |error: ApiError| if unguarded { error.of_unguarded_write() } else { error };
    answer.await.map_err(failed)
}

/// Answers with what `generating` gives. A stream begins with its first token: what fails before that has a status of its own.
async fn deliver(
    app: &App,
    mut generating: Generating,
    (delivery, list): (Delivery, Tokens),
) -> ApiResult<Response> {
    match delivery {
        Delivery::Whole => Ok(Json(Generated::collect(generating, list).await?).into_response()),
        Delivery::Stream => {
            let first = stream::first_step(&mut generating).await?;
            Ok(sse::answer(stream::events(generating, first), app.config.http.stream_keep_alive))
        }
    }
}
