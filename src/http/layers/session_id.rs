//! Echoes the session id in a request's path, so that load balancers can hash on it, if a session can have that id.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::sessions::SESSION_ID;
use crate::service::check_session_id;

/// The name of the session id in the path of every session route.
const PARAM: &str = "id";

/// The handler refuses a path that cannot be read.
type Params = Result<RawPathParams, RawPathParamsRejection>;

pub(in crate::http) async fn session_id(params: Params, request: Request, next: Next) -> Response {
    let id = params.ok().and_then(|params| {
        let (_, id) = params.iter().find(|(name, _)| *name == PARAM)?;
        check_session_id(id).ok()?;
        HeaderValue::from_str(id).ok()
    });
    let mut response = next.run(request).await;
    if let Some(id) = id {
        // The response to a fork already names the new session.
        response.headers_mut().entry(SESSION_ID).or_insert(id);
    }
    response
}
