//! What is done with unknown words when a text is scored.

use serde_json::{Value, json};

use super::generate::session;
use crate::harness::client::Request;
use crate::harness::server::Server;

const TEXT: &str = "the zebra sings zebra, man";

async fn scored(server: &Server, unknown: Value) -> Value {
    let body = json!({"text": TEXT, "token_logprobs": true, "unknown": unknown});
    server.post("/v1/score", body).await.expect(200)["results"][0].clone()
}

fn logprobs(result: &Value) -> Vec<Option<f64>> {
    let listed = result["token_logprobs"].as_array().unwrap();
    listed.iter().map(|token| token["logprob"].as_f64()).collect()
}

fn counts(result: &Value) -> [u64; 6] {
    ["token_count", "scored_count", "unknown_count", "word_count", "char_count", "byte_count"]
        .map(|count| result[count].as_u64().unwrap())
}

#[tokio::test]
async fn unknown_words_are_included_excluded_shifted_or_set() {
    let server = Server::start().await;
    let plain = scored(&server, json!(null)).await;
    let own = logprobs(&plain);
    assert_eq!(scored(&server, json!("include")).await, plain);
    let is_unknown = [false, true, false, true, false];
    let expected = |of_unknown: &dyn Fn(f64) -> Option<f64>| -> Vec<Option<f64>> {
        let each = own.iter().zip(is_unknown);
        each.map(|(logprob, unknown)| {
            logprob.and_then(|own| if unknown { of_unknown(own) } else { Some(own) })
        })
        .collect()
    };
    for (policy, logprobs_expected) in [
        (json!("exclude"), expected(&|_| None)),
        (json!({"add": -2.5}), expected(&|own| Some(own - 2.5))),
        (json!({"set": -11}), expected(&|_| Some(-11.0))),
    ] {
        let found = scored(&server, policy.clone()).await;
        assert_eq!(logprobs(&found), logprobs_expected, "{policy}");
        let sum = logprobs_expected.iter().flatten().fold(0.0, |sum, logprob| sum + logprob);
        assert_eq!(found["logprob"].as_f64(), Some(sum), "{policy}");
    }
    assert_eq!(counts(&plain), [5, 5, 2, 5, 26, 26]);
    assert_eq!(counts(&scored(&server, json!("exclude")).await), [5, 3, 2, 3, 15, 15]);
    let perplexity = scored(&server, json!("exclude")).await["perplexity"].as_f64().unwrap();
    let sum: f64 = expected(&|_| None).iter().flatten().sum();
    assert!((perplexity / libm::exp(-sum / 3.0) - 1.0).abs() < 1e-12);
}

#[tokio::test]
async fn a_policy_applies_to_ids_to_sessions_and_to_a_text_as_the_body() {
    let server = Server::start().await;
    let of_text = scored(&server, json!("exclude")).await;
    let body = json!({"tokens": [2, 0, 11, 0, 9], "unknown": "exclude"});
    let of_ids = server.post("/v1/score", body).await.expect(200);
    assert_eq!(of_ids["total"]["logprob"], of_text["logprob"]);
    assert_eq!((&of_ids["total"]["scored_count"], &of_ids["total"]["word_count"]), (&json!(3), &json!(3)));
    for (policy, in_query) in [(json!("exclude"), "exclude"), (json!({"set": -9.5}), "set:-9.5")] {
        let request = Request::new("POST", format!("/v1/score?token_logprobs=true&unknown={in_query}"))
            .header("content-type", "text/plain")
            .body(TEXT);
        let streamed = server.send(request).await.expect(200);
        assert_eq!(streamed["results"][0], scored(&server, policy.clone()).await);
        let path = session(&server, "").await;
        let body = json!({"continuations": [TEXT], "unknown": policy, "token_logprobs": true});
        let continued = server.post(&format!("{path}/score"), body).await.expect(200);
        assert_eq!(continued["results"][0], scored(&server, policy).await);
    }
    let request =
        Request::new("POST", "/v1/score?unknown=skip").header("content-type", "text/plain").body("a");
    let (param, _) = server.send(request).await.refused(422, "invalid_value");
    assert_eq!(param, json!("unknown"));
}

#[tokio::test]
async fn a_text_of_excluded_words_alone_has_no_ratio() {
    let server = Server::start().await;
    let body = json!({"text": " zebra ", "unknown": "exclude"});
    let found = server.post("/v1/score", body).await.expect(200)["total"].clone();
    assert_eq!(counts(&found), [1, 0, 1, 0, 2, 2]);
    assert_eq!((&found["logprob"], &found["perplexity"]), (&json!(0.0), &Value::Null));
}
