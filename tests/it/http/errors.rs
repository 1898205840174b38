//! The error contract: every reason for refusing a request, with its status, its code and the field at fault.

use std::time::Duration;

use rnnlm_server::clock::Clock;
use rnnlm_server::config::{Bytes, Evict};
use serde_json::{Value, json};

use super::gate::gated;
use crate::harness::client::Request;
use crate::harness::models::scripted;
use crate::harness::server::{Server, Setup};

/// A request that is refused: its target and its body, then the code and the field at fault of the answer.
type Refused<'a> = (&'a str, Value, &'a str, Value);

/// Checks that each request is refused with 422, and that none of them moves a session.
async fn check(cases: impl IntoIterator<Item = Refused<'_>>) {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    server.post("/v1/sessions", json!({"id": "bare", "model": "letters"})).await.expect(201);
    for (target, body, code, param) in cases {
        let answer = server.post(target, body.clone()).await;
        assert_eq!(answer.status, 422, "{target} {body}: {}", answer.text());
        assert_eq!(answer.refused(422, code).0, param, "{target} {body}: {}", answer.text());
    }
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 0);
}

#[tokio::test]
async fn an_unknown_field_is_refused_and_named() {
    let cases = [
        ("/v1/next", json!({"txet": "a"}), "txet"),
        ("/v1/next", json!({"session": "s"}), "session"),
        ("/v1/next", json!({"sampling": {"topk": 1}}), "sampling.topk"),
        ("/v1/sessions", json!({"caches": {"window": 1}}), "caches"),
        ("/v1/sessions", json!({"caches": {}}), "caches"),
        ("/v1/sessions", json!({"next": {"text": "a"}}), "next.text"),
        ("/v1/sessions/s/next", json!({"requests": []}), "requests"),
        ("/v1/sessions/s/append", json!({"text": "a", "n": 1}), "n"),
        ("/v1/tokenize", json!({"tokens": [1]}), "tokens"),
    ];
    check(cases.map(|(target, body, field)| (target, body, "unknown_field", json!(field)))).await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_or_out_of_range_is_refused_and_named() {
    let cases = [
        ("/v1/next", json!({"text": "a", "tokens": [1]}), "tokens"),
        ("/v1/next", json!({"text": 1}), "text"),
        ("/v1/next", json!({"tokens": [1, -1]}), "tokens[1]"),
        ("/v1/next", json!({"tokens": [1.5]}), "tokens[0]"),
        ("/v1/next", json!({"top_k": -1}), "top_k"),
        ("/v1/next", json!({"top_k": 1001}), "top_k"),
        ("/v1/next", json!({"candidates": [1.5]}), "candidates[0]"),
        ("/v1/next", json!({"sampling": [1]}), "sampling"),
        ("/v1/next", json!({"requests": {}}), "requests"),
        ("/v1/next", json!({"sampling": {"temperature": -1}}), "sampling.temperature"),
        ("/v1/next", json!({"sampling": {"top_p": 0}}), "sampling.top_p"),
        ("/v1/next", json!({"sampling": {"top_p": 1.5}}), "sampling.top_p"),
        ("/v1/next", json!({"sampling": {"min_p": -0.1}}), "sampling.min_p"),
        ("/v1/next", json!({"sampling": {"top_k": -2}}), "sampling.top_k"),
        ("/v1/next", json!({"sampling": {"top_k": 1u64 << 63}}), "sampling.top_k"),
        ("/v1/next", json!({"sampling": {"banned": ["submarine"]}}), "sampling.banned[0]"),
        ("/v1/sessions", json!({"id": "a b"}), "id"),
        ("/v1/sessions", json!({"id": ""}), "id"),
        ("/v1/sessions", json!({"id": "."}), "id"),
        ("/v1/sessions", json!({"id": ".."}), "id"),
        ("/v1/sessions/s/fork", json!({"id": ".."}), "id"),
        ("/v1/sessions", json!({"ttl_seconds": -1}), "ttl_seconds"),
        ("/v1/sessions", json!({"ttl_seconds": 0}), "ttl_seconds"),
        ("/v1/sessions", json!({"ttl_seconds": 1e30}), "ttl_seconds"),
        ("/v1/sessions", json!({"next": {"top_k": 9999}}), "next.top_k"),
        ("/v1/sessions", json!({"next": []}), "next"),
        ("/v1/sessions/s/append", json!({"text": "a", "expected_position": -1}), "expected_position"),
        ("/v1/sessions/s/next", json!({"model": "letters"}), "model"),
        ("/v1/sessions/s/append", json!({"text": "a", "model": "letters"}), "model"),
        ("/v1/sessions/a%20b/append", json!({"text": "a"}), "id"),
    ];
    check(cases.map(|(target, body, field)| (target, body, "invalid_value", json!(field)))).await;
}

#[tokio::test]
async fn an_empty_input_or_context_is_refused() {
    check([
        ("/v1/sessions/s/append", json!({}), "empty_input", Value::Null),
        ("/v1/sessions/s/append", json!({"text": ""}), "empty_input", Value::Null),
        ("/v1/sessions/s/append", json!({"tokens": []}), "empty_input", Value::Null),
        ("/v1/next", json!({"candidates": [""]}), "empty_input", json!("candidates[0]")),
        ("/v1/next", json!({"model": "letters"}), "empty_context", Value::Null),
        ("/v1/sessions", json!({"model": "letters", "next": {}}), "empty_context", Value::Null),
        ("/v1/sessions/bare/next", json!({"text": ""}), "empty_context", Value::Null),
    ])
    .await;
}

#[tokio::test]
async fn a_token_or_word_outside_the_vocabulary_is_refused() {
    check([
        ("/v1/next", json!({"tokens": [1, 12]}), "token_out_of_range", json!("tokens[1]")),
        ("/v1/next", json!({"candidates": [12]}), "token_out_of_range", json!("candidates[0]")),
        ("/v1/detokenize", json!({"tokens": [12]}), "token_out_of_range", json!("tokens[0]")),
        ("/v1/next", json!({"model": "letters", "text": "abx"}), "unknown_token", json!("text")),
        ("/v1/tokenize", json!({"model": "letters", "text": "x"}), "unknown_token", json!("text")),
    ])
    .await;
}

#[tokio::test]
async fn a_message_names_the_word_and_its_offset() {
    let server = Server::start().await;
    let body = json!({"model": "letters", "text": "ab x"});
    let (_, message) = server.post("/v1/next", body).await.refused(422, "unknown_token");
    assert!(message.contains('x') && message.contains('3'), "{message}");
    let (_, message) =
        server.post("/v1/next", json!({"tokens": [12]})).await.refused(422, "token_out_of_range");
    assert!(message.contains("largest id is 11"), "{message}");
}

#[tokio::test]
async fn invalid_json_is_400_and_a_number_too_large_for_a_float_is_422() {
    let server = Server::start().await;
    let send = |body: &str| server.send(Request::new("POST", "/v1/next").body(body));
    for body in [
        "{",
        "nonsense",
        r#"{"text": "a"} x"#,
        r#"{"sampling": {"temperature": NaN}}"#,
        "{\"text\": \"\u{7}\"}",
    ] {
        send(body).await.refused(400, "invalid_json");
    }
    for number in ["1e999", "-1e999"] {
        let answer = send(&format!(r#"{{"sampling": {{"temperature": {number}}}}}"#)).await;
        assert_eq!(answer.refused(422, "invalid_value").0, "sampling.temperature");
    }
    assert_eq!(send(r#"{"top_k": 1, "top_k": 2}"#).await.refused(422, "invalid_value").0, "top_k");
    send("[]").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn an_unknown_resource_is_404_and_an_unknown_method_is_405() {
    let server = Server::start().await;
    for (method, target) in [("POST", "/v1/next"), ("POST", "/v1/tokenize"), ("POST", "/v1/sessions")] {
        let body = json!({"model": "nobody"});
        let (_, message) =
            server.send(Request::new(method, target).json(&body)).await.refused(404, "model_not_found");
        assert!(message.contains("`words`"), "{message}");
    }
    server.get("/v1/models/nobody").await.refused(404, "model_not_found");
    for target in ["next", "append", "fork", "reset"] {
        let answer = server.post(&format!("/v1/sessions/nobody/{target}"), json!({})).await;
        answer.refused(404, "session_not_found");
        assert_eq!(answer.header("x-session-id"), "nobody");
    }
    server.get("/v1/sessions/nobody").await.refused(404, "session_not_found");
    server.delete("/v1/sessions/nobody").await.refused(404, "session_not_found");
    // A path that is not UTF-8 does not name a session.
    server.get("/v1/sessions/a%ffb").await.refused(422, "invalid_value");
    server.get("/v1/nowhere").await.refused(404, "route_not_found");
    let answer = server.send(Request::new("PUT", "/v1/next")).await;
    answer.refused(405, "method_not_allowed");
    let mut allowed: Vec<&str> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn bodies_have_a_type_and_a_limit_and_texts_have_their_own_limit() {
    let server = Setup::configured(|config| {
        config.http.max_body = Bytes(2000);
        config.limits.max_text = Bytes(1000);
        config.limits.max_prompt_tokens = 3;
    });
    let server = server.start().await;
    let typed = Request::new("POST", "/v1/next").header("content-type", "text/plain").body("the sea");
    server.send(typed).await.refused(415, "unsupported_media_type");
    let browser = Request::new("POST", "/v1/next").header("origin", "https://a.example").body("{}");
    server.send(browser).await.refused(415, "unsupported_media_type");
    let of_length = |length| json!({"text": "a".repeat(length)});
    server.post("/v1/next", of_length(2000)).await.refused(413, "body_too_large");
    server.post("/v1/next", of_length(1000)).await.expect(200);
    for (body, param) in [
        (of_length(1001), "text"),
        (json!({"text": "a a a a"}), "text"),
        (json!({"tokens": [1, 1, 1, 1]}), "tokens"),
    ] {
        assert_eq!(server.post("/v1/next", body).await.refused(422, "text_too_long").0, param);
    }
}

#[tokio::test]
async fn an_expired_or_evicted_session_is_410_for_an_hour_with_the_reason() {
    let setup =
        Setup { clock: Clock::manual(), ..Setup::configured(|config| config.sessions.sessions_max = 2) };
    let server = setup.start().await;
    server.post("/v1/sessions", json!({"id": "short", "ttl_seconds": 60})).await.expect(201);
    server.post("/v1/sessions", json!({"id": "used", "ttl_seconds": 60})).await.expect(201);
    server.advance(Duration::from_secs(59));
    // A prediction from a session uses it; fetching its description does not.
    server.post("/v1/sessions/used/next", json!({})).await.expect(200);
    server.get("/v1/sessions/short").await.expect(200);
    server.advance(Duration::from_secs(1));
    server.get("/v1/sessions/short").await.refused(410, "session_expired");
    server.post("/v1/sessions/short/append", json!({"text": "a"})).await.refused(410, "session_expired");
    server.get("/v1/sessions/used").await.expect(200);

    server.post("/v1/sessions", json!({"id": "b"})).await.expect(201);
    server.post("/v1/sessions", json!({"id": "c"})).await.expect(201);
    server.post("/v1/sessions/used/next", json!({})).await.refused(410, "session_evicted");
    server.advance(Duration::from_secs(3600));
    server.get("/v1/sessions/short").await.refused(404, "session_not_found");
    server.get("/v1/sessions/used").await.refused(404, "session_not_found");
}

#[tokio::test]
async fn a_full_table_without_eviction_is_503() {
    let server = Setup::configured(|config| {
        config.sessions.sessions_max = 1;
        config.sessions.evict = Evict::None;
    });
    let server = server.start().await;
    server.post("/v1/sessions", json!({"id": "a"})).await.expect(201);
    let full = server.post("/v1/sessions", json!({"id": "b"})).await;
    full.refused(503, "sessions_full");
    assert_eq!(full.header("retry-after"), "1");
    server.post("/v1/sessions/a/fork", json!({})).await.refused(503, "sessions_full");
    server.post("/v1/sessions", json!({"id": "a", "replace": true})).await.expect(201);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains(r#"rnnlm_requests_rejected_total{reason="sessions_full"} 2"#), "{metrics}");
}

#[tokio::test]
async fn a_full_queue_is_429() {
    let (served, mut gate) = gated();
    let setup = Setup::over(vec![served]);
    let server = Setup { config: with_queue(setup.config.clone()), ..setup }.start().await;
    let ask = || server.post("/v1/next", json!({"text": "b"}));
    let running = ask();
    let others = async {
        gate.entered().await;
        // One of the two waits; the other finds the queue full and is answered while the gate is closed.
        let first = ask();
        let second = ask();
        tokio::pin!(first, second);
        let (refused, waiting) = tokio::select! {
            refused = &mut first => (refused, second),
            refused = &mut second => (refused, first),
        };
        refused.refused(429, "queue_full");
        assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("1", "true"));
        drop(gate);
        waiting.await.expect(200);
    };
    let (answered, ()) = tokio::join!(running, others);
    answered.expect(200);
}

fn with_queue(mut config: rnnlm_server::config::Config) -> rnnlm_server::config::Config {
    config.engine.queue_max = 1;
    config
}

#[tokio::test]
async fn a_write_that_times_out_gives_the_position_of_its_session() {
    let (served, mut gate) = gated();
    let mut setup = Setup { clock: Clock::manual(), ..Setup::over(vec![served]) };
    setup.config.engine.turn_steps = 1.0;
    setup.config.engine.turn_steps_idle = 1.0;
    let server = setup.start().await;
    tokio::join!(async { server.post("/v1/sessions", json!({"id": "s"})).await.expect(201) }, async {
        gate.entered().await;
        gate.pass();
    });
    let late = async {
        gate.entered().await;
        server.advance(Duration::from_secs(61));
        drop(gate);
    };
    let (answer, ()) = tokio::join!(server.post("/v1/sessions/s/append", json!({"text": "b c d"})), late);
    answer.refused(504, "timeout");
    assert_eq!((answer.header("x-session-position"), answer.header("x-should-retry")), ("1", "false"));
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1);
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_500_and_do_not_move_the_session() {
    let server = Setup::over(vec![scripted(|fake| fake.nan_on(25))]).start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "b"})).await.expect(201);
    let append = |body| server.post("/v1/sessions/s/append", body);
    let unguarded = append(json!({"text": "z"})).await;
    unguarded.refused(500, "internal");
    assert_eq!((unguarded.header("x-session-position"), unguarded.header("x-should-retry")), ("1", "false"));
    let guarded = append(json!({"text": "z", "expected_position": 1})).await;
    guarded.refused(500, "internal");
    assert_eq!(guarded.header("x-should-retry"), "");
    assert_eq!(append(json!({"text": "c"})).await.expect(200)["position"], 2);
}

#[tokio::test]
async fn a_draining_server_answers_open_requests_and_refuses_new_ones() {
    let (served, mut gate) = gated();
    let server = Setup::over(vec![served]).start().await;
    let open = server.post("/v1/next", json!({"text": "b"}));
    let drain = async {
        gate.entered().await;
        server.stop().await;
        let mut phase = server.app.phase_watch();
        phase.wait_for(|phase| *phase == rnnlm_server::http::Phase::Draining).await.unwrap();
        server.post("/v1/next", json!({})).await.refused(503, "draining");
        server.get("/readyz").await.refused(503, "draining");
        server.get("/livez").await.expect(200);
        drop(gate);
    };
    let (answered, ()) = tokio::join!(open, drain);
    answered.expect(200);
    server.stopped().await;
}

#[tokio::test]
async fn what_a_route_does_not_take_is_refused_and_not_ignored() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the sea"})).await.expect(201);
    for (method, target, param) in [
        ("POST", "/v1/generate?max_tokens=2", "max_tokens"),
        ("POST", "/v1/score?add_eos=true", "add_eos"),
        ("POST", "/v1/sessions/s/reset?expected_position=7", "expected_position"),
        ("POST", "/v1/sessions/s/append?&text=a", "text"),
        ("GET", "/v1/models?name", "name"),
        ("GET", "/v1/info?full=1", "full"),
        ("GET", "/v1/stats?model=words", "model"),
        ("GET", "/v1/sessions/s?full=1", "full"),
    ] {
        let mut request = Request::new(method, target);
        if method == "POST" {
            request = request.json(&json!({"text": "the"}));
        }
        let answer = server.send(request).await;
        assert_eq!(answer.refused(422, "unknown_field").0, param, "{target}");
    }
    for (method, target) in [("DELETE", "/v1/sessions/s"), ("GET", "/v1/sessions/s"), ("GET", "/v1/next")] {
        let guarded = Request::new(method, target).json(&json!({"expected_position": 7}));
        let (param, message) = server.send(guarded).await.refused(422, "invalid_value");
        assert_eq!(param, Value::Null);
        assert!(message.contains(&format!("{method} takes no body")), "{message}");
    }
    assert_eq!(server.get("/v1/sessions/s?").await.expect(200)["position"], 2);
    server.delete("/v1/sessions/s?expected_position=7").await.refused(412, "position_mismatch");
    server.delete("/v1/sessions/s?expected_position=2").await.expect(204);
}

#[tokio::test]
async fn only_a_creation_is_told_to_replace_a_session() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    let (_, message) = server.post("/v1/sessions", json!({"id": "s"})).await.refused(409, "session_exists");
    assert!(message.contains("`replace`"), "{message}");
    let (_, message) =
        server.post("/v1/sessions/s/fork", json!({"id": "s"})).await.refused(409, "session_exists");
    assert!(message.contains("must be free") && !message.contains("replace"), "{message}");
}

#[tokio::test]
async fn the_model_at_fault_is_named_by_its_field() {
    let server = Server::start().await;
    for target in ["/v1/next", "/v1/generate", "/v1/tokenize", "/v1/score", "/v1/sessions"] {
        let answer = server.post(target, json!({"model": "nobody"})).await;
        assert_eq!(answer.refused(404, "model_not_found").0, "model", "{target}");
    }
    assert_eq!(server.get("/v1/models/nobody").await.refused(404, "model_not_found").0, Value::Null);
}
