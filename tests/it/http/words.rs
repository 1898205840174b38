//! Words and texts that a request names beside its input: candidates, which have the limits of every other text, and words where one
//! token is expected, which are short.

use rnnlm_server::budget::Purpose;
use rnnlm_server::config::Bytes;
use serde_json::{Value, json};

use super::gate::gated;
use crate::harness::client::Request;
use crate::harness::models::{letters, words, words_gru};
use crate::harness::server::{Server, Setup};

/// The questions of a server, each with its path: alone, and beside each write.
fn asking(candidates: &Value) -> [(&'static str, Value, &'static str); 5] {
    let question = json!({"top_k": 1, "candidates": candidates});
    let beside = |mut request: Value| {
        request["next"] = question.clone();
        request
    };
    [
        ("/v1/next", question.clone(), ""),
        ("/v1/sessions/s/next", question.clone(), ""),
        ("/v1/sessions", beside(json!({"text": "the"})), "next."),
        ("/v1/sessions/s/append", beside(json!({"text": "the"})), "next."),
        ("/v1/sessions/s/rewind", beside(json!({"position": 1})), "next."),
    ]
}

async fn with_session(setup: Setup) -> Server {
    let server = setup.start().await;
    let session = json!({"id": "s", "text": "the sea", "rewind_tokens": 32});
    server.post("/v1/sessions", session).await.expect(201);
    server
}

