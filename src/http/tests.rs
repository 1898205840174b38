//! The router from outside, without a socket: layers, fallbacks, probes.

mod keys;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use serde_json::Value;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;

use super::layers::{Accepted, Entrance, Gate, enter};
use super::routes::assemble;
use super::{App, router};
use crate::catalog::{Catalog, Parts, Served};
use crate::clock::Clock;
use crate::config::{Bytes, Config};
use crate::lm::fake::Fake;
use crate::service::Service;
use crate::telemetry::Metrics;
use crate::text::{Tokenizer, TokenizerKind, TokenizerSpec};

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(super) fn param(&self) -> Value {
        self.json()["error"]["param"].clone()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Use cases over a scripted model of the words `a` to `z`.
pub(super) fn service() -> Arc<Service> {
    service_at(Clock::system())
}

/// The same, with a clock of its own.
pub(super) fn service_at(clock: Clock) -> Arc<Service> {
    service_with(&Config::default(), Arc::default(), clock)
}

fn service_with(config: &Config, metrics: Arc<Metrics>, clock: Clock) -> Arc<Service> {
    let catalog = Catalog::new(vec![served(Fake::new(26))], None).unwrap();
    Arc::new(Service::start(config, catalog, metrics, clock).unwrap())
}

/// `model`, of 26 tokens, as a model of the words `a` to `z`.
fn served(model: Fake) -> Served {
    let words: Vec<String> = ('a'..='z').map(String::from).collect();
    let tokenizer =
        Tokenizer::new(&TokenizerSpec::new(TokenizerKind::Whitespace), words.join("\n").as_bytes()).unwrap();
    let parts = Parts {
        name: "fake".into(),
        model: Arc::new(model),
        tokenizer: Arc::new(tokenizer),
        identity: "fake".into(),
        created: std::time::UNIX_EPOCH,
        understanding: None,
    };
    Served::new(parts, vec![0]).unwrap()
}

/// A service that is ready.
pub(super) fn app_with(config: Config) -> Arc<App> {
    app_at(Clock::system(), config)
}

/// The same, with a clock of its own.
fn app_at(clock: Clock, config: Config) -> Arc<App> {
    let keys = crate::service::keys(&config, clock.clone()).unwrap();
    let app = App::with_keys(config, clock.clone(), keys);
    app.ready(service_with(&app.config, app.metrics.clone(), clock));
    app
}

/// Routes that do work.
pub(super) fn behind_the_entrance(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let entrance = Entrance { gate: Gate::of(app), accepted: Accepted::by(&OpenApi::default()) };
    routes.layer(from_fn_with_state(entrance, enter))
}

pub(super) fn request(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(body.into())
        .unwrap()
}

pub(super) async fn ask(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec();
    Answer { status, headers, body }
}

async fn get_from(app: &Arc<App>, uri: &str, headers: &[(&str, &str)]) -> Answer {
    ask(router(app.clone()), request("GET", uri, headers, "")).await
}

#[tokio::test]
async fn probes_follow_the_phases() {
    let app = App::new(Config::default(), Clock::system());
    let probe = async |uri: &str| get_from(&app, uri, &[]).await;
    assert_eq!(probe("/livez").await.status, 200);
    for uri in ["/readyz", "/health", "/v1/info"] {
        let answer = probe(uri).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "loading"), "{uri}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    app.ready(service());
    for uri in ["/livez", "/readyz", "/health", "/v1/info", "/metrics", "/openapi.json"] {
        assert_eq!(probe(uri).await.status, 200, "{uri}");
    }
    app.drain();
    assert_eq!(probe("/livez").await.status, 200);
    assert_eq!(probe("/metrics").await.status, 200);
    assert_eq!(probe("/readyz").await.code(), "draining");
}

#[tokio::test]
async fn unknown_routes_and_methods_fail_like_everything_else() {
    let app = app_with(Config::default());
    let answer = get_from(&app, "/v2/next", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "route_not_found"));
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
    let answer = ask(router(app), request("DELETE", "/livez", &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), "GET,HEAD");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_and_echoed() {
    let app = app_with(Config::default());
    let echoed = async |id: &str| {
        get_from(&app, "/livez", &[("x-request-id", id)]).await.header("x-request-id").to_owned()
    };
    assert_eq!(echoed("req-7").await, "req-7");
    assert_eq!(echoed(&"x".repeat(128)).await, "x".repeat(128));
    for refused in ["", "tab\there", "caf\u{e9}", &"x".repeat(129)] {
        let id = echoed(refused).await;
        let is_hex = id.bytes().all(|digit| digit.is_ascii_hexdigit());
        assert!(id.len() == 32 && is_hex, "`{refused}` is replaced by `{id}`");
    }
    assert_ne!(
        get_from(&app, "/livez", &[]).await.header("x-request-id"),
        get_from(&app, "/livez", &[]).await.header("x-request-id")
    );
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_address() {
    let app = app_with(Config::default());
    get_from(&app, "/livez?secret", &[]).await;
    get_from(&app, "/secret/path", &[]).await;
    let page = get_from(&app, "/metrics", &[]).await;
    assert!(page.header("content-type").starts_with("application/openmetrics-text"));
    let page = page.text();
    assert!(
        page.contains(r#"rnnlm_http_requests_total{route="/livez",method="GET",status="200"} 1"#),
        "{page}"
    );
    assert!(
        page.contains(r#"rnnlm_http_requests_total{route="unmatched",method="GET",status="404"} 1"#),
        "{page}"
    );
    assert!(!page.contains("secret"), "{page}");
}

#[tokio::test]
async fn a_panic_of_a_handler_is_500_and_says_nothing_of_it() {
    let app = app_with(Config::default());
    let routes = Router::new().route("/bug", get(async || -> &'static str { panic!("an inner detail") }));
    let answer = ask(assemble(routes, &app), request("GET", "/bug", &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal"));
    assert!(!answer.text().contains("inner detail"));
    assert!(!answer.header("x-request-id").is_empty());
    assert!(app.metrics.render().contains(r#"route="/bug",method="GET",status="500"} 1"#));
}

#[tokio::test]
async fn work_is_open_until_its_body_has_been_dropped_and_refused_in_a_drain() {
    let app = app_with(Config::default());
    let work = Router::new().route("/work", get(async || "done"));
    let service = assemble(behind_the_entrance(work, &app), &app);
    let response = service.clone().oneshot(request("GET", "/work", &[], "")).await.unwrap();
    assert_eq!(response.headers()["content-length"], "4", "the size of the body is still known");
    assert_eq!(app.open(), 1);
    drop(response);
    assert_eq!(app.open(), 0);
    app.drain();
    let refused = ask(service, request("GET", "/work", &[], "")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "draining"));
    assert!(app.metrics.render().contains(r#"rnnlm_requests_rejected_total{reason="draining"} 1"#));
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_when_listed() {
    const ORIGIN: (&str, &str) = ("origin", "https://a.example");
    let mut config = Config::default();
    let answer = get_from(&app_with(config.clone()), "/livez", &[ORIGIN]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    config.http.cors_origins = vec!["https://a.example".into()];
    let app = app_with(config.clone());
    let allowed = get_from(&app, "/livez", &[ORIGIN]).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://a.example");
    let other = get_from(&app, "/livez", &[("origin", "https://b.example")]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let preflight = [ORIGIN, ("access-control-request-method", "POST")];
    let answer = ask(router(app), request("OPTIONS", "/livez", &preflight, "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-methods")), (200, "*"));
    config.http.cors_origins = vec!["*".into()];
    let any = get_from(&app_with(config), "/livez", &[ORIGIN]).await;
    assert_eq!(any.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_text_from_a_page_is_scored_only_if_its_origin_is_listed() {
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    const ORIGIN: (&str, &str) = ("origin", "https://a.example");
    let score = async |config: &Config, headers: &[(&str, &str)]| {
        ask(router(app_with(config.clone())), request("POST", "/v1/score", headers, "a b")).await
    };
    let mut config = Config::default();
    assert_eq!(score(&config, &[TEXT]).await.status, 200);
    let refused = score(&config, &[TEXT, ORIGIN]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (415, "unsupported_media_type"));
    assert!(refused.message().contains("--cors-origins"), "{}", refused.message());
    for (listed, status) in [("https://b.example", 415), ("https://a.example", 200), ("*", 200)] {
        config.http.cors_origins = vec![listed.into()];
        assert_eq!(score(&config, &[TEXT, ORIGIN]).await.status, status, "{listed}");
    }
}

#[tokio::test]
async fn an_id_that_no_session_can_have_is_not_echoed() {
    let app = app_with(Config::default());
    let long = "x".repeat(129);
    for (id, echoed) in [("nobody", "nobody"), ("a%20b", ""), ("a%3Cb", ""), (long.as_str(), "")] {
        let answer = get_from(&app, &format!("/v1/sessions/{id}"), &[]).await;
        assert!(answer.status.is_client_error());
        assert_eq!(answer.header("x-session-id"), echoed, "{id}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_before_the_work() {
    let mut config = Config::default();
    config.limits.max_answer = Bytes(1 << 10);
    let app = app_with(config);
    let next =
        async |body: &str| ask(router(app.clone()), request("POST", "/v1/next", &[], body.to_owned())).await;
    assert_eq!(next(r#"{"text": "a", "top_k": 1, "full": true}"#).await.status, 200);
    let entry = r#"{"text": "a", "top_k": 1, "full": true}"#;
    for (body, param) in [
        (r#"{"text": "a", "full": true}"#.to_owned(), "full"),
        (
            r#"{"text": "a", "candidates": ["a", "b", "c", "d", "e", "f", "g"], "top_k": 0}"#.to_owned(),
            "candidates",
        ),
        (format!(r#"{{"requests": [{entry}, {entry}]}}"#), "requests"),
    ] {
        let answer = next(&body).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (422, Value::from(param)), "{body}");
        assert!(answer.message().contains("--max-answer"), "{}", answer.message());
    }
    let generate = r#"{"text": "a", "max_tokens": 4, "top_logprobs": 2}"#;
    let answer = ask(router(app.clone()), request("POST", "/v1/generate", &[], generate)).await;
    assert_eq!((answer.status.as_u16(), answer.param()), (422, Value::from("top_logprobs")));
}

#[tokio::test]
async fn an_answer_beside_a_write_is_bounded_before_anything_is_written() {
    let mut config = Config::default();
    config.limits.max_answer = Bytes(600);
    let app = app_with(config);
    let create = |body: &str| {
        let request = request("POST", "/v1/sessions", &[], body.to_owned());
        ask(router(app.clone()), request)
    };
    let answer = create(r#"{"id": "s", "next": {"full": true}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.param()), (422, Value::from("next.full")));
    assert_eq!(create(r#"{"id": "s", "text": "a", "rewind_tokens": 8}"#).await.status, 201);
    for (path, body) in [
        ("/v1/sessions/s/append", r#"{"text": "a", "next": {"full": true}}"#),
        ("/v1/sessions/s/rewind", r#"{"position": 0, "next": {"full": true}}"#),
    ] {
        let answer = ask(router(app.clone()), request("POST", path, &[], body)).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (422, Value::from("next.full")), "{path}");
    }
    assert_eq!(get_from(&app, "/v1/sessions/s", &[]).await.json()["position"], 1);
}

#[tokio::test]
async fn answers_that_are_not_sent_yet_leave_no_room_for_others() {
    let mut config = Config::default();
    config.http.answers_max_bytes = Bytes(3 << 10);
    let app = app_with(config);
    let full = || request("POST", "/v1/next", &[], r#"{"text": "a", "full": true}"#);
    // Each takes 26 numbers and 10 tokens, or 3 KiB.
    let unsent = router(app.clone()).oneshot(full()).await.unwrap();
    assert_eq!(unsent.status(), 200);
    let refused = ask(router(app.clone()), full()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "queue_full"));
    assert!(refused.message().contains("--answers-max-bytes"), "{}", refused.message());
    assert!(app.metrics.render().contains(r#"rnnlm_requests_rejected_total{reason="answers_full"} 1"#));
    drop(unsent);
    assert_eq!(ask(router(app.clone()), full()).await.status, 200);
}

#[tokio::test]
async fn info_names_the_version_and_the_limits() {
    let answer = get_from(&app_with(Config::default()), "/v1/info", &[]).await.json();
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["limits"]["max_tokens"], 4096);
    assert_eq!(answer["limits"]["session_ttl_seconds"], 3600.0);
}
