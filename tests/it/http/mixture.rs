//! Mixtures of models: next-token distributions, scores and n-best lists are those of the interpolated probabilities.

use serde_json::{Value, json};

use crate::harness::client::{Answer, Request};
use crate::harness::models::{VOCABULARY, golden, letters, words, words_gru};
use crate::harness::root;
use crate::harness::server::{Server, Setup};

async fn over_two() -> Server {
    let mut setup = Setup::over(vec![words(), words_gru(), letters()]);
    setup.config.limits.max_mixture = 2;
    setup.start().await
}

fn mixture() -> Value {
    json!([{"model": "words", "weight": 0.7}, {"model": "words-gru", "weight": 0.3}])
}

/// `ln(0.7 * exp(a) + 0.3 * exp(b))`, computed as it is written.
fn mixed(a: f64, b: f64) -> f64 {
    libm::log(0.7 * libm::exp(a) + 0.3 * libm::exp(b))
}

fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn a_distribution_is_the_weighted_sum_of_those_of_the_models() {
    let server = over_two().await;
    let ask = async |model: &str, more: Value| {
        let mut body =
            json!({"text": "the old man", "full": true, "top_k": 4, "candidates": ["sea", 9, "and the sea"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        if !model.is_empty() {
            body["model"] = json!(model);
        }
        server.post("/v1/next", body).await.expect(200)
    };
    let one = ask("words", json!({})).await;
    let other = ask("words-gru", json!({})).await;
    let both = ask("", json!({"mixture": mixture()})).await;
    assert_eq!(both["model"], "words+words-gru");
    let expected: Vec<f64> = numbers(&one["logprobs"])
        .iter()
        .zip(numbers(&other["logprobs"]))
        .map(|(&a, b)| mixed(a, b))
        .collect();
    let found = numbers(&both["logprobs"]);
    found.iter().zip(&expected).for_each(|(found, expected)| close(&json!(found), *expected));
    let sum: f64 = found.iter().map(|&logprob| libm::exp(logprob)).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    let mut order: Vec<usize> = (0..VOCABULARY.len()).collect();
    order.sort_by(|&a, &b| expected[b].total_cmp(&expected[a]));
    let ids: Vec<u64> =
        both["distribution"].as_array().unwrap().iter().map(|token| token["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, order[..4].iter().map(|&id| id as u64).collect::<Vec<_>>());
    let entropy: f64 = expected.iter().map(|&logprob| -logprob * libm::exp(logprob)).sum();
    close(&both["entropy"], entropy);
    close(&both["candidates"][0]["logprob"], expected[3]);
    for (candidate, token) in [(0, 3), (1, 9)] {
        let rank = order.iter().position(|&id| id == token).unwrap() + 1;
        assert_eq!(both["candidates"][candidate]["rank"], json!(rank), "token {token}");
    }
    // Of several tokens: interpolated token by token, and not as a whole.
    let body = json!({"context": "the old man", "text": "and the sea", "mixture": mixture()});
    let scored = server.post("/v1/score", body).await.expect(200);
    assert_eq!(both["candidates"][2]["logprob"], scored["total"]["logprob"]);
    assert_eq!(both["candidates"][2]["rank"], Value::Null);
    let same = ask("", json!({"mixture": [{"model": "words", "weight": 1}]})).await;
    assert_eq!(same, one, "a mixture of one model is the model");
}

#[tokio::test]
async fn a_score_is_interpolated_token_by_token() {
    let server = over_two().await;
    let score = async |more: Value| {
        let mut body = json!({"texts": ["the sea of zebra", "and a ship"], "add_eos": true, "token_logprobs": true, "carry_state": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/score", body).await.expect(200)
    };
    let one = score(json!({"model": "words"})).await;
    let other = score(json!({"model": "words-gru"})).await;
    let both = score(json!({"mixture": mixture()})).await;
    for text in 0..2 {
        let listed = |answer: &Value| -> Vec<f64> {
            let tokens = answer["results"][text]["token_logprobs"].as_array().unwrap().clone();
            tokens.iter().map(|token| token["logprob"].as_f64().unwrap()).collect()
        };
        let expected: Vec<f64> = listed(&one).iter().zip(listed(&other)).map(|(&a, b)| mixed(a, b)).collect();
        listed(&both).iter().zip(&expected).for_each(|(found, expected)| close(&json!(found), *expected));
        close(&both["results"][text]["logprob"], expected.iter().sum());
    }
    let body = json!({"utterances": [{"hypotheses": [{"text": "the sea of zebra"}]}], "mixture": mixture()});
    let rescored = server.post("/v1/rescore", body).await.expect(200);
    assert_eq!(rescored["results"][0]["hypotheses"][0]["lm_logprob"], both["results"][0]["logprob"]);
}

#[tokio::test]
async fn what_is_no_mixture_is_refused_with_its_field_named() {
    let server = over_two().await;
    let of = |parts: Value| json!({"text": "a", "mixture": parts});
    for (body, param) in [
        (of(json!([])), "mixture"),
        (json!({"text": "a", "mixture": mixture(), "state": "AAAA"}), "state"),
        (json!({"text": "a", "mixture": mixture(), "return_state": true}), "return_state"),
        (of(json!([{"model": "words", "weight": 0.5}])), "mixture"),
        (of(json!([{"model": "words", "weight": 0.5}, {"model": "words-gru", "weight": 0.6}])), "mixture"),
        (of(json!([{"model": "words", "weight": 0}])), "mixture[0].weight"),
        (of(json!([{"model": "words", "weight": 1.5}])), "mixture[0].weight"),
        (of(json!([{"model": "words"}])), "mixture[0].weight"),
        (
            of(json!([{"model": "words", "weight": 0.5}, {"model": "words", "weight": 0.5}])),
            "mixture[1].model",
        ),
        (
            of(json!([{"model": "words", "weight": 0.5}, {"model": "letters", "weight": 0.5}])),
            "mixture[1].model",
        ),
        (
            of(json!([{"model": "words", "weight": 0.5}, {"model": "words-gru", "weight": 0.3},
            {"model": "letters", "weight": 0.2}])),
            "mixture",
        ),
        (of(json!([{"model": "words", "weight": "1"}])), "mixture[0].weight"),
        (json!({"text": "a", "model": "words", "mixture": mixture()}), "mixture"),
    ] {
        for route in ["/v1/next", "/v1/score"] {
            let (found, message) = server.post(route, body.clone()).await.refused(422, "invalid_value");
            assert_eq!(found, json!(param), "{body}: {message}");
        }
    }
    let unknown = of(json!([{"model": "none", "weight": 1}]));
    let (param, _) = server.post("/v1/score", unknown).await.refused(404, "model_not_found");
    assert_eq!(param, json!("mixture[0].model"));
    let body = json!({"text": "a", "mixture": mixture(), "sampling": {}});
    assert_eq!(server.post("/v1/next", body).await.refused(422, "invalid_value").0, json!("sampling"));
    let body = json!({"requests": [{"text": "a", "session": "s", "mixture": mixture()}, {"text": "a", "mixture": mixture()}]});
    let each = server.post("/v1/next", body).await.expect(200);
    assert_eq!(each["responses"][0]["error"]["param"], json!("requests[0].mixture"));
    assert_eq!(each["responses"][1]["model"], "words+words-gru");
}

/// Sends a text of its own media type.
async fn send(server: &Server, target: &str, content: (&str, &str)) -> Answer {
    let (content_type, body) = content;
    server.send(Request::new("POST", target).header("content-type", content_type).body(body)).await
}

const PLAIN: &str = "text/plain";
const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn a_query_string_names_a_mixture_for_a_plain_text_and_for_lines() {
    let server = over_two().await;
    let text = "the old man and the sea of zebra ".repeat(40);
    let body = json!({"text": text, "mixture": mixture(), "token_logprobs": true});
    let expected = server.post("/v1/score", body).await.expect(200);
    let query = "mixture=words:0.7,words-gru:0.3&token_logprobs=true";
    let found = send(&server, &format!("/v1/score?{query}"), (PLAIN, &text)).await.expect(200);
    assert_eq!(found["model"], "words+words-gru");
    close(&found["total"]["logprob"], expected["total"]["logprob"].as_f64().unwrap());
    let listed = |answer: &Value| answer["results"][0]["token_logprobs"].as_array().unwrap().clone();
    for (found, expected) in listed(&found).iter().zip(&listed(&expected)) {
        assert_eq!(found["id"], expected["id"]);
        close(&found["logprob"], expected["logprob"].as_f64().unwrap());
    }

    let utterance = json!({"hypotheses": [{"text": "the sea"}, {"text": "zebra sings"}]});
    let body = json!({"utterances": [utterance], "mixture": mixture(), "lm_weight": 2});
    let expected = server.post("/v1/rescore", body).await.expect(200)["results"][0].clone();
    let target = "/v1/rescore?mixture=words:0.7,words-gru:0.3&lm_weight=2";
    let lines = utterance.to_string();
    let answer = send(&server, target, (NDJSON, &lines)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(serde_json::from_str::<Value>(&answer.text()).unwrap(), expected);

    for (query, param) in [
        ("mixture=words", "mixture"),
        ("mixture=", "mixture"),
        ("mixture=words:0.7", "mixture"),
        ("mixture=words:0.7,letters:0.3", "mixture[1].model"),
        ("mixture=words:0.7,words:0.3", "mixture[1].model"),
        ("mixture=words:0.7,words-gru:0.2,letters:0.1", "mixture"),
        ("mixture=words:-1,words-gru:2", "mixture[0].weight"),
        ("mixture=words:0.7,words-gru:0.3&model=words", "mixture"),
    ] {
        for (target, content) in [("/v1/score", (PLAIN, "the sea")), ("/v1/rescore", (NDJSON, &*lines))] {
            let answer = send(&server, &format!("{target}?{query}"), content).await;
            let (found, message) = answer.refused(422, "invalid_value");
            assert_eq!(found, param, "{target}?{query}: {message}");
        }
    }
    let unknown = send(&server, "/v1/score?mixture=none:1", (PLAIN, "the sea")).await;
    assert_eq!(unknown.refused(404, "model_not_found").0, "mixture[0].model");
}

/// Within 1e-6 of what numpy computes (`tests/golden/mixture.py`).
#[tokio::test]
async fn a_mixture_agrees_with_numpy() {
    let text = std::fs::read_to_string(root().join("tests/golden/mixture.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let parts = expected["parts"].as_array().unwrap();
    let files: Vec<&str> = parts.iter().map(|part| part["file"].as_str().unwrap()).collect();
    let server = Setup::over(files.iter().map(|file| golden(file)).collect()).start().await;
    let mixture: Vec<Value> =
        parts.iter().map(|part| json!({"model": part["file"], "weight": part["weight"]})).collect();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    let tokens = expected["tokens"].as_array().unwrap();
    let logprobs: Vec<Vec<f64>> = expected["logprobs"].as_array().unwrap().iter().map(numbers).collect();
    for (index, logprobs) in logprobs.iter().enumerate() {
        let body = json!({"tokens": tokens[..=index], "full": true, "mixture": mixture});
        let found = server.post("/v1/next", body).await.expect(200);
        numbers(&found["logprobs"])
            .iter()
            .zip(logprobs)
            .for_each(|(&found, &expected)| near(found, expected));
    }
    let after_each = tokens[1..].iter().zip(&logprobs);
    let sum: f64 = after_each.map(|(token, logprobs)| logprobs[token.as_u64().unwrap() as usize]).sum();
    let body = json!({"tokens": tokens, "mixture": mixture});
    let found = server.post("/v1/score", body).await.expect(200);
    near(found["total"]["logprob"].as_f64().unwrap(), sum);
    let body = json!({"utterances": [{"hypotheses": [{"tokens": tokens}]}], "mixture": mixture});
    let found = server.post("/v1/rescore", body).await.expect(200);
    near(found["results"][0]["hypotheses"][0]["lm_logprob"].as_f64().unwrap(), sum);
}
