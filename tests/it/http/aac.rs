//! `/word/predict`, `/character/predict` and what comes after each prediction, in the shape that keyboards of augmentative
//! communication read.

use std::collections::BTreeMap;

use rnnlm_server::config::Interface;
use serde_json::{Value, json};

use crate::harness::models::VOCABULARY;
use crate::harness::server::{Server, Setup};

async fn enabled() -> Server {
    Setup::configured(|config| config.http.enable = vec![Interface::Aac]).start().await
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

/// The texts and logprobs of `results`, whose objects have no other fields than clients know.
fn pairs(predictions: &Value) -> Vec<(String, f64)> {
    assert_eq!(predictions.as_object().map(serde_json::Map::len), Some(1), "{predictions}");
    let results = predictions["results"].as_array().unwrap().iter();
    let pairs = results.map(|one| {
        assert_eq!((&one["token"], one.as_object().unwrap().len()), (&one["text"], 3));
        (one["text"].as_str().unwrap().to_owned(), one["logProb"].as_f64().unwrap())
    });
    pairs.collect()
}

#[tokio::test]
async fn the_routes_are_absent_unless_they_are_enabled() {
    let paths = ["/word/predict", "/word/predict/future", "/word/predict/next/future"];
    let paths = paths.into_iter().chain([
        "/character/predict",
        "/character/predict/future",
        "/character/predict/next/future",
    ]);
    let default = Server::start().await;
    let enabled = enabled().await;
    for path in paths {
        default.get(&format!("{path}?left=the")).await.refused(404, "route_not_found");
        enabled.get(&format!("{path}?left=the")).await.expect(200);
        assert!(default.get("/openapi.json").await.json()["paths"].get(path).is_none(), "{path}");
        assert!(enabled.get("/openapi.json").await.json()["paths"][path]["get"].is_object(), "{path}");
    }
}

#[tokio::test]
async fn words_are_those_of_suggest() {
    let server = enabled().await;
    // White space between `left` and the word is implied.
    for left in ["the%20old", "the%20old%20", "the%20old%20%20"] {
        let found = pairs(&server.get(&format!("/word/predict?left={left}&prefix=s")).await.expect(200));
        let suggested =
            server.post("/v1/suggest", json!({"text": "the old s", "top_k": 10})).await.expect(200);
        let suggested: Vec<(String, f64)> = suggested["suggestions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["text"].as_str().unwrap().to_owned(), one["logprob"].as_f64().unwrap()))
            .collect();
        assert_eq!(found, suggested, "{left}");
        assert!(found.len() > 2);
    }
    let two = pairs(&server.get("/word/predict?left=the&num=2").await.expect(200));
    assert_eq!(two.len(), 2);
    let letters = pairs(&server.get("/word/predict?model=letters&left=a&prefix=b&num=3").await.expect(200));
    let suggested = json!({"model": "letters", "text": "a b", "top_k": 3});
    let suggested = server.post("/v1/suggest", suggested).await.expect(200);
    assert_eq!(letters[0].0, suggested["suggestions"][0]["text"]);
}

#[tokio::test]
async fn characters_of_a_model_of_words_add_up_its_words() {
    let server = enabled().await;
    let found = pairs(&server.get("/character/predict?left=the%20s&num=20").await.expect(200));
    let words: Vec<&str> = VOCABULARY[2..].iter().copied().filter(|word| word.starts_with('s')).collect();
    let answer = server.post("/v1/next", json!({"text": "the", "candidates": words})).await.expect(200);
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for candidate in answer["candidates"].as_array().unwrap() {
        let next = candidate["text"].as_str().unwrap()[1..2].to_owned();
        *shares.entry(next).or_default() += candidate["prob"].as_f64().unwrap();
    }
    let total: f64 = shares.values().sum();
    assert_eq!(found.len(), shares.len());
    for (text, logprob) in &found {
        assert!(close(*logprob, libm::log(shares[text] / total)), "{text}");
    }
    assert!(found.is_sorted_by(|a, b| a.1 >= b.1));
    // A word that is typed whole is followed by a space, and by what other words have in its place.
    let after = pairs(&server.get("/character/predict?left=the%20sea").await.expect(200));
    assert_eq!(after, [(" ".to_owned(), 0.0)]);
    let none = pairs(&server.get("/character/predict?left=the%20xyz").await.expect(200));
    assert_eq!(none, []);
}

#[tokio::test]
async fn characters_of_a_model_of_characters_are_its_next_tokens() {
    let server = enabled().await;
    let target = "/character/predict?model=letters&left=ab%20c&prefix=d&num=8";
    let found = pairs(&server.get(target).await.expect(200));
    let next = json!({"model": "letters", "text": "ab cd", "top_k": 8});
    let next = server.post("/v1/next", next).await.expect(200);
    let next: Vec<(String, f64)> = next["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["text"].as_str().unwrap().to_owned(), one["logprob"].as_f64().unwrap()))
        .collect();
    assert_eq!(found, next);
}

#[tokio::test]
async fn futures_are_the_predictions_after_each_prediction() {
    let server = enabled().await;
    for (model, left, prefix) in [("words", "the", "s"), ("words", "the", ""), ("letters", "ab", "c")] {
        let query = format!("model={model}&num=4");
        let ask = async |path: &str, left: &str, prefix: &str| {
            let (left, prefix) = (left.replace(' ', "%20"), prefix.replace(' ', "%20"));
            server.get(&format!("{path}?{query}&left={left}&prefix={prefix}")).await.expect(200)
        };
        for kind in ["word", "character"] {
            let path = format!("/{kind}/predict");
            // Of words, `left` and `prefix` are two; of characters, one text.
            let (text, rest) = match kind {
                "word" => (left.to_owned(), prefix.to_owned()),
                _ => (format!("{left} {prefix}"), String::new()),
            };
            let after_characters = ask(&format!("{path}/future"), &text, &rest).await;
            let futures = after_characters["futures"].as_array().unwrap();
            assert!(!futures.is_empty(), "{path} {model}");
            for future in futures {
                let next = future["next"].as_str().unwrap();
                if next == "\n" {
                    continue;
                }
                let direct = ask(&path, &text, &format!("{rest}{next}")).await;
                assert_same(&future["predictions"], &direct, &format!("{path} {model} {next:?}"));
            }
            let after_words = ask(&format!("{path}/next/future"), left, prefix).await;
            let futures = after_words["futures"].as_array().unwrap();
            assert!(!futures.is_empty(), "{path} {model}");
            for future in futures {
                let next = future["next"].as_str().unwrap();
                let direct = ask(&path, &format!("{left} {next} "), "").await;
                assert_same(&future["predictions"], &direct, &format!("{path} {model} {next:?}"));
            }
        }
    }
}

#[track_caller]
fn assert_same(found: &Value, expected: &Value, what: &str) {
    let found = pairs(found);
    let expected = pairs(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.0 == expected.0 && close(found.1, expected.1), "{what}: {found:?} {expected:?}");
    }
}

#[tokio::test]
async fn what_clients_send_beside_the_text_is_accepted_and_has_no_effect() {
    let server = enabled().await;
    let plain = server.get("/word/predict?left=the&prefix=s&num=5").await.expect(200);
    let more = "&right=%20&vocab=&sort=&safe=false&lang=en";
    assert_eq!(server.get(&format!("/word/predict?left=the&prefix=s&num=5{more}")).await.expect(200), plain);
}

#[tokio::test]
async fn a_wrong_query_is_refused_with_its_parameter() {
    let server = enabled().await;
    for (query, param, part) in [
        ("num=0", "num", "the minimum is 1"),
        ("num=101", "num", "`--max-suggestions`"),
        ("num=many", "num", "`num`"),
        ("safe=true", "safe", "false is accepted"),
        ("prefix=a&words=3", "words", "words"),
        ("model=nobody", "model", "nobody"),
    ] {
        let answer = server.get(&format!("/word/predict?left=the&{query}")).await;
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{query}: {error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{query}: {error}");
        assert!([404, 422].contains(&answer.status), "{query}");
    }
    let long = "a".repeat(257);
    let (param, _) =
        server.get(&format!("/character/predict?prefix={long}")).await.refused(422, "text_too_long");
    assert_eq!(param, "prefix");
    // Nothing precedes the word, and this model has no initial tokens.
    server.get("/word/predict?model=letters").await.refused(422, "empty_context");
    server.get("/character/predict?model=letters").await.refused(422, "empty_context");
}
