//! The session of a request's path, echoed: balancers hash on it.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::sessions::SESSION_ID;

/// The name that every session route gives to the id in its path.
const PARAM: &str = "id";

/// A path that cannot be read is for the handler to refuse.
type Params = Result<RawPathParams, RawPathParamsRejection>;

pub(in crate::http) async fn session_id(params: Params, request: Request, next: Next) -> Response {
    let id = params.ok().and_then(|params| {
        let (_, id) = params.iter().find(|(name, _)| *name == PARAM)?;
        HeaderValue::from_str(id).ok()
    });
    let mut response = next.run(request).await;
    if let Some(id) = id {
        // A fork answers with the id of the new session, which stays.
        response.headers_mut().entry(SESSION_ID).or_insert(id);
    }
    response
}
