//! `state` and `return_state`: what a session does, without one.

use serde_json::{Value, json};

use super::state::export;
use crate::harness::client::Request;
use crate::harness::models::letters;
use crate::harness::server::{Server, Setup};

/// The answer of `route` to `body`, and the state that it returns.
async fn carry(server: &Server, route: &str, mut body: Value) -> (Value, String) {
    body["return_state"] = json!(true);
    let mut answer = server.post(&format!("/v1/{route}"), body).await.expect(200);
    let state = answer.as_object_mut().unwrap().remove("state").unwrap();
    (answer, state.as_str().unwrap().to_owned())
}

/// The position of a state.
async fn position_of(server: &Server, state: &str) -> u64 {
    let made = server.post("/v1/sessions", json!({"state": state})).await.expect(201);
    made["position"].as_u64().unwrap()
}

#[tokio::test]
async fn a_client_that_carries_its_state_gets_what_a_session_gives() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    let (_, state) = carry(&server, "next", json!({"text": "the old man"})).await;
    assert_eq!(position_of(&server, &state).await, 3);

    // A question, which reads on.
    let ask = json!({"text": "and the", "full": true});
    let (next, after) = carry(&server, "next", with(&ask, &state)).await;
    assert_eq!(next, server.post("/v1/sessions/s/next", ask).await.expect(200));
    assert_eq!(next["position"], 5);
    server.post("/v1/sessions/s/append", json!({"text": "and the"})).await.expect(200);

    // Suggestions after a half-typed word, which is in no state.
    let typed = json!({"prefix": "s", "top_k": 2});
    let (suggested, same) = carry(&server, "suggest", with(&typed, &after)).await;
    assert_eq!(suggested, server.post("/v1/sessions/s/suggest", typed).await.expect(200));
    assert_eq!(position_of(&server, &same).await, 5);

    // Scores, and the state after the context.
    let (scored, context) = carry(&server, "score", with(&json!({"texts": ["sea", "a ship"]}), &same)).await;
    let expected = server.post("/v1/sessions/s/score", json!({"continuations": ["sea", "a ship"]})).await;
    assert_eq!(scored, expected.expect(200));
    assert_eq!(position_of(&server, &context).await, 5);
    let (_, read) = carry(&server, "score", with(&json!({"context": "sea", "text": "a ship"}), &same)).await;
    assert_eq!(position_of(&server, &read).await, 6);

    // A text, twice as long in two requests as in one.
    let draw = json!({"max_tokens": 6, "seed": 8, "token_logprobs": true});
    let (first, middle) = carry(&server, "generate", with(&draw, &context)).await;
    let (second, end) = carry(&server, "generate", with(&draw, &middle)).await;
    let twice = json!({"max_tokens": 12, "seed": 8, "token_logprobs": true});
    let whole = server.post("/v1/sessions/s/generate", twice).await.expect(200);
    let choice = |answer: &Value, field: &str| answer["choices"][0][field].clone();
    let tokens = [first, second].map(|half| choice(&half, "token_logprobs").as_array().unwrap().clone());
    assert_eq!(json!(tokens.concat()), choice(&whole, "token_logprobs"));
    assert_eq!(position_of(&server, &end).await, 17);
    server.post("/v1/sessions", json!({"id": "t", "state": end})).await.expect(201);
    let question = json!({"full": true});
    let s = server.post("/v1/sessions/s/next", question.clone()).await.expect(200);
    assert_eq!(s, server.post("/v1/sessions/t/next", question).await.expect(200));
}

fn with(body: &Value, state: &str) -> Value {
    let mut body = body.clone();
    body["state"] = json!(state);
    body
}

