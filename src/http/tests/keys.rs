//! Requests with keys, and the sessions that belong to them.

use std::sync::Arc;

use axum::http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, app_at, ask, request};
use crate::clock::Clock;
use crate::config::{Config, Interface};
use crate::http::routes::probes;
use crate::http::{App, router};

/// The configuration with `text` as the file of keys, which has to outlive the server.
fn keyed(text: &str) -> (Config, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut config = Config::default();
    config.keys.api_keys = Some(file.path().into());
    (config, file)
}

const KEYS: &str = "alice:one\nbob:two\nroot:three admin\n";

/// A request with a key, or without one.
async fn send(app: &Arc<App>, key: Option<&str>, call: (&str, &str, Value)) -> Answer {
    let (method, uri, body) = call;
    let authorization = key.map(|key| format!("Bearer {key}"));
    let mut headers: Vec<(&str, &str)> =
        authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    ask(router(app.clone()), request(method, uri, &headers, body)).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_a_key() {
    let (mut config, _file) = keyed(KEYS);
    config.http.enable = vec![Interface::Aac];
    let app = app_at(Clock::manual(), config);
    let document = app.document();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let mut keyed = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let uri = path.replace("{id}", "a").replace("{model}", "a");
            let answer = send(&app, None, (&method.to_uppercase(), &uri, Value::Null)).await;
            if operation["security"] == json!([]) {
                assert_eq!(answer.status, 200, "{method} {path}");
                continue;
            }
            keyed += 1;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (401, "unauthorized"),
                "{method} {path}"
            );
            assert_eq!(answer.json()["error"]["type"], "authentication_error");
            assert_eq!(header(&answer.headers, "www-authenticate"), Some("Bearer"));
            let wrong = send(&app, Some("four"), (&method.to_uppercase(), &uri, Value::Null)).await;
            assert_eq!(wrong.status, 401, "{method} {path}");
        }
    }
    assert!(keyed > 30, "only {keyed} operations need a key");
    for uri in ["/", "/web/app.js", "/docs/"] {
        assert_eq!(send(&app, None, ("GET", uri, Value::Null)).await.status, 200, "{uri}");
    }
    let info = send(&app, Some("one"), ("GET", "/v1/info", Value::Null)).await;
    assert_eq!(info.json()["keys_required"], true);
}

#[tokio::test]
async fn what_is_below_admin_is_for_admins() {
    let (config, _file) = keyed(KEYS);
    let app = app_at(Clock::manual(), config);
    for uri in ["/admin/drain", "/admin/anything"] {
        let refused = async |key| {
            let answer = send(&app, key, ("POST", uri, Value::Null)).await;
            (answer.status.as_u16(), answer.code())
        };
        assert_eq!(refused(None).await, (401, "unauthorized".to_owned()), "{uri}");
        assert_eq!(refused(Some("one")).await, (403, "forbidden".to_owned()), "{uri}");
    }
    let call = |uri| ("POST", uri, Value::Null);
    assert_eq!(send(&app, Some("three"), call("/admin/anything")).await.code(), "route_not_found");
    assert_eq!(send(&app, Some("one"), call("/v1/next")).await.status, 200);
    let drained = send(&app, Some("three"), call("/admin/drain")).await;
    assert_eq!((drained.status.as_u16(), drained.json()), (200, json!({"open_requests": 0})));
    assert_eq!(send(&app, Some("one"), call("/v1/next")).await.code(), "draining");
    assert_eq!(send(&app, None, ("GET", "/readyz", Value::Null)).await.status, 503);
}

