//! `/v1/explain` and `/v1/neighbors`: the gradient of what `next` answers, and cosines in the embedding.

use serde_json::{Value, json};

use crate::harness::models::{VOCABULARY, scripted};
use crate::harness::server::{Server, Setup};

async fn explain(server: &Server, body: Value) -> Value {
    server.post("/v1/explain", body).await.expect(200)
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn the_explained_probability_is_that_of_next() {
    let server = Server::start().await;
    let text = "the old man and the";
    let next = server.post("/v1/next", json!({"text": text, "candidates": ["sea"]})).await.expect(200);
    let default = explain(&server, json!({"text": text})).await;
    assert_eq!(default["target"], next["distribution"][0]);
    let sea = explain(&server, json!({"text": text, "target": "sea"})).await;
    assert_eq!(sea["target"]["logprob"], next["candidates"][0]["logprob"]);
    assert_eq!(sea["target"]["rank"], next["candidates"][0]["rank"]);
    assert_eq!(sea, explain(&server, json!({"text": text, "target": 3})).await);
    let listed: Vec<&Value> = sea["tokens"].as_array().unwrap().iter().map(|one| &one["text"]).collect();
    assert_eq!(listed, ["the", " old", " man", " and", " the"]);
    assert_eq!((&sea["tokens"][1]["start"], &sea["tokens"][1]["end"]), (&json!(4), &json!(7)));
}

#[tokio::test]
async fn lags_are_counted_back_from_the_last_token() {
    let server = Server::start().await;
    let answer = explain(&server, json!({"text": "the old man and the", "target": "sea"})).await;
    let tokens = answer["tokens"].as_array().unwrap();
    let lags = &answer["gradient_by_lag"];
    let joint = |token: &Value, name: &str| {
        numbers(&token["gradient_norm"][name]).iter().map(|norm| norm * norm).sum::<f64>().sqrt()
    };
    for name in ["h", "c"] {
        let found = numbers(&lags[name]);
        assert_eq!((found.len(), found[0]), (5, 1.0));
        for (lag, found) in found.iter().enumerate() {
            let expected = joint(&tokens[4 - lag], name) / joint(&tokens[4], name);
            assert!((found - expected).abs() < 1e-12, "{name} at {lag}: {found}, expected {expected}");
        }
    }
    assert_eq!(numbers(&lags["input"])[0], 1.0);
    assert!(tokens[0].get("gates").is_none());
}

#[tokio::test]
async fn gates_are_listed_for_each_token_and_layer() {
    let server = Server::start().await;
    let body = json!({"text": "the sea", "target": "sings"});
    let answer = server.post("/v1/explain?gates=true", body.clone()).await.expect(200);
    for token in answer["tokens"].as_array().unwrap() {
        let layers = token["gates"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (layer, hidden) in layers.iter().zip([8, 5]) {
            for gate in ["input", "forget", "output"] {
                let values = numbers(&layer[gate]);
                assert!(values.len() == hidden && values.iter().all(|value| (0.0..=1.0).contains(value)));
            }
            assert!(numbers(&layer["candidate"]).iter().all(|value| value.abs() <= 1.0));
        }
    }
    let letters = json!({"model": "letters", "text": "abc"});
    let gru = server.post("/v1/explain?gates=true", letters).await.expect(200);
    let names: Vec<&String> = gru["tokens"][0]["gates"][0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["candidate", "reset", "update"]);
    assert!(
        gru["gradient_by_lag"].get("c").is_none() && gru["tokens"][0]["gradient_norm"].get("c").is_none()
    );
    let (param, _) = server.post("/v1/explain?gates=perhaps", body).await.refused(422, "invalid_value");
    assert_eq!(param, "gates");
}

#[tokio::test]
async fn neighbours_are_ordered_by_cosine_and_a_word_is_not_its_own() {
    let server = Server::start().await;
    let all = server.post("/v1/neighbors", json!({"token": "sea", "top_k": 100})).await.expect(200);
    let all = all["neighbors"].as_array().unwrap();
    assert_eq!(all.len(), VOCABULARY.len() - 1);
    let similarities: Vec<f64> = all.iter().map(|one| one["similarity"].as_f64().unwrap()).collect();
    assert!(
        similarities.is_sorted_by(|a, b| a >= b) && similarities.iter().all(|one| one.abs() <= 1.0 + 1e-12)
    );
    assert!(all.iter().all(|one| one["token"] != "sea"));
    // The cosine is symmetric.
    for one in all {
        let back = server.post("/v1/neighbors", json!({"token": one["id"], "top_k": 100})).await.expect(200);
        let back = back["neighbors"].as_array().unwrap();
        let sea = back.iter().find(|other| other["token"] == "sea").unwrap();
        assert!((sea["similarity"].as_f64().unwrap() - one["similarity"].as_f64().unwrap()).abs() < 1e-12);
    }
    let same = server.post("/v1/neighbors", json!({"positive": ["sea"], "top_k": 3})).await.expect(200);
    assert_eq!(same["neighbors"].as_array().unwrap()[..], all[..3]);
    let opposite = server.post("/v1/neighbors", json!({"negative": ["sea"], "top_k": 100})).await.expect(200);
    assert_eq!(opposite["neighbors"][0]["token"], all.last().unwrap()["token"]);
    let sum = json!({"positive": ["sea", "ship"], "negative": ["man"]});
    let sum = server.post("/v1/neighbors", sum).await.expect(200);
    assert_eq!(sum["neighbors"].as_array().unwrap().len(), VOCABULARY.len() - 3);
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_with_its_path() {
    let setup = Setup::configured(|config| {
        config.limits.max_explain_tokens = 3;
        config.limits.max_neighbor_words = 2;
    });
    let server = setup.start().await;
    for (body, code, param) in [
        (json!({}), "empty_input", Value::Null),
        (json!({"text": "the sea of stars"}), "text_too_long", json!("text")),
        (json!({"tokens": [2, 3, 2, 3]}), "text_too_long", json!("tokens")),
        (json!({"text": "the", "target": "sea of"}), "invalid_value", json!("target")),
        (json!({"text": "the", "target": "zebra"}), "unknown_token", json!("target")),
        (json!({"text": "the", "target": ""}), "empty_input", json!("target")),
        (json!({"text": "the", "target": 12}), "token_out_of_range", json!("target")),
        (json!({"text": "the", "gates": true}), "unknown_field", json!("gates")),
    ] {
        let (found, message) = server.post("/v1/explain", body.clone()).await.refused(422, code);
        assert_eq!(found, param, "{body}: {message}");
    }
    let (_, message) =
        server.post("/v1/explain", json!({"text": "the sea of stars"})).await.refused(422, "text_too_long");
    assert_eq!(message, "`text` has 4 tokens; the maximum is 3 (`--max-explain-tokens`)");
    for (body, code, param) in [
        (json!({}), "empty_input", json!("token")),
        (json!({"token": "sea", "positive": ["ship"]}), "invalid_value", json!("token")),
        (json!({"positive": ["sea", "zebra"]}), "unknown_token", json!("positive[1]")),
        (json!({"positive": ["sea"], "negative": ["sea"]}), "invalid_value", json!("positive")),
        (json!({"negative": ["sea", "of", "a"]}), "invalid_value", json!("negative")),
        (json!({"token": "sea", "top_k": 1_000_000}), "invalid_value", json!("top_k")),
    ] {
        let (found, message) = server.post("/v1/neighbors", body.clone()).await.refused(422, code);
        assert_eq!(found, param, "{body}: {message}");
    }
}

#[tokio::test]
async fn a_model_whose_weights_are_not_known_is_not_supported() {
    let server = Setup::over(vec![scripted(|fake| fake)]).start().await;
    for route in ["/v1/explain", "/v1/neighbors"] {
        let body = if route == "/v1/explain" { json!({"text": "a b"}) } else { json!({"token": "a"}) };
        let (param, _) = server.post(route, body).await.refused(422, "not_supported");
        assert_eq!(param, "model");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let setup = Setup::configured(|config| config.limits.max_answer.0 = 2000);
    let server = setup.start().await;
    let body = json!({"text": "the sea"});
    explain(&server, body.clone()).await;
    let (param, message) = server.post("/v1/explain?gates=true", body).await.refused(422, "invalid_value");
    assert!(param == "text" && message.contains("--max-answer"), "{message}");
}
