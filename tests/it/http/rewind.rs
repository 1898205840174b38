//! `/v1/sessions/{id}/rewind`: a session goes back, and what follows is what a fresh run gives.

use serde_json::{Value, json};

use crate::harness::server::{Server, Setup};

/// The ids of a long text, so that several states are kept on the way.
fn ids(len: usize) -> Vec<usize> {
    (0..len).map(|place| 2 + place * place % 10).collect()
}

async fn create(server: &Server, body: Value) -> Value {
    server.post("/v1/sessions", body).await.expect(201)
}

async fn rewind(server: &Server, id: &str, body: Value) -> Value {
    server.post(&format!("/v1/sessions/{id}/rewind"), body).await.expect(200)
}

/// The whole distribution over the next token of the session `id`.
async fn logprobs(server: &Server, id: &str) -> Value {
    server.post(&format!("/v1/sessions/{id}/next"), json!({"full": true})).await.expect(200)["logprobs"]
        .clone()
}

/// The same of a model that has read `tokens` from its start.
async fn fresh(server: &Server, tokens: &[usize]) -> Value {
    server.post("/v1/next", json!({"tokens": tokens, "full": true})).await.expect(200)["logprobs"].clone()
}

#[tokio::test]
async fn a_session_goes_back_to_every_position_in_reach() {
    let server = Server::start().await;
    let all = ids(120);
    // Part of the past comes from the creation, part from appended tokens, part from drawn ones.
    create(&server, json!({"id": "s", "tokens": all[..50], "rewind_tokens": 80})).await;
    server.post("/v1/sessions/s/append", json!({"tokens": all[50..]})).await.expect(200);
    let drawn = server.post("/v1/sessions/s/generate", json!({"seed": 1, "max_tokens": 5})).await.expect(200);
    let drawn = drawn["choices"][0]["tokens"].as_array().unwrap().iter();
    let all: Vec<usize> = all.into_iter().chain(drawn.map(|id| id.as_u64().unwrap() as usize)).collect();
    let end = all.len();
    for position in [end, end - 1, 120, 96, 95, 64, 63, end - 80] {
        server.post("/v1/sessions/s/fork", json!({"id": "f"})).await.expect(201);
        let answer = rewind(&server, "f", json!({"position": position, "next": {"full": true}})).await;
        let expected = fresh(&server, &all[..position]).await;
        assert_eq!((&answer["position"], &answer["next"]["logprobs"]), (&json!(position), &expected));
        assert_eq!(logprobs(&server, "f").await, expected);
        // It reads on from there, and can go back again.
        server.post("/v1/sessions/f/append", json!({"tokens": [3, 9]})).await.expect(200);
        let longer = [&all[..position], &[3, 9]].concat();
        assert_eq!(logprobs(&server, "f").await, fresh(&server, &longer).await);
        rewind(&server, "f", json!({"position": position + 1, "expected_position": position + 2})).await;
        assert_eq!(logprobs(&server, "f").await, fresh(&server, &longer[..=position]).await);
        server.delete("/v1/sessions/f").await.expect(204);
    }
    assert_eq!(logprobs(&server, "s").await, fresh(&server, &all).await, "forks do not move the session");
}

#[tokio::test]
async fn the_text_is_joined_as_it_was_at_that_position() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "text": "the old ", "rewind_tokens": 8})).await;
    server.post("/v1/sessions/s/append", json!({"text": "man and"})).await.expect(200);
    let first = async |position: usize| {
        let answer = rewind(&server, "s", json!({"position": position, "next": {"top_k": 12}})).await;
        let listed = answer["next"]["distribution"].as_array().unwrap().clone();
        listed.into_iter().find(|token| token["token"] == "sea").unwrap()["text"].clone()
    };
    assert_eq!(
        [first(4).await, first(3).await, first(2).await, first(1).await],
        [" sea", " sea", "sea", " sea"]
    );
    assert_eq!(first(0).await, "sea");
}

#[tokio::test]
async fn a_position_out_of_reach_is_refused_and_changes_nothing() {
    let server = Setup::configured(|config| config.sessions.rewind_max = 40).start().await;
    let all = ids(100);
    create(&server, json!({"id": "s", "tokens": all, "rewind_tokens": 40})).await;
    let before = logprobs(&server, "s").await;
    let session = server.get("/v1/sessions/s").await.expect(200);
    for (body, part) in [
        (json!({"position": 59}), "the oldest position kept is 60"),
        (json!({"position": 101}), "the session stands at position 100"),
        (json!({}), "a position is required"),
    ] {
        let (param, message) = server.post("/v1/sessions/s/rewind", body).await.refused(422, "invalid_value");
        assert_eq!(param, "position");
        assert!(message.contains(part), "{message}");
    }
    let wrong = json!({"position": 70, "expected_position": 99});
    server.post("/v1/sessions/s/rewind", wrong).await.refused(412, "position_mismatch");
    let wrong = json!({"position": 70, "next": {"candidates": [99]}});
    assert_eq!(
        server.post("/v1/sessions/s/rewind", wrong).await.refused(422, "token_out_of_range").0,
        "next.candidates[0]"
    );
    assert_eq!(logprobs(&server, "s").await, before);
    assert_eq!(session["position"], server.get("/v1/sessions/s").await.expect(200)["position"]);

    create(&server, json!({"id": "without", "tokens": [3, 4]})).await;
    let (_, message) = server
        .post("/v1/sessions/without/rewind", json!({"position": 1}))
        .await
        .refused(422, "invalid_value");
    assert!(message.contains("`rewind_tokens`"), "{message}");
    let (param, message) =
        server.post("/v1/sessions", json!({"rewind_tokens": 41})).await.refused(422, "invalid_value");
    assert_eq!(param, "rewind_tokens");
    assert!(message.contains("40 (`--rewind-max`)"), "{message}");
}

#[tokio::test]
async fn a_reset_begins_the_past_anew() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "tokens": [3, 4, 5], "rewind_tokens": 8})).await;
    server.post("/v1/sessions/s/reset", json!({})).await.expect(200);
    server.post("/v1/sessions/s/append", json!({"tokens": [6, 7]})).await.expect(200);
    rewind(&server, "s", json!({"position": 1})).await;
    assert_eq!(logprobs(&server, "s").await, fresh(&server, &[6]).await);
    rewind(&server, "s", json!({"position": 0})).await;
    assert_eq!(logprobs(&server, "s").await, fresh(&server, &[]).await);
}

#[tokio::test]
async fn a_question_about_the_first_token_needs_one_before_it() {
    let server = Server::start().await;
    create(&server, json!({"id": "s", "model": "letters", "text": "ab", "rewind_tokens": 8})).await;
    let asked = json!({"position": 0, "next": {}});
    server.post("/v1/sessions/s/rewind", asked).await.refused(422, "empty_context");
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 2);
    assert_eq!(rewind(&server, "s", json!({"position": 0})).await, json!({"position": 0}));
}
