//! `cache`: what was read comes back, in every answer with probabilities, and moves with the state.

use serde_json::{Value, json};

use super::state::{export, put};
use crate::harness::client::{Request, metric};
use crate::harness::models::{VOCABULARY, letters, words, words_gru};
use crate::harness::server::{Server, Setup};

const TEXT: &str = "the old man and the sea sings of a ship and the old";

fn cache() -> Value {
    json!({"window": 20, "theta": 0.6, "lambda": 0.4})
}

/// The whole distribution after `text`, with or without a cache.
async fn fresh(server: &Server, text: &str, cache: Option<Value>) -> Value {
    let body = json!({"text": text, "full": true, "cache": cache});
    server.post("/v1/next", body).await.expect(200)["logprobs"].clone()
}

async fn logprobs(server: &Server, id: &str) -> Value {
    server.post(&format!("/v1/sessions/{id}/next"), json!({"full": true})).await.expect(200)["logprobs"]
        .clone()
}

async fn create(server: &Server, id: &str, text: &str) -> Value {
    let body = json!({"id": id, "text": text, "cache": cache(), "rewind_tokens": 40});
    server.post("/v1/sessions", body).await.expect(201)
}

#[tokio::test]
async fn words_that_were_read_become_likelier_and_probabilities_sum_to_one() {
    let server = Server::start().await;
    let with = fresh(&server, TEXT, Some(cache())).await;
    let without = fresh(&server, TEXT, None).await;
    let probs = |logprobs: &Value| -> Vec<f64> {
        logprobs.as_array().unwrap().iter().map(|logprob| libm::exp(logprob.as_f64().unwrap())).collect()
    };
    let (with, without) = (probs(&with), probs(&without));
    assert!((with.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    // Tokens that were not read keep 1 - lambda of their probability; the others gain what these lose.
    let read: Vec<&str> = TEXT.split(' ').collect();
    for ((with, without), word) in with.iter().zip(&without).zip(VOCABULARY) {
        match read.contains(&word) {
            true => assert!(*with > 0.6 * without, "{word}"),
            false => assert!((with - 0.6 * without).abs() < 1e-6, "{word}"),
        }
    }
}

#[tokio::test]
async fn every_answer_with_probabilities_mixes_the_same_cache() {
    let server = Server::start().await;
    let logprob = |answer: &Value| answer["logprob"].as_f64().unwrap();
    let next = json!({"text": TEXT, "cache": cache(), "top_k": 12, "special": true, "candidates": ["man", "man and"]});
    let next = server.post("/v1/next", next).await.expect(200);
    let man = logprob(&next["candidates"][0]);
    let listed = next["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["text"].as_str().unwrap().trim() == "man");
    assert_eq!(logprob(listed.unwrap()), man);

    let score = json!({"context": TEXT, "texts": ["man", "man and"], "cache": cache()});
    let score = server.post("/v1/score", score).await.expect(200);
    for place in 0..2 {
        let difference = logprob(&score["results"][place]) - logprob(&next["candidates"][place]);
        assert!(difference.abs() < 1e-9, "text {place}");
    }

    let best = json!({"text": TEXT, "cache": cache(), "max_tokens": 1, "temperature": 0, "token_logprobs": true, "top_logprobs": 1});
    let generated = server.post("/v1/generate", best).await.expect(200);
    let drawn = &generated["choices"][0]["token_logprobs"][0];
    assert_eq!(logprob(drawn), logprob(&drawn["top_logprobs"][0]));
    let top = next["candidates"][0]["rank"].as_u64();
    assert!(top.is_some());

    let typed = json!({"text": TEXT, "prefix": "man", "cache": cache(), "top_k": 1});
    let suggested = server.post("/v1/suggest", typed).await.expect(200);
    assert!((logprob(&suggested["suggestions"][0]) - man).abs() < 1e-9);
    // Without the cache, all of them differ.
    let bare = server.post("/v1/next", json!({"text": TEXT, "candidates": ["man"]})).await.expect(200);
    assert!((logprob(&bare["candidates"][0]) - man).abs() > 1e-3);
}

#[tokio::test]
async fn a_session_equals_a_fresh_run_after_forks_rewinds_and_a_reset() {
    let server = Server::start().await;
    create(&server, "s", "the old man").await;
    server.post("/v1/sessions/s/append", json!({"text": "and the sea sings"})).await.expect(200);
    let whole = fresh(&server, "the old man and the sea sings", Some(cache())).await;
    assert_eq!(logprobs(&server, "s").await, whole);

    server.post("/v1/sessions/s/fork", json!({"id": "f"})).await.expect(201);
    server.post("/v1/sessions/f/append", json!({"text": "of a ship"})).await.expect(200);
    let longer = fresh(&server, "the old man and the sea sings of a ship", Some(cache())).await;
    assert_eq!(logprobs(&server, "f").await, longer);
    assert_eq!(logprobs(&server, "s").await, whole, "a fork does not change its parent");

    for (position, text) in [(9, "the old man and the sea sings of a"), (4, "the old man and")] {
        server.post("/v1/sessions/f/rewind", json!({"position": position})).await.expect(200);
        assert_eq!(logprobs(&server, "f").await, fresh(&server, text, Some(cache())).await);
    }
    server.post("/v1/sessions/f/reset", json!({})).await.expect(200);
    server.post("/v1/sessions/f/append", json!({"text": "the old"})).await.expect(200);
    assert_eq!(logprobs(&server, "f").await, fresh(&server, "the old", Some(cache())).await);
}

#[tokio::test]
async fn drawn_tokens_and_hypotheses_are_remembered() {
    let server = Server::start().await;
    create(&server, "s", TEXT).await;
    let drawn = json!({"max_tokens": 8, "seed": 3});
    let halves = [drawn.clone(), drawn.clone()];
    let copy = json!({"text": TEXT, "cache": cache(), "max_tokens": 16, "seed": 3, "token_logprobs": true});
    let whole = server.post("/v1/generate", copy).await.expect(200);
    let mut tokens = Vec::new();
    for half in halves {
        let answer = server.post("/v1/sessions/s/generate", half).await.expect(200);
        tokens.extend(answer["choices"][0]["tokens"].as_array().unwrap().clone());
    }
    assert_eq!(json!(tokens), whole["choices"][0]["tokens"]);

    // A hypothesis of a beam has the probability that scoring gives it.
    let beam = json!({"text": TEXT, "cache": cache(), "max_tokens": 4, "beam": {"width": 3}, "n": 3, "token_logprobs": true, "stop_at_eos": false});
    let found = server.post("/v1/generate", beam).await.expect(200);
    for choice in found["choices"].as_array().unwrap() {
        let listed = choice["token_logprobs"].as_array().unwrap().iter();
        let sum: f64 = listed.map(|token| token["logprob"].as_f64().unwrap()).sum();
        let score = json!({"context": TEXT, "texts": [choice["tokens"]], "cache": cache()});
        let score = server.post("/v1/score", score).await.expect(200);
        assert!((score["results"][0]["logprob"].as_f64().unwrap() - sum).abs() < 1e-9);
    }
}

#[tokio::test]
async fn a_cache_leaves_with_the_state_and_comes_back() {
    let here = Server::start().await;
    let there = Server::start().await;
    create(&here, "s", TEXT).await;
    let state = export(&here, "s").await;
    put(&there, "s/state", &state).await.expect(201);
    assert_eq!(logprobs(&there, "s").await, logprobs(&here, "s").await);
    let append = json!({"text": "man and the sea", "token_logprobs": true});
    let appended = here.post("/v1/sessions/s/append", append.clone()).await.expect(200);
    assert_eq!(there.post("/v1/sessions/s/append", append).await.expect(200), appended);
    let described = Request::new("GET", "/v1/sessions/s/state").header("accept", "application/json");
    let described = here.send(described).await.expect(200);
    assert_eq!(described["cache"], json!({"window": 20, "theta": 0.6, "lambda": 0.4, "length": 17}));

    // A client that carries the state gives the cache once. Given again, it changes the options and keeps what is remembered.
    let first = json!({"text": TEXT, "cache": cache(), "return_state": true});
    let first = here.post("/v1/next", first).await.expect(200)["state"].clone();
    let second = json!({"text": "man", "state": first, "full": true});
    let second = here.post("/v1/next", second).await.expect(200)["logprobs"].clone();
    let text = format!("{TEXT} man");
    assert_eq!(second, fresh(&here, &text, Some(cache())).await);
    let stronger = json!({"window": 20, "theta": 0.6, "lambda": 0.8});
    let changed = json!({"text": "man", "state": first, "full": true, "cache": stronger});
    let changed = here.post("/v1/next", changed).await.expect(200)["logprobs"].clone();
    assert_eq!(changed, fresh(&here, &text, Some(stronger)).await);

    // Damage is found, and a window that this server does not allow is refused.
    for place in [state.len() - 3, state.len() / 2] {
        let mut damaged = state.clone();
        damaged[place] ^= 1;
        put(&there, "d/state", &damaged).await.refused(422, "state_mismatch");
    }
    let narrow = Setup::configured(|config| config.sessions.cache_window_max = 19).start().await;
    let (_, message) = put(&narrow, "s/state", &state).await.refused(422, "invalid_value");
    assert!(message.contains("20; the maximum is 19 (`--cache-window-max`)"), "{message}");
    narrow.get("/v1/sessions/s").await.refused(404, "session_not_found");
}

#[tokio::test]
async fn a_cache_counts_in_the_memory_of_its_session() {
    let mut setup = Setup::configured(|config| config.sessions.sessions_max_bytes.0 = 12_000);
    setup.models = vec![words()];
    let server = setup.start().await;
    server.post("/v1/sessions", json!({"text": "the"})).await.expect(201);
    create(&server, "small", "the").await.is_object().then_some(()).unwrap();
    let large = json!({"text": "the", "cache": {"window": 2000}});
    server.post("/v1/sessions", large).await.refused(503, "sessions_full");
}

#[tokio::test]
async fn a_cache_that_is_imported_needs_room_in_the_session_that_gets_it() {
    let large = {
        let elsewhere = Setup::over(vec![words()]).start().await;
        let body = json!({"id": "large", "text": "the old", "cache": {"window": 2000}});
        elsewhere.post("/v1/sessions", body).await.expect(201);
        export(&elsewhere, "large").await
    };
    let mut setup = Setup::configured(|config| config.sessions.sessions_max_bytes.0 = 12_000);
    setup.models = vec![words()];
    let server = setup.start().await;
    server.post("/v1/sessions", json!({"id": "other", "text": "the"})).await.expect(201);
    create(&server, "s", "the").await;
    let before = logprobs(&server, "s").await;
    let bytes = metric(server.address, "rnnlm_sessions_bytes").await;
    let (_, message) = put(&server, "s/state", &large).await.refused(503, "sessions_full");
    assert!(message.contains("of 12000 bytes (`--sessions-max-bytes`)"), "{message}");
    assert_eq!(logprobs(&server, "s").await, before, "it stays where it was");
    assert_eq!(metric(server.address, "rnnlm_sessions_bytes").await, bytes);
    let refused = r#"rnnlm_requests_rejected_total{reason="sessions_full"}"#;
    assert_eq!(metric(server.address, refused).await, 1.0);
    server.get("/v1/sessions/other").await.expect(200);
    // What is no larger fits.
    let small = export(&server, "other").await;
    put(&server, "s/state", &small).await.expect(200);
    assert!(metric(server.address, "rnnlm_sessions_bytes").await < bytes);
}

#[tokio::test]
async fn what_is_out_of_range_or_out_of_place_is_refused_and_changes_nothing() {
    let server = Setup::over(vec![words(), letters(), words_gru()]).start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let bad = [
        (json!({"window": 0}), "cache.window"),
        (json!({"window": 2001}), "cache.window"),
        (json!({"theta": -0.1}), "cache.theta"),
        (json!({"theta": 1e7}), "cache.theta"),
        (json!({"lambda": -0.1}), "cache.lambda"),
        (json!({"lambda": 1}), "cache.lambda"),
        (json!({"lambda": 1.5}), "cache.lambda"),
    ];
    for (cache, param) in bad {
        for route in ["next", "score", "generate", "suggest", "sessions"] {
            let body = json!({"text": "the", "cache": cache});
            let (found, _) = server.post(&format!("/v1/{route}"), body).await.refused(422, "invalid_value");
            assert_eq!(found, param, "{route} {cache}");
        }
    }
    for route in ["next", "generate", "suggest"] {
        let body = json!({"text": "sea", "cache": {}});
        let refused = server.post(&format!("/v1/sessions/s/{route}"), body).await;
        assert_eq!(refused.refused(422, "invalid_value").0, "cache", "{route}");
    }
    let mixture = json!([{"model": "words", "weight": 0.5}, {"model": "words-gru", "weight": 0.5}]);
    for route in ["next", "score"] {
        let body = json!({"text": "the", "mixture": mixture, "cache": {}});
        let refused = server.post(&format!("/v1/{route}"), body).await;
        assert_eq!(refused.refused(422, "not_supported").0, "cache", "{route}");
    }
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1);
    assert_eq!(server.get("/v1/sessions").await.expect(200)["data"].as_array().unwrap().len(), 1);
}
