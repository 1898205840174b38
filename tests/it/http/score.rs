//! Scoring: texts in JSON, a text as the request's body, and continuations of a session.

use std::time::Duration;

use rnnlm_server::clock::Clock;
use rnnlm_server::config::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::generate::{keys, session, standing};
use crate::harness::client::{Answer, Request};
use crate::harness::models::{letters, scripted, words};
use crate::harness::server::{Server, Setup};

const SCORE: &str = "/v1/score";

/// The fields of a result that are null if no token was scored.
const RATIOS: [&str; 5] =
    ["perplexity", "word_perplexity", "bits_per_token", "bits_per_char", "bits_per_byte"];

async fn over_letters() -> Server {
    Setup::over(vec![letters()]).start().await
}

async fn score(server: &Server, body: Value) -> Value {
    server.post(SCORE, body).await.expect(200)
}

fn logprob(answer: &Value) -> f64 {
    answer["total"]["logprob"].as_f64().unwrap()
}

/// A result without its tokens.
fn figures(result: &Value) -> Value {
    let mut result = result.clone();
    result.as_object_mut().unwrap().remove("token_logprobs");
    result
}

/// A text that is sent in chunks of `chunk_len` bytes.
struct Chunked<'a> {
    text: &'a [u8],
    chunk_len: usize,
}

async fn post_text(server: &Server, target: &str, body: Chunked<'_>) -> Answer {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.text.chunks(body.chunk_len) {
        let sent = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        // A server that refuses a text answers before its end and closes the connection.
        if stream.write_all(&sent).await.is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
    Answer::read(stream).await
}