#[tokio::test]
async fn a_server_without_keys_has_no_admins() {
    let app = app_at(Clock::manual(), Config::default());
    let answer = send(&app, Some("three"), ("POST", "/admin/drain", Value::Null)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"));
    let info = send(&app, None, ("GET", "/v1/info", Value::Null)).await;
    assert_eq!(info.json()["keys_required"], false);
}

#[tokio::test]
async fn the_query_string_has_the_key_on_the_routes_of_keyboards_only() {
    let (mut config, _file) = keyed(KEYS);
    config.http.enable = vec![Interface::Aac];
    let app = app_at(Clock::manual(), config);
    let get = async |uri: &str| send(&app, None, ("GET", uri, Value::Null)).await.status.as_u16();
    assert_eq!(get("/word/predict?left=a&key=one").await, 200);
    assert_eq!(get("/character/predict?left=a&key=two").await, 200);
    assert_eq!(get("/word/predict?left=a&key=four").await, 401);
    assert_eq!(get("/v1/next?text=a&key=one").await, 401);
    assert_eq!(get("/v1/models?key=one").await, 401);
}

#[tokio::test]
async fn a_listener_for_metrics_takes_them_over_and_asks_for_keys_too() {
    let (mut config, _file) = keyed(KEYS);
    config.http.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    let app = app_at(Clock::manual(), config);
    let beside = async |uri: &str, key: &str| {
        let authorization = format!("Bearer {key}");
        let request = request("GET", uri, &[("authorization", authorization.as_str())], "");
        ask(probes(&app), request).await.status.as_u16()
    };
    assert_eq!(send(&app, Some("one"), ("GET", "/metrics", Value::Null)).await.code(), "route_not_found");
    let statuses =
        [beside("/metrics", "").await, beside("/v1/info", "").await, beside("/v1/info", "one").await];
    assert_eq!(statuses, [200, 401, 200]);
    for uri in ["/livez", "/readyz", "/health"] {
        assert_eq!(send(&app, None, ("GET", uri, Value::Null)).await.status, 200, "{uri}");
        assert_eq!(beside(uri, "").await, 200, "{uri}");
    }
    let document: Value = serde_json::from_slice(&app.document()).unwrap();
    assert!(document["paths"].get("/metrics").is_none(), "the document has what this address answers");
}

#[tokio::test]
async fn requests_of_a_key_are_limited_and_the_headers_say_so() {
    let (mut config, _file) = keyed(KEYS);
    config.keys.key_requests_per_second = Some(0.5);
    config.keys.key_requests_burst = Some(2);
    let clock = Clock::manual();
    let app = app_at(clock.clone(), config);
    let models = async |key| send(&app, Some(key), ("GET", "/v1/models", Value::Null)).await;
    let said = |answer: &Answer| {
        let of = |name: &str| header(&answer.headers, name).map(str::to_owned);
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
            .map(|name| of(name).unwrap_or_default())
    };
    assert_eq!(said(&models("one").await), ["2", "1", "2"]);
    assert_eq!(said(&models("one").await), ["2", "0", "4"]);
    let refused = models("one").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(said(&refused), ["2", "0", "2"]);
    assert_eq!(header(&refused.headers, "retry-after"), Some("2"));
    assert_eq!(header(&refused.headers, "x-should-retry"), Some("true"));
    assert_eq!(models("two").await.status, 200, "another key has its own requests");
    clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(models("one").await.status, 200);
    let metrics = send(&app, None, ("GET", "/metrics", Value::Null)).await.text();
    for line in [
        r#"rnnlm_key_requests_total{key="alice",status="200"} 3"#,
        r#"rnnlm_key_requests_total{key="alice",status="429"} 1"#,
        r#"rnnlm_key_requests_total{key="bob",status="200"} 1"#,
        r#"rnnlm_requests_rejected_total{reason="rate_limited"} 1"#,
        "rnnlm_keys 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "`{line}` is missing from\n{metrics}");
    }
    assert!(!metrics.contains("key=\"one\""), "a label has a secret");
}

#[tokio::test]
async fn the_sessions_of_a_key_are_bounded_in_number_and_in_bytes() {
    let (mut config, _file) = keyed(KEYS);
    config.keys.key_sessions_max = Some(1);
    let app = app_at(Clock::manual(), config);
    let create = async |app: &Arc<App>, id: &str| {
        send(app, Some("one"), ("POST", "/v1/sessions", json!({"id": id}))).await
    };
    assert_eq!(create(&app, "a").await.status, 201);
    let refused = create(&app, "b").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert!(refused.message().contains("`--key-sessions-max`"), "{}", refused.message());
    assert_eq!(header(&refused.headers, "x-ratelimit-limit"), Some("1"));
    let fork = send(&app, Some("one"), ("POST", "/v1/sessions/a/fork", json!({}))).await;
    assert_eq!(fork.code(), "rate_limited");
    let forks = json!({"n": 2, "fork": true, "max_tokens": 1});
    let forks = send(&app, Some("one"), ("POST", "/v1/sessions/a/generate", forks)).await;
    assert_eq!(forks.code(), "rate_limited");

    let (mut config, _file) = keyed(KEYS);
    config.keys.key_sessions_bytes_max = Some(crate::config::Bytes(400));
    let app = app_at(Clock::manual(), config);
    assert_eq!(create(&app, "a").await.status, 201);
    let refused = create(&app, "b").await;
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.message().contains("`--key-sessions-bytes-max`"), "{}", refused.message());
}

