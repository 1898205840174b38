//! Compressed bodies (RFC 9110, section 8.4): gzip in requests, and in responses when a request accepts it.
//!
//! tower-http decodes and encodes. But it answers an encoding that it does not know without saying why, and it turns a response that
//! was refused in every encoding into a failure after the work is done. So headers are put right before it sees them.

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::api::error::ErrorCode;
use crate::http::arrival::{Pace, paced};
use crate::http::error::ApiError;
use crate::http::extract::quality;
use crate::http::rescore::NDJSON;

/// A shorter response fits into one packet as it is.
const COMPRESSED_BYTES_MIN: u64 = 1 << 10;

/// Compresses responses. Events and lines that are sent one by one are not compressed: each would have to wait for the next.
pub(super) fn compress() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(COMPRESSED_BYTES_MIN)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new(NDJSON));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}

/// Refuses a body whose encoding is not gzip, and ignores an `accept-encoding` that accepts nothing. The body must arrive at `pace`.
pub(super) async fn check(State(pace): State<Pace>, mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    if let Err(error) = name_encoding(headers) {
        return ([(ACCEPT_ENCODING, "gzip")], error).into_response();
    }
    if accepts_nothing(headers) {
        headers.remove(ACCEPT_ENCODING);
    }
    next.run(request.map(|body| paced(body, pace))).await
}

/// Writes the body's encoding as tower-http reads it: `gzip` in lower case, or not at all.
fn name_encoding(headers: &mut HeaderMap) -> Result<(), ApiError> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let names: Vec<String> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase()).collect();
    let name = names.join(", ");
    match name.as_str() {
        "" | "identity" => drop(headers.remove(CONTENT_ENCODING)),
        "gzip" | "x-gzip" => drop(headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"))),
        _ => {
            let message = format!("`content-encoding` is `{name}`; it must be `gzip` or absent");
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
        }
    }
    Ok(())
}