#[tokio::test]
async fn an_answer_has_the_documented_fields_and_they_are_consistent() {
    let server = Server::start().await;
    let body = json!({"context": "the old", "texts": ["man and zebra", "sea\nthe"], "token_logprobs": true});
    let answer = score(&server, body).await;
    assert_eq!(keys(&answer), ["model", "results", "total"]);
    let counts = ["byte_count", "char_count", "scored_count", "token_count", "unknown_count", "word_count"];
    let mut expected: Vec<&str> =
        [&counts[..], &RATIOS, &["logprob", "logprob_base10", "token_logprobs"]].concat();
    expected.sort_unstable();
    let results = answer["results"].as_array().unwrap();
    for result in results {
        assert_eq!(keys(result), expected);
        let number = |field: &str| result[field].as_f64().unwrap();
        let sum: f64 = result["token_logprobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["logprob"].as_f64().unwrap())
            .sum();
        assert_eq!(number("logprob"), sum, "summed in the same order: the same number");
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
        close(number("logprob_base10"), sum / std::f64::consts::LN_10);
        close(number("perplexity"), libm::exp(-sum / number("scored_count")));
        close(number("word_perplexity"), libm::exp(-sum / number("word_count")));
        for (ratio, count) in [("token", "scored_count"), ("char", "char_count"), ("byte", "byte_count")] {
            close(number(&format!("bits_per_{ratio}")), -sum / number(count) / std::f64::consts::LN_2);
        }
    }
    let counted = |result: &Value| counts.map(|count| result[count].as_u64().unwrap());
    assert_eq!(counted(&results[0]), [13, 13, 3, 3, 1, 3]);
    assert_eq!(counted(&results[1]), [7, 7, 3, 3, 0, 2], "the line end is a token");
    assert_eq!(counted(&answer["total"]), [20, 20, 6, 6, 1, 5]);
    assert_eq!(answer["total"].get("token_logprobs"), None);
    let unknown = &results[0]["token_logprobs"][2];
    assert_eq!(keys(unknown), ["end", "id", "logprob", "start", "text", "token", "unknown"]);
    assert_eq!(
        (&unknown["token"], &unknown["start"], &unknown["end"], &unknown["unknown"]),
        (&json!("<unk>"), &json!(8), &json!(13), &json!(true))
    );
}

#[tokio::test]
async fn a_score_is_the_sum_of_the_log_probabilities_that_next_gives() {
    let server = Server::start().await;
    let ids = [2, 8, 9, 10, 1, 2, 3];
    let answer = score(&server, json!({"tokens": ids, "token_logprobs": true})).await;
    let listed = answer["results"][0]["token_logprobs"].as_array().unwrap();
    let mut sum = 0.0;
    for (at, id) in ids.into_iter().enumerate() {
        let body = json!({"tokens": ids[..at], "candidates": [id]});
        let next = server.post("/v1/next", body).await.expect(200);
        let expected = next["candidates"][0]["logprob"].as_f64().unwrap();
        assert_eq!(listed[at]["logprob"].as_f64(), Some(expected), "token {at}");
        assert_eq!((listed[at].get("start"), &listed[at]["id"]), (None, &json!(id)));
        sum += expected;
    }
    assert_eq!(logprob(&answer), sum);
    let generated = server
        .post("/v1/generate", json!({"text": "the sea", "seed": 1, "max_tokens": 30}))
        .await
        .expect(200);
    let generated = &generated["choices"][0];
    let again = score(&server, json!({"context": "the sea", "texts": [generated["tokens"]]})).await;
    assert_eq!(again["total"]["logprob"], generated["logprob"], "what was drawn is scored as it was drawn");
}

#[tokio::test]
async fn a_first_token_without_context_is_not_scored() {
    let server = over_letters().await;
    let answer = score(&server, json!({"texts": ["a", "ab", "é b"], "token_logprobs": true})).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(
        (&results[0]["token_count"], &results[0]["scored_count"], &results[0]["logprob"]),
        (&json!(1), &json!(0), &json!(0.0))
    );
    assert_eq!(results[0]["token_logprobs"][0]["logprob"], Value::Null);
    for ratio in RATIOS {
        assert_eq!(results[0][ratio], Value::Null, "{ratio}");
        assert!(results[1][ratio].as_f64().is_some_and(|value| value > 0.0), "{ratio}");
    }
    let counts = |result: &Value| {
        ["token_count", "scored_count", "word_count", "char_count", "byte_count"]
            .map(|count| result[count].as_u64().unwrap())
    };
    assert_eq!(counts(&results[1]), [2, 1, 1, 1, 1], "counts are of the scored part");
    assert_eq!(counts(&results[2]), [3, 2, 1, 2, 2]);
    let after = score(&server, json!({"context": "é", "text": "a"})).await;
    assert_eq!(after["total"]["scored_count"], 1);
    // White space alone has characters but no word.
    let space = score(&server, json!({"context": "a", "text": "  "})).await;
    assert_eq!(
        (&space["total"]["word_perplexity"], &space["total"]["char_count"]),
        (&Value::Null, &json!(2))
    );
    assert!(space["total"]["perplexity"].is_number());
}

#[tokio::test]
async fn a_perplexity_too_large_for_a_float_is_null() {
    let server = over_letters().await;
    let word = "abcde".repeat(400);
    let answer = score(&server, json!({"text": word})).await;
    assert!(logprob(&answer) < -800.0, "the perplexity is not too large for a float: {answer}");
    assert_eq!(
        (&answer["total"]["word_count"], &answer["total"]["word_perplexity"]),
        (&json!(1), &Value::Null)
    );
    assert!(answer["total"]["perplexity"].is_number());
}

#[tokio::test]
async fn context_and_carried_state_are_read_but_not_scored() {
    let server = over_letters().await;
    let whole = score(&server, json!({"text": "abcd dcba"})).await;
    let start = score(&server, json!({"text": "abcd "})).await;
    let rest = score(&server, json!({"context": "abcd ", "text": "dcba"})).await;
    assert!((logprob(&start) + logprob(&rest) - logprob(&whole)).abs() < 1e-9);
    let texts = json!(["abcd ", "dcba"]);
    let carried = score(&server, json!({"texts": texts, "carry_state": true})).await;
    assert_eq!(carried["results"], json!([start["results"][0], rest["results"][0]]));
    assert_eq!(figures(&carried["total"])["scored_count"], whole["total"]["scored_count"]);
    let apart = score(&server, json!({"texts": texts})).await;
    assert_eq!(
        (&apart["results"][0], &apart["results"][1]["scored_count"]),
        (&carried["results"][0], &json!(3))
    );
}

#[tokio::test]
async fn the_end_of_text_is_scored_if_asked() {
    let server = Server::start().await;
    let plain = score(&server, json!({"texts": ["the sea", "a"]})).await;
    let ended =
        score(&server, json!({"texts": ["the sea", "a", ""], "add_eos": true, "token_logprobs": true})).await;
    assert_eq!(
        (&plain["results"][0]["token_count"], &ended["results"][0]["token_count"]),
        (&json!(2), &json!(3))
    );
    let last = &ended["results"][0]["token_logprobs"][2];
    assert_eq!(last["token"], "<eos>");
    let expected = plain["results"][0]["logprob"].as_f64().unwrap() + last["logprob"].as_f64().unwrap();
    assert_eq!(ended["results"][0]["logprob"].as_f64(), Some(expected));
    assert_eq!(ended["results"][2]["scored_count"], 1, "an empty text has an end of text");
    let (param, _) = over_letters()
        .await
        .post(SCORE, json!({"text": "a", "add_eos": true}))
        .await
        .refused(422, "invalid_value");
    assert_eq!(param, json!("add_eos"));
}

#[tokio::test]
async fn continuations_are_scored_from_the_session_without_moving_it() {
    let server = Server::start().await;
    let path = session(&server, "the old man").await;
    let continuations = json!(["and the sea", [2, 5], "sings"]);
    let answer = server.post(&format!("{path}/score"), json!({"continuations": continuations})).await;
    assert_eq!(answer.header("x-session-id"), path.rsplit('/').next().unwrap());
    let expected = score(&server, json!({"context": "the old man", "texts": continuations})).await;
    assert_eq!(answer.expect(200), expected);
    assert_eq!(standing(&server, &path), (3, false));
    let refused = |body: Value| {
        let server = &server;
        let path = format!("{path}/score");
        async move { server.post(&path, body).await }
    };
    let (param, _) = refused(json!({"continuations": ["a", ""]})).await.refused(422, "empty_input");
    assert_eq!(param, json!("continuations[1]"));
    let (param, _) = refused(json!({})).await.refused(422, "invalid_value");
    assert_eq!(param, json!("continuations"));
    refused(json!({"continuations": []})).await.refused(422, "empty_input");
    refused(json!({"continuations": ["a"], "carry_state": true})).await.refused(422, "unknown_field");
    server
        .post("/v1/sessions/none/score", json!({"continuations": ["a"]}))
        .await
        .refused(404, "session_not_found");
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_its_field_named() {
    let mut setup = Setup::over(vec![words(), letters()]);
    setup.config.limits.max_texts = 3;
    setup.config.limits.max_prompt_tokens = 8;
    let server = setup.start().await;
    for (body, code, param) in [
        (json!({}), "empty_input", json!("texts")),
        (json!({"texts": []}), "empty_input", json!("texts")),
        (json!({"text": ""}), "empty_input", json!("text")),
        (json!({"tokens": []}), "empty_input", json!("tokens")),
        (json!({"texts": ["the", " "]}), "empty_input", json!("texts[1]")),
        (json!({"texts": ["a"], "text": "a"}), "invalid_value", json!("texts")),
        (json!({"text": "a", "tokens": [2]}), "invalid_value", json!("tokens")),
        (json!({"texts": ["a", "a", "a", "a"]}), "invalid_value", json!("texts")),
        (json!({"texts": ["a", 7]}), "invalid_value", json!("texts[1]")),
        (json!({"texts": [[2, -1]]}), "invalid_value", json!("texts[0][1]")),
        (json!({"texts": ["a", [2, 12]]}), "token_out_of_range", json!("texts[1][1]")),
        (json!({"tokens": [12]}), "token_out_of_range", json!("tokens[0]")),
        (json!({"text": "a a a a a a a a a"}), "text_too_long", json!("text")),
        (json!({"texts": ["a a a a a", "a a a a"]}), "text_too_long", json!("texts")),
        (json!({"text": "a", "unknown": "skip"}), "invalid_value", json!("unknown")),
        (json!({"text": "a", "unknown": {"add": 1001}}), "invalid_value", json!("unknown.add")),
        (json!({"text": "a", "unknown": {"set": 0.5}}), "invalid_value", json!("unknown.set")),
        (json!({"text": "a", "caches": {}}), "unknown_field", json!("caches")),
        (json!({"text": "a", "context": 7}), "invalid_value", json!("context")),
        (json!({"text": "ax", "model": "letters"}), "unknown_token", json!("text")),
        (json!({"text": "a", "context": "x", "model": "letters"}), "unknown_token", json!("context")),
    ] {
        let (found, message) = server.post(SCORE, body.clone()).await.refused(422, code);
        assert_eq!(found, param, "{body}: {message}");
    }
    server.post(SCORE, json!({"text": "a", "model": "none"})).await.refused(404, "model_not_found");
    let xml = Request::new("POST", SCORE).header("content-type", "text/xml").body("<a/>");
    server.send(xml).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_text_as_the_body_has_the_score_of_the_same_text_in_json() {
    // 220,000 letters are listed.
    let setup = Setup::configured(|config| config.limits.max_answer = Bytes(64 << 20));
    let server = setup.start().await;
    let line = "the old man and the sea of stars zebra sings\n";
    let of_words = line.repeat(5000);
    let of_letters = "abé cde éé\n".repeat(20_000);
    for (model, text, chunk_len) in [("words", &of_words, 9001), ("letters", &of_letters, 4999)] {
        let body = json!({"model": model, "text": text, "token_logprobs": true});
        let expected = score(&server, body).await;
        let target = format!("{SCORE}?model={model}&token_logprobs=true");
        let pieces =
            post_text(&server, &target, Chunked { text: text.as_bytes(), chunk_len }).await.expect(200);
        assert!(text.len() > 3 * (64 << 10), "the server reads the text in several pieces");
        // The answers are compared in parts, because a failure would print both in full.
        assert_eq!(figures(&pieces["results"][0]), figures(&expected["results"][0]), "{model}");
        assert_eq!(pieces["total"], expected["total"], "{model}");
        let listed = |answer: &Value| answer["results"][0]["token_logprobs"].as_array().unwrap().clone();
        let differs = listed(&pieces).iter().zip(&listed(&expected)).position(|(a, b)| a != b);
        assert_eq!((listed(&pieces).len(), differs), (listed(&expected).len(), None), "{model}");
    }
    let ended = post_text(&server, "/v1/score?add_eos=true", Chunked { text: b"the sea", chunk_len: 1 })
        .await
        .expect(200);
    assert_eq!(ended, score(&server, json!({"text": "the sea", "add_eos": true})).await);
}

#[tokio::test]
async fn a_text_as_the_body_may_exceed_the_limits_of_other_texts() {
    let mut setup = Setup::default();
    setup.config.http.max_body = Bytes(1000);
    setup.config.limits.max_text = Bytes(1000);
    setup.config.limits.max_prompt_tokens = 900;
    let server = setup.start().await;
    let text = "the sea ".repeat(1000);
    let answer =
        post_text(&server, SCORE, Chunked { text: text.as_bytes(), chunk_len: 777 }).await.expect(200);
    assert_eq!(answer["total"]["token_count"], 2000);
    server.post(SCORE, json!({"text": text})).await.refused(413, "body_too_large");
    let listed = post_text(
        &server,
        "/v1/score?token_logprobs=true",
        Chunked { text: text.as_bytes(), chunk_len: 777 },
    )
    .await;
    listed.refused(422, "text_too_long");
    // A text without white space cannot be cut, so that it counts as one text.
    let solid = "sea".repeat(1000);
    post_text(&server, SCORE, Chunked { text: solid.as_bytes(), chunk_len: 777 })
        .await
        .refused(422, "text_too_long");
}

#[tokio::test]
async fn a_body_that_is_not_a_text_is_refused() {
    let server = Server::start().await;
    for (text, code) in [
        (&b""[..], "empty_input"),
        (b" \n", ""),
        (b"the \xff sea", "invalid_value"),
        (b"the s\xc3", "invalid_value"),
    ] {
        let answer = post_text(&server, SCORE, Chunked { text, chunk_len: 3 }).await;
        match code {
            "" => drop(answer.expect(200)),
            code => assert_eq!(answer.refused(422, code).0, Value::Null),
        }
    }
    let long = ["a é ".repeat(40_000), "x".into()].concat();
    let (_, message) =
        post_text(&server, "/v1/score?model=letters", Chunked { text: long.as_bytes(), chunk_len: 5000 })
            .await
            .refused(422, "unknown_token");
    assert!(message.starts_with("in the part of the text that starts at character "), "{message}");
    let (param, _) = post_text(&server, "/v1/score?texts=a", Chunked { text: b"a", chunk_len: 1 })
        .await
        .refused(422, "unknown_field");
    assert_eq!(param, json!("texts"));
    post_text(&server, "/v1/score?model=none", Chunked { text: b"a", chunk_len: 1 })
        .await
        .refused(404, "model_not_found");
}

#[tokio::test]
async fn a_text_may_take_longer_than_the_timeout_as_long_as_it_makes_progress() {
    let clock = Clock::manual();
    let model_clock = clock.clone();
    let slow = scripted(move |fake| {
        fake.before_run(move |lens| {
            let tokens: usize = lens.iter().sum();
            model_clock.advance(Duration::from_millis(100) * tokens as u32);
        })
    });
    let mut setup = Setup { clock, ..Setup::over(vec![slow]) };
    setup.config.http.request_timeout = Duration::from_secs(10);
    let server = setup.start().await;
    let text = "b c ".repeat(300);
    let answer =
        post_text(&server, SCORE, Chunked { text: text.as_bytes(), chunk_len: 4096 }).await.expect(200);
    assert_eq!(answer["total"]["token_count"], 600);
    server.post(SCORE, json!({"text": text})).await.refused(504, "timeout");
}

#[tokio::test]
async fn a_context_may_be_token_ids() {
    let server = Server::start().await;
    let of = async |context: Value| {
        server.post(SCORE, json!({"context": context, "texts": ["man", "sea"]})).await.expect(200)
    };
    assert_eq!(of(json!([2, 8])).await, of(json!("the old")).await);
    let refused = server.post(SCORE, json!({"context": [2, 12], "text": "man"})).await;
    assert_eq!(refused.refused(422, "token_out_of_range").0, "context[1]");
}
