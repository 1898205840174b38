//! Names the session of an answer, if a session can have that id, so that load balancers can hash on it, and where the session stands.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::app::App;
use crate::http::error::SESSION_POSITION;
use crate::http::extract::use_cases;
use crate::http::sessions::SESSION_ID;
use crate::service::{Service, check_session_id};

/// The name of the session id in the path of every session route.
const PARAM: &str = "id";

/// The handler refuses a path that cannot be read.
type Params = Result<RawPathParams, RawPathParamsRejection>;

pub(in crate::http) async fn session_id(
    State(app): State<Arc<App>>,
    params: Params,
    request: Request,
    next: Next,
) -> Response {
    let id = params.ok().and_then(|params| {
        let (_, id) = params.iter().find(|(name, _)| *name == PARAM)?;
        check_session_id(id).ok()?;
        HeaderValue::from_str(id).ok()
    });
    let service = use_cases(&app, request.extensions());
    let mut response = next.run(request).await;
    if let Some(id) = id {
        // The response to a fork already names the new session.
        response.headers_mut().entry(SESSION_ID).or_insert(id);
    }
    if let Some(position) = service.ok().and_then(|service| position(&service, &response)) {
        // A write that failed on the way says itself where it has stopped.
        response.headers_mut().entry(SESSION_POSITION).or_insert(position.into());
    }
    response
}

/// Where the session of an answer stands; not while a stream moves it, which says so in its events.
fn position(service: &Service, response: &Response) -> Option<u64> {
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        return None;
    }
    let id = response.headers().get(SESSION_ID)?.to_str().ok()?;
    Some(service.session(id).ok()?.position)
}