/// Whether neither a compressed nor a plain response is accepted. Such a request gets a plain one.
fn accepts_nothing(headers: &HeaderMap) -> bool {
    let compressed = quality(headers, &ACCEPT_ENCODING, &["gzip", "x-gzip", "*"]).unwrap_or(0.0);
    // The plain form is accepted unless it is excluded.
    let plain = quality(headers, &ACCEPT_ENCODING, &["identity", "*"]).unwrap_or(1.0);
    compressed == 0.0 && plain == 0.0
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::{get, post};
    use serde_json::{Value, json};
    use tower::{ServiceExt, service_fn};
    use tower_http::compression::Compression;
    use tower_http::decompression::Decompression;

    use super::*;
    use crate::config::{Bytes, Config};
    use crate::http::tests::{Answer, app_with, ask, request};

    const GZIP: (&str, &str) = ("content-encoding", "gzip");

    /// `bytes` as a client compresses them.
    async fn gzip(bytes: &[u8]) -> Vec<u8> {
        let plain = bytes.to_vec();
        let service = service_fn(move |_: Request| {
            let plain = plain.clone();
            async { Ok::<_, Infallible>(Response::new(Body::from(plain))) }
        });
        let compressing = Compression::new(service).compress_when(SizeAbove::new(0));
        let response =
            compressing.oneshot(request("GET", "/", &[("accept-encoding", "gzip")], "")).await.unwrap();
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap().to_vec()
    }

    fn routes(config: Config) -> Router {
        crate::http::router(app_with(config))
    }

    async fn tokenize(config: Config, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        ask(routes(config), request("POST", "/v1/tokenize", headers, body)).await
    }

    #[tokio::test]
    async fn a_compressed_body_is_decoded() {
        let body = gzip(br#"{"text": "a b"}"#).await;
        for name in ["gzip", "GZIP", "x-gzip"] {
            let answer = tokenize(Config::default(), &[("content-encoding", name)], body.clone()).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["tokens"]), (200, &json!([0, 1])), "{name}");
        }
        let text = gzip(b"a b c").await;
        let headers = [GZIP, ("content-type", "text/plain")];
        let scored = ask(routes(Config::default()), request("POST", "/v1/score", &headers, text)).await;
        assert_eq!(
            (scored.status.as_u16(), &scored.json()["total"]["token_count"]),
            (200, &json!(3)),
            "{}",
            scored.text()
        );
    }

    #[tokio::test]
    async fn the_limit_of_a_body_applies_to_what_comes_out() {
        let body = gzip(&vec![b' '; 100_000]).await;
        assert!(body.len() < 2000, "{} bytes were compressed to {}", 100_000, body.len());
        let mut config = Config::default();
        config.http.max_body = Bytes(99_999);
        let answer = tokenize(config, &[GZIP], body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "body_too_large"));
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_decoded_is_refused() {
        let mut broken = gzip(br#"{"text": "a b"}"#).await;
        broken.truncate(20);
        for body in [br#"{"text": "a b"}"#.to_vec(), broken] {
            let answer = tokenize(Config::default(), &[GZIP], body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_request"));
            assert!(answer.message().contains("gzip"), "{}", answer.message());
        }
        for name in ["br", "gzip, gzip", "nonsense"] {
            let answer = tokenize(Config::default(), &[("content-encoding", name)], b"{}".to_vec()).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (415, "unsupported_media_type"));
            assert!(
                answer.message().contains(name) && answer.message().contains("`gzip`"),
                "{}",
                answer.message()
            );
            assert_eq!(answer.headers["accept-encoding"], "gzip");
        }
    }

    #[tokio::test]
    async fn an_answer_is_compressed_when_the_request_accepts_it() {
        let plain = ask(routes(Config::default()), request("GET", "/openapi.json", &[], "")).await;
        let accepted = request("GET", "/openapi.json", &[("accept-encoding", "br, gzip;q=0.5")], "");
        let response = routes(Config::default()).oneshot(accepted).await.unwrap();
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let compressed = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(compressed.len() < plain.text().len() / 4);
        let sent = compressed.to_vec();
        let decoding = Decompression::new(service_fn(move |_: Request| {
            let mut response = Response::new(Body::from(sent.clone()));
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            async { Ok::<_, Infallible>(response) }
        }));
        let decoded = decoding.oneshot(request("GET", "/", &[], "")).await.unwrap();
        let decoded = to_bytes(Body::new(decoded.into_body()), 1 << 20).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&decoded).unwrap(), plain.json());
    }

    #[tokio::test]
    async fn other_answers_are_plain() {
        let ticks = async || {
            crate::http::sse::answer(
                futures_util::stream::iter([crate::http::sse::Event::Named("tick", "x".repeat(5000))]),
                std::time::Duration::from_secs(3600),
            )
        };
        let app = app_with(Config::default());
        let events = crate::http::routes::assemble(Router::new().route("/events", get(ticks)), &app);
        let echo = Router::new().route("/echo", post(async |body: String| body));
        let echo = crate::http::routes::assemble(echo, &app);
        let long = "x".repeat(5000);
        for (router, accepted, method, uri) in [
            (events, "gzip", "GET", "/events"),
            (echo.clone(), "br", "POST", "/echo"),
            (echo.clone(), "gzip;q=0", "POST", "/echo"),
            (echo.clone(), "identity;q=0", "POST", "/echo"),
            (echo, "*;q=0", "POST", "/echo"),
        ] {
            let answer =
                ask(router, request(method, uri, &[("accept-encoding", accepted)], long.clone())).await;
            assert_eq!(answer.status, 200, "{accepted}");
            assert!(!answer.headers.contains_key(CONTENT_ENCODING), "{accepted}");
            assert!(answer.text().contains(&long), "{accepted}");
        }
        let short =
            ask(routes(Config::default()), request("GET", "/livez", &[("accept-encoding", "gzip")], ""))
                .await;
        assert_eq!(short.json()["status"], "ok");
    }
}