#[tokio::test]
async fn a_stream_returns_the_state_at_its_end_and_a_batch_with_each_answer() {
    let server = Server::start().await;
    let draw = json!({"text": "the old", "max_tokens": 3, "seed": 1, "stream": true, "return_state": true});
    let events = server.post("/v1/generate", draw).await;
    let text = events.text();
    let done = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    let done: Value = serde_json::from_str(done).unwrap();
    assert_eq!(position_of(&server, done["state"].as_str().unwrap()).await, 5);

    server.post("/v1/sessions", json!({"id": "l", "model": "letters", "text": "ab"})).await.expect(201);
    let state = base64::encode(export(&server, "l").await);
    let requests = json!([{"state": state, "return_state": true}, {"text": "the"}, {"state": "?"}]);
    let answers = server.post("/v1/next", json!({"requests": requests})).await.expect(200);
    let answers = answers["responses"].as_array().unwrap();
    // The state names its model.
    assert_eq!((&answers[0]["model"], &answers[0]["position"]), (&json!("letters"), &json!(2)));
    assert!(answers[0]["state"].is_string() && answers[1].get("state").is_none());
    assert_eq!(answers[2]["error"]["param"], "requests[2].state");
    assert_eq!(answers[2]["error"]["code"], "state_mismatch");
}

#[tokio::test]
async fn a_state_that_is_damaged_foreign_or_out_of_place_is_refused() {
    let server = Setup::default().start().await;
    let (_, state) = carry(&server, "next", json!({"text": "the"})).await;
    let elsewhere = Setup::over(vec![letters()]).start().await;
    for (route, text) in [("next", "text"), ("generate", "text"), ("suggest", "text"), ("score", "context")] {
        for bad in ["", "AAAA", "not base64", &state[..state.len() - 4]] {
            let body = json!({"state": bad, text: "the", "texts": ["sea"]});
            let body = if route == "score" { body } else { json!({"state": bad, text: "the"}) };
            let (param, _) = server.post(&format!("/v1/{route}"), body).await.refused(422, "state_mismatch");
            assert_eq!(param, "state", "{route}");
        }
        let body = json!({"state": state, "text": "a"});
        let refused = elsewhere.post(&format!("/v1/{route}"), body).await;
        assert_eq!(refused.refused(422, "state_mismatch").0, "state");
    }
    server.post("/v1/sessions", json!({"id": "s", "text": "a"})).await.expect(201);
    for route in ["next", "generate", "suggest"] {
        let request = Request::new("POST", format!("/v1/sessions/s/{route}")).json(&json!({"state": state}));
        assert_eq!(server.send(request).await.refused(422, "invalid_value").0, "state");
    }
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1);
}

#[tokio::test]
async fn a_state_that_the_answer_has_no_place_for_is_refused() {
    let server = Server::start().await;
    let several = json!({"text": "the", "max_tokens": 2, "n": 2, "return_state": true});
    let refused = server.post("/v1/generate", several).await.refused(422, "invalid_value");
    assert_eq!(refused.0, "return_state");
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    for path in ["/v1/next", "/v1/sessions/s/next"] {
        let request = Request::new("POST", path).json(&json!({"text": "sea", "return_state": true}));
        let request = request.header("accept", "application/octet-stream");
        assert_eq!(server.send(request).await.refused(422, "invalid_value").0, "return_state", "{path}");
    }
}

#[tokio::test]
async fn a_generation_that_moves_a_session_returns_its_state_too() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let draw = json!({"max_tokens": 3, "seed": 2, "return_state": true});
    let answer = server.post("/v1/sessions/s/generate", draw).await.expect(200);
    assert_eq!(answer["session"]["position"], 5);
    server.post("/v1/sessions", json!({"id": "t", "state": answer["state"]})).await.expect(201);
    let question = json!({"full": true});
    let moved = server.post("/v1/sessions/s/next", question.clone()).await.expect(200);
    assert_eq!(moved, server.post("/v1/sessions/t/next", question).await.expect(200));
}