/// A call of one of two owners.
type Call = (&'static str, String, Value);

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Every kind of call that names a session, with ids that both owners use.
fn call() -> impl Strategy<Value = Call> {
    let id = || prop::sample::select(&IDS[..]);
    let of = |id: &str, rest: &str| format!("/v1/sessions/{id}{rest}");
    prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(id, replace)| {
            ("POST", "/v1/sessions".to_owned(), json!({"id": id, "replace": replace, "rewind_tokens": 64, "text": id}))
        }),
        1 => id().prop_map(move |id| ("GET", of(id, ""), Value::Null)),
        1 => Just(("GET", "/v1/sessions".to_owned(), Value::Null)),
        1 => id().prop_map(|id| ("GET", format!("/v1/sessions?after={id}"), Value::Null)),
        1 => id().prop_map(move |id| ("DELETE", of(id, ""), Value::Null)),
        2 => id().prop_map(move |id| ("POST", of(id, "/append"), json!({"text": "a b"}))),
        1 => id().prop_map(move |id| ("POST", of(id, "/next"), json!({"top_k": 2}))),
        1 => (id(), id()).prop_map(|(a, b)| {
            ("POST", "/v1/next".to_owned(), json!({"requests": [{"session": a, "top_k": 1}, {"session": b, "top_k": 1}]}))
        }),
        1 => id().prop_map(move |id| ("POST", of(id, "/suggest"), json!({"text": "a"}))),
        1 => id().prop_map(move |id| ("POST", of(id, "/score"), json!({"continuations": ["a"]}))),
        1 => id().prop_map(move |id| ("POST", of(id, "/generate"), json!({"max_tokens": 2, "seed": 1}))),
        2 => (id(), id()).prop_map(move |(from, to)| ("POST", of(from, "/fork"), json!({"id": to}))),
        1 => id().prop_map(move |id| ("POST", of(id, "/reset"), json!({}))),
        1 => id().prop_map(move |id| ("POST", of(id, "/rewind"), json!({"position": 1}))),
        1 => id().prop_map(move |id| ("GET", of(id, "/state"), Value::Null)),
        1 => id().prop_map(|id| {
            ("POST", "/v1/completions".to_owned(), json!({"session_id": id, "prompt": "a", "max_tokens": 2, "seed": 1}))
        }),
    ]
}

/// What an owner sees, apart from what is random or timed.
async fn seen(
    app: &Arc<App>,
    key: Option<&str>,
    (method, uri, body): &Call,
) -> (u16, Option<String>, String) {
    let answer = send(app, key, (method, uri, body.clone())).await;
    let session = header(&answer.headers, "x-session-position").map(str::to_owned);
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
        // The metadata of a state file come in any order.
        let mut bytes = answer.body;
        bytes.sort_unstable();
        return (answer.status.as_u16(), session, format!("{bytes:?}"));
    };
    for field in ["id", "created"] {
        // Those of a completion.
        if uri == "/v1/completions" && body.get(field).is_some() {
            body[field] = Value::Null;
        }
    }
    if let Some(list) = body.get_mut("data").and_then(Value::as_array_mut) {
        // A table's order is its own, and so is what comes after an id.
        list.sort_by_key(|session| session["id"].to_string());
        if uri.contains("after") {
            list.clear();
        }
    }
    (answer.status.as_u16(), session, body.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two owners share a server and its ids, and each is answered as by a server of its own.
    #[test]
    fn each_owner_is_answered_as_by_a_server_of_its_own(
        calls in prop::collection::vec((any::<bool>(), call()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (config, _file) = keyed(KEYS);
        let clock = Clock::manual();
        let shared = app_at(clock.clone(), config);
        let alone = [(); 2].map(|()| app_at(clock.clone(), Config::default()));
        for (is_bob, call) in calls {
            let key = if is_bob { "two" } else { "one" };
            let found = runtime.block_on(seen(&shared, Some(key), &call));
            let expected = runtime.block_on(seen(&alone[usize::from(is_bob)], None, &call));
            prop_assert_eq!(found, expected, "{} {:?}", key, call);
        }
    }
}
