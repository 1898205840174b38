//! Lets requests with a key through, in its name, and counts them; answers others with 401. A server without keys lets everything through.
//!
//! A key comes in the header `authorization: Bearer KEY`. Keyboards that can set no header may give it as `key` in the query string of
//! their own routes; no other route takes it from there, because proxies log the query string.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Span;

use crate::api::error::ErrorCode;
use crate::http::app::App;
use crate::http::error::{ApiError, ApiResult, allowed};
use crate::keys::{Keys, Pass};
use crate::telemetry::Rejected;

/// What the layer needs, and where a key may be.
#[derive(Clone)]
pub(in crate::http) struct Gate {
    app: Arc<App>,
    takes_query: bool,
}

impl Gate {
    /// For requests that have the key in a header.
    pub(in crate::http) fn of(app: &Arc<App>) -> Self {
        Self { app: app.clone(), takes_query: false }
    }

    /// For requests that have the key in a header or in the query string.
    pub(in crate::http) fn taking_query(app: &Arc<App>) -> Self {
        Self { takes_query: true, ..Self::of(app) }
    }

    /// The server behind it.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Answers a request by `work` if it may pass.
    pub(super) async fn through<F>(&self, mut request: Request, work: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let Self { app, takes_query } = self;
        let Some(keys) = &app.keys else { return work(request).await };
        let uri = takes_query.then(|| request.uri());
        let pass = match pass_of(keys, request.headers(), uri) {
            Ok(pass) => pass,
            Err(refused) => return refused.into_response(),
        };
        Span::current().record("key", &**pass.name());
        let mut response = match pass.request(app.clock.now()) {
            Ok(allowance) => {
                request.extensions_mut().insert(pass.clone());
                allowed(work(request).await, allowance)
            }
            Err(error) => {
                app.metrics.rejected(Rejected::RateLimited);
                ApiError::from(error).into_response()
            }
        };
        // For the layer that counts and logs the answer.
        response.extensions_mut().insert(pass);
        response
    }
}

/// The layer of routes that need a key and nothing else of [`enter`](super::enter).
pub(in crate::http) async fn authorize(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    gate.through(request, |request| next.run(request)).await
}

/// Lets requests with an admin's key through. Stands behind [`authorize`].
pub(in crate::http) async fn admins_only(request: Request, next: Next) -> Response {
    let checked = match request.extensions().get::<Pass>() {
        Some(pass) => pass.check_admin().map_err(ApiError::from),
        None => Err(ApiError::new(
            ErrorCode::Forbidden,
            "the server has no keys (`--api-keys`), and this route requires that of an admin",
        )),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// `uri` is given if its query string may have the key.
fn pass_of(keys: &Keys, headers: &HeaderMap, uri: Option<&Uri>) -> ApiResult<Pass> {
    let unauthorized = |message: &str| ApiError::new(ErrorCode::Unauthorized, message);
    let found = match bearer(headers)? {
        Some(secret) => keys.find(secret),
        None => match uri.and_then(in_query) {
            Some(secret) => keys.find(&secret),
            None => {
                return Err(unauthorized(
                    "the request has no key; the header `authorization: Bearer KEY` is required (`--api-keys`)",
                ));
            }
        },
    };
    found.ok_or_else(|| unauthorized("the key is not one that this server knows (`--api-keys`)"))
}

/// The key in the query string, if there is one.
fn in_query(uri: &Uri) -> Option<String> {
    let Query(mut parameters) = Query::<HashMap<String, String>>::try_from_uri(uri).ok()?;
    parameters.remove("key")
}

/// The key in the header, if there is one.
fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = |message: &str| Err(ApiError::new(ErrorCode::Unauthorized, message));
    if values.next().is_some() {
        return refused("the header `authorization` is given twice; it is accepted once");
    }
    // What is not ASCII is no key, whatever its form.
    let Some((scheme, secret)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return refused("the header `authorization` has no scheme and key; expected `Bearer KEY`");
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return refused("the scheme of the header `authorization` is not `Bearer`; expected `Bearer KEY`");
    }
    Ok(Some(secret.trim()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, ErrorCode> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers).map(|secret| secret.map(str::to_owned)).map_err(|error| error.code())
    }

    #[test]
    fn the_scheme_has_any_case_and_anything_else_is_unauthorized() {
        assert_eq!(read(&[]), Ok(None));
        for value in ["Bearer one", "bearer one", "BEARER  one "] {
            assert_eq!(read(&[value]), Ok(Some("one".to_owned())), "{value}");
        }
        for values in
            [&["one"][..], &["Basic one"], &["Bearer"], &["Bearer é"], &["Bearer one", "Bearer one"]]
        {
            assert_eq!(read(values), Err(ErrorCode::Unauthorized), "{values:?}");
        }
    }
}
