//! Mixtures of models: next-token distributions, scores and n-best lists are those of the interpolated probabilities.

use serde_json::{Value, json};

use crate::harness::models::{VOCABULARY, letters, words, words_gru};
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
    let rank = order.iter().position(|&id| id == 9).unwrap() + 1;
    assert_eq!(both["candidates"][1]["rank"], json!(rank));
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
