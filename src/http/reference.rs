//! `/docs`: the OpenAPI document as a page to read and to try, with Swagger UI embedded in the binary.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::{Config, serve};

use super::error::ApiError;
use crate::api::error::ErrorCode;

/// As that of the page at `/`, but Swagger UI sets styles inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn headers() -> [(HeaderName, &'static str); 4] {
    [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

/// The document is beside the page, so that the page works behind a path prefix; nothing is sent to Swagger's validator.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(Config::new(["../openapi.json"]).validator_url("none").try_it_out_enabled(true))
});

/// The page's files are relative to `/docs/`.
pub(super) async fn redirect() -> impl IntoResponse {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "docs/")])
}

/// The page itself.
pub(super) async fn index() -> Result<Response, ApiError> {
    answer("index.html")
}

/// A file that the page loads.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    answer(&name)
}

fn answer(name: &str) -> Result<Response, ApiError> {
    let file =
        serve(name, CONFIG.clone()).map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    let Some(file) = file else {
        let message =
            format!("the route `/docs/{name}` does not exist; the page at `/docs/` loads what does");
        return Err(ApiError::new(ErrorCode::RouteNotFound, message));
    };
    let encoding = file.gzpipped.then_some([(CONTENT_ENCODING, "gzip")]);
    Ok((headers(), [(CONTENT_TYPE, file.content_type)], encoding, file.bytes.into_owned()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::http::tests::{ask, request};
    use crate::http::{App, router};

    #[tokio::test]
    async fn the_page_loads_the_document_of_this_server_and_nothing_foreign() {
        let app = App::new(crate::config::Config::default(), Clock::system());
        let get = async |uri: &str| ask(router(app.clone()), request("GET", uri, &[], "")).await;
        let answer = get("/docs").await;
        assert_eq!((answer.status.as_u16(), answer.headers["location"].as_bytes()), (308, &b"docs/"[..]));
        for uri in ["/docs/", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"] {
            let answer = get(uri).await;
            assert_eq!(answer.status, 200, "{uri}");
            assert_eq!(answer.headers["content-security-policy"], POLICY);
            assert_eq!(answer.headers["content-encoding"], "gzip");
        }
        let initializer = get("/docs/swagger-initializer.js").await.text().replace(' ', "");
        assert!(initializer.contains("\"../openapi.json\""), "{initializer}");
        assert!(initializer.contains("\"validatorUrl\":\"none\""), "{initializer}");
        assert!(!initializer.contains("http://") && !initializer.contains("https://"), "{initializer}");
        assert_eq!(get("/docs/missing.js").await.code(), "route_not_found");
    }
}
