//! Lets the session of a request be as a shared store has it, and names the session of an answer, if a session can have that id, so that load balancers can hash on it, and where the session stands.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use crate::http::app::App;
use crate::http::error::{ApiResult, SESSION_POSITION};
use crate::http::extract::on_behalf_of;
use crate::http::sessions::SESSION_ID;
use crate::keys::Pass;
use crate::service::{Service, check_session_id};

/// The name of the session id in the path of every session route.
const PARAM: &str = "id";

/// The parameters of a path; the handler refuses one that cannot be read.
pub(super) type Params = Result<RawPathParams, RawPathParamsRejection>;

/// What is known of the session before a request is answered.
pub(super) struct Asked {
    app: Arc<App>,
    pass: Option<Pass>,
    id: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn by(request: &Request, params: Params, app: &Arc<App>) -> Self {
        let id = params.ok().and_then(|params| {
            let (_, id) = params.iter().find(|(name, _)| *name == PARAM)?;
            check_session_id(id).ok()?;
            HeaderValue::from_str(id).ok()
        });
        Self { app: app.clone(), pass: request.extensions().get().cloned(), id }
    }

    /// Lets the session be as a shared store has it.
    pub(super) async fn meet(&self) -> ApiResult<()> {
        let Some(id) = self.id.as_ref().and_then(|id| id.to_str().ok()) else { return Ok(()) };
        let service = on_behalf_of(&self.app, self.pass.as_ref())?;
        Ok(service.meet_session(id).await?)
    }

    /// Names the session in the answer.
    pub(super) fn name_in(self, mut response: Response) -> Response {
        if let Some(id) = self.id {
            // The response to a fork already names the new session.
            response.headers_mut().entry(SESSION_ID).or_insert(id);
        }
        if response.headers().contains_key(SESSION_ID)
            && let Ok(service) = on_behalf_of(&self.app, self.pass.as_ref())
            && let Some(position) = position(&service, &response)
        {
            // A write that failed on the way says itself where it has stopped.
            response.headers_mut().entry(SESSION_POSITION).or_insert(position.into());
        }
        response
    }
}

/// Where the session of an answer stands; not while a stream moves it, which says so in its events.
fn position(service: &Service, response: &Response) -> Option<u64> {
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
        return None;
    }
    let id = response.headers().get(SESSION_ID)?.to_str().ok()?;
    Some(service.session(id).ok()?.position)
}