#[tokio::test]
async fn candidates_have_the_limits_of_other_texts_alone_and_together() {
    let server = with_session(Setup::configured(|config| {
        config.limits.max_text = Bytes(64);
        config.limits.max_prompt_tokens = 4;
    }))
    .await;
    for (candidates, param, said) in [
        (
            json!(["sea", "a a a a a"]),
            "candidates[1]",
            "has more than 4 tokens; the maximum is 4 (`--max-prompt-tokens`)",
        ),
        (
            json!(["a a a", "a", 3]),
            "candidates",
            "the candidates have more than 4 tokens together; the maximum is 4 (`--max-prompt-tokens`)",
        ),
        (json!(["a".repeat(65)]), "candidates[0]", "has 65 bytes; the maximum is 64B (`--max-text`)"),
    ] {
        for (target, body, path) in asking(&candidates) {
            let (found, message) = server.post(target, body).await.refused(422, "text_too_long");
            assert_eq!(found, format!("{path}{param}"), "{target}");
            assert!(message.ends_with(said), "{target}: {message}");
        }
    }
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 2);
    for (target, body, _) in asking(&json!(["a a a", 3])) {
        let answer = server.post(target, body).await;
        assert!([200, 201].contains(&answer.status), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn candidates_are_tokenised_within_the_memory_of_their_request() {
    let mut setup = Setup::over(vec![letters()]);
    setup.config.memory_max = Bytes(64 << 20);
    let server = setup.start().await;
    let budget = server.app.service().unwrap().budget().clone();
    // An eighth is left. It has room for the body and the text in the answer, but not for the tokens.
    let _others = budget.set_aside(budget.bytes_max());
    assert_eq!(budget.bytes_max(), 8 << 20);
    let body = json!({"text": "a", "candidates": ["a".repeat(1 << 20)]});
    let (_, message) = server.post("/v1/next", body).await.refused(413, "body_too_large");
    assert!(message.contains("`--memory-max`"), "{message}");
    server.until(|| budget.taken() == 0).await;
}

#[tokio::test]
async fn tokens_of_candidates_are_held_and_have_room_in_the_answer_until_it_is_sent() {
    const TOKENS: usize = 5000;
    let (model, mut gate) = gated();
    let server = Setup::over(vec![model]).start().await;
    let budget = server.app.service().unwrap().budget().clone();
    let text = vec!["b"; TOKENS].join(" ");
    let request = Request::new("POST", "/v1/next").json(&json!({"top_k": 0, "candidates": [text]}));
    let answer = tokio::spawn(request.open(server.address));
    gate.entered().await;
    let tokens = budget.taken_for(Purpose::Tokens);
    assert!(tokens >= TOKENS * size_of::<u32>(), "{tokens}");
    // The text twice, and for each token its number, two digits and a comma.
    let room = budget.taken_for(Purpose::Answers);
    assert!(room >= 2 * text.len() + (TOKENS - 1) * (size_of::<u32>() + 3), "{room}");
    let _runs = gate.open();
    let answer = answer.await.unwrap().whole().await.expect(200);
    assert_eq!(answer["candidates"][0]["tokens"].as_array().unwrap().len(), TOKENS);
    server.until(|| budget.taken() == 0).await;
}

/// A mixture joins the log-probabilities that its models give to each token of a candidate.
#[tokio::test]
async fn candidates_of_a_mixture_are_counted_as_scored() {
    const TOKENS: usize = 2000;
    let server = Setup::over(vec![words(), words_gru()]).start().await;
    let budget = server.app.service().unwrap().budget().clone();
    let mixture = json!([{"model": "words", "weight": 0.5}, {"model": "words-gru", "weight": 0.5}]);
    let peak_of = async |count: usize| {
        let body = json!({"mixture": mixture, "top_k": 0, "candidates": [vec!["a"; count].join(" ")]});
        server.post("/v1/next", body).await.expect(200);
        server.until(|| budget.taken() == 0).await;
        budget.peak()
    };
    let without = peak_of(1).await;
    let with = peak_of(TOKENS).await;
    assert!(with - without >= TOKENS * 64, "{with} and {without}");
}

#[tokio::test]
async fn candidates_have_the_limit_of_an_answer() {
    let server = with_session(Setup::configured(|config| config.limits.max_answer = Bytes(2000))).await;
    // A text that is long, and one that has many tokens.
    for candidate in ["zebra".repeat(200), vec!["a"; 300].join(" ")] {
        for (target, body, path) in asking(&json!([candidate])) {
            let (param, message) = server.post(target, body).await.refused(422, "invalid_value");
            assert_eq!(param, format!("{path}candidates"), "{target}");
            assert!(message.contains("`--max-answer`"), "{target}: {message}");
        }
    }
    // All of a batch have one room.
    let entry = json!({"top_k": 0, "candidates": ["zebra".repeat(100)]});
    server.post("/v1/next", entry.clone()).await.expect(200);
    let (param, _) =
        server.post("/v1/next", json!({"requests": [entry, entry]})).await.refused(422, "invalid_value");
    assert_eq!(param, "requests");
}

/// Requests that name one token by `word`, and the path of the word.
fn naming(word: &str) -> [(&'static str, Value, &'static str); 6] {
    [
        ("/v1/generate", json!({"text": "the", "max_tokens": 1, "banned": [3, word]}), "banned[1]"),
        ("/v1/next", json!({"text": "the", "sampling": {"banned": [word]}}), "sampling.banned[0]"),
        ("/v1/explain", json!({"text": "the", "target": word}), "target"),
        ("/v1/neighbors", json!({"token": word}), "token"),
        ("/v1/neighbors", json!({"positive": [3, word]}), "positive[1]"),
        ("/v1/neighbors", json!({"negative": [word]}), "negative[0]"),
    ]
}

#[tokio::test]
async fn a_word_that_names_a_token_is_short_and_one_token() {
    let server = Setup::configured(|config| config.limits.max_prefix_length = Bytes(6)).start().await;
    for (target, body, path) in naming("sea of ") {
        let (param, message) = server.post(target, body).await.refused(422, "text_too_long");
        assert_eq!(param, path);
        assert_eq!(message, format!("`{path}` has 7 bytes; the maximum is 6B (`--max-prefix-length`)"));
    }
    for (word, code, said) in [
        ("sea of", "invalid_value", "has more than one token; one token is accepted"),
        ("zebra", "unknown_token", "is not in the vocabulary"),
        (" ", "empty_input", "has no tokens; one token is accepted"),
    ] {
        for (target, body, path) in naming(word) {
            // Beside an input, a word is a value like any other.
            let code = if path.contains("banned") { "invalid_value" } else { code };
            let (param, message) = server.post(target, body).await.refused(422, code);
            assert_eq!((param, message), (json!(path), format!("`{path}` is {word:?}, which {said}")));
        }
    }
    for (target, body, _) in naming(" ship ") {
        server.post(target, body).await.expect(200);
    }
}