#[tokio::test]
async fn a_returned_state_counts_among_the_bytes_of_the_answer() {
    let server = Setup::configured(|config| config.limits.max_answer.0 = 1200).start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    for (route, body) in [
        ("next", json!({"text": "the", "top_k": 1})),
        ("generate", json!({"text": "the", "max_tokens": 2, "seed": 1})),
        ("suggest", json!({"text": "the s"})),
        ("score", json!({"text": "the sea"})),
        ("sessions/s/next", json!({"top_k": 1})),
        ("sessions/s/suggest", json!({"prefix": "s"})),
        ("sessions/s/generate", json!({"max_tokens": 2, "seed": 1})),
    ] {
        let route = format!("/v1/{route}");
        server.post(&route, body.clone()).await.expect(200);
        let mut asking = body;
        asking["return_state"] = json!(true);
        let (param, message) = server.post(&route, asking).await.refused(422, "invalid_value");
        assert_eq!(param, "return_state", "{route}");
        assert!(message.contains("--max-answer"), "{route}: {message}");
    }
    let requests = json!([{"text": "the", "top_k": 1, "return_state": true}]);
    let refused = server.post("/v1/next", json!({"requests": requests})).await.refused(422, "invalid_value");
    assert_eq!(refused.0, "requests");
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 3);
}

#[tokio::test]
async fn the_estimate_of_a_returned_state_is_near_its_length() {
    let server = Setup::configured(|config| config.limits.max_answer.0 = 1300).start().await;
    let (_, state) = carry(&server, "suggest", json!({"text": "the s"})).await;
    assert!((600..=1300).contains(&state.len()), "{} bytes", state.len());
    let (_, longer) = carry(&server, "suggest", with(&json!({"prefix": "s"}), &state)).await;
    assert!(longer.len().abs_diff(state.len()) < 50);
}

#[tokio::test]
async fn a_returned_state_counts_with_its_cache_which_may_become_full() {
    const WINDOW: usize = 40;
    let cache = json!({"window": WINDOW});
    let text = "the old man and the sea ".repeat(10);
    let roomy = Server::start().await;
    let full = json!({"text": text, "cache": cache, "top_k": 1});
    let (_, full) = carry(&roomy, "next", full).await;
    let (_, young) = carry(&roomy, "next", json!({"text": "the", "cache": cache, "top_k": 1})).await;
    assert!(young.len() + 500 < full.len());

    // The estimates are above the length, and not far.
    for (max, is_enough) in [(full.len() * 9 / 10, false), (full.len() * 7 / 5, true)] {
        let server = Setup::configured(|config| config.limits.max_answer.0 = max).start().await;
        let create = json!({"id": "s", "text": text, "cache": cache});
        server.post("/v1/sessions", create).await.expect(201);
        let carried = json!({"text": text, "cache": cache});
        let grown = json!({"text": text, "state": young});
        let mut asked = Vec::new();
        for route in ["next", "generate", "suggest", "score"] {
            asked.extend([&carried, &grown].map(|body| (route.to_owned(), body.clone())));
        }
        let in_session =
            ["next", "generate", "suggest"].map(|route| (format!("sessions/s/{route}"), json!({})));
        asked.extend(in_session);
        for (route, mut body) in asked {
            body["return_state"] = json!(true);
            match route.rsplit('/').next() {
                Some("next") => body["top_k"] = json!(1),
                Some("generate") => body["max_tokens"] = json!(2),
                Some("suggest") => body["prefix"] = json!("s"),
                _ => {}
            }
            let answer = server.post(&format!("/v1/{route}"), body).await;
            match is_enough {
                true => assert!(answer.expect(200)["state"].as_str().unwrap().len() <= max, "{route}"),
                false => assert_eq!(answer.refused(422, "invalid_value").0, "return_state", "{route}"),
            }
        }
        let requests = json!([{"session": "s", "top_k": 1, "return_state": true}]);
        let answer = server.post("/v1/next", json!({"requests": requests})).await;
        assert_eq!(answer.status, if is_enough { 200 } else { 422 }, "{}", answer.text());
    }

    // A file is shorter than the same in base64.
    let file_len = base64::decode(&full).unwrap().len();
    for (max, is_enough) in [(file_len * 9 / 10, false), (file_len * 7 / 5, true)] {
        let server = Setup::configured(|config| config.limits.max_answer.0 = max).start().await;
        server.post("/v1/sessions", json!({"id": "s", "text": text, "cache": cache})).await.expect(201);
        let answer = server.get("/v1/sessions/s/state").await;
        match is_enough {
            true => assert_eq!((answer.status, answer.body.len()), (200, file_len)),
            false => assert!(answer.refused(422, "invalid_value").1.contains("--max-answer")),
        }
    }
}
