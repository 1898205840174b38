//! HTTP: the only place that knows axum, status codes and JSON.
//!
//! [`routes`] is the table of all routes, [`layers`] the list of what happens to every request, [`error`] the one
//! place that turns a failure into a status, [`serve`] the life of the server. Handlers call use cases and hold
//! no logic of their own; their request and response types stand beside them.

pub mod app;
pub mod error;
pub mod extract;
mod generate;
mod held;
mod layers;
mod ops;
mod routes;
mod score;
mod serve;
pub mod sse;
mod wire;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use crate::service::SessionId;

pub use app::{App, Phase};
pub(crate) use generate::{Generated, Tokens};
pub use routes::{document, router};
pub(crate) use score::Scored;
pub use serve::{Shutdown, serve};

/// `response` as one about the session `id`, by which balancers can hash.
fn of_session(id: &SessionId, mut response: Response) -> Response {
    const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
    let id = HeaderValue::from_str(id.as_str()).expect("the id of a session is ASCII");
    response.headers_mut().insert(SESSION_ID, id);
    response
}

#[cfg(test)]
mod tests;
