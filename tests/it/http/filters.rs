//! What changes logits over HTTP, the input that is shown again, and what of a generation is counted.

use serde_json::{Value, json};

use super::choices::{choices, generate, ids, stream};
use super::generate::session;
use crate::harness::server::{Server, Setup};

const GENERATE: &str = "/v1/generate";

/// The tokens that the metrics count as generated.
async fn generated(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.text();
    let line = r#"rnnlm_tokens_total{model="words",kind="generated"} "#;
    metrics.lines().find_map(|found| found.strip_prefix(line)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused_for_all_its_choices_together() {
    let setup = Setup::configured(|config| config.limits.max_answer = rnnlm_server::config::Bytes(64 << 10));
    let server = setup.start().await;
    let body = |n: usize| json!({"text": "the", "n": n, "max_tokens": 100, "seed": 1});
    generate(&server, body(4)).await;
    assert_eq!(server.post(GENERATE, body(5)).await.refused(422, "invalid_value").0, "max_tokens");
    let beam = json!({"text": "the", "beam": {"width": 5}, "max_tokens": 100});
    assert_eq!(server.post(GENERATE, beam).await.refused(422, "invalid_value").0, "max_tokens");
    let mut streamed = body(5);
    streamed["stream"] = json!(true);
    assert_eq!(server.post(GENERATE, streamed).await.status, 200, "a stream is not held in memory");
}

#[tokio::test]
async fn the_input_is_shown_again_as_it_was_given_with_the_scores_of_its_tokens() {
    let server = Server::start().await;
    let text = "  the old zebra\nsea ";
    let body =
        json!({"text": text, "max_tokens": 4, "seed": 6, "n": 2, "token_logprobs": true, "top_logprobs": 2});
    let plain = generate(&server, body.clone()).await;
    assert_eq!(plain.get("prompt_logprobs"), None);
    let mut echoed = body;
    echoed["echo"] = json!(true);
    let answer = generate(&server, echoed.clone()).await;
    for (choice, plain) in choices(&answer).iter().zip(choices(&plain)) {
        assert_eq!(choice["text"], json!(format!("{text}{}", plain["text"].as_str().unwrap())));
        for field in ["tokens", "token_count", "logprob", "token_logprobs", "finish_reason"] {
            assert_eq!(choice[field], plain[field], "{field}");
        }
    }
    let score = json!({"text": text, "token_logprobs": true});
    let scored = server.post("/v1/score", score).await.expect(200)["results"][0]["token_logprobs"].clone();
    let mut listed = answer["prompt_logprobs"].clone();
    for token in listed.as_array_mut().unwrap() {
        let top = token.as_object_mut().unwrap().remove("top_logprobs").unwrap();
        assert_eq!(top.as_array().unwrap().len(), 2);
    }
    assert_eq!(listed, scored);

    let events = stream(&server, GENERATE, echoed).await;
    assert_eq!(
        (&events[0].data["text"], &events[0].data["prompt_logprobs"]),
        (&json!(text), &answer["prompt_logprobs"])
    );
    let beam =
        json!({"text": text, "max_tokens": 4, "beam": {"width": 2}, "token_logprobs": true, "echo": true});
    assert_eq!(generate(&server, beam).await["prompt_logprobs"], scored);
}

#[tokio::test]
async fn an_input_of_ids_is_shown_as_the_text_that_it_adds() {
    let server = Server::start().await;
    let path = session(&server, "the").await;
    let body =
        json!({"tokens": [8, 9], "echo": true, "max_tokens": 0, "token_logprobs": true, "commit": false});
    let answer = server.post(&format!("{path}/generate"), body).await.expect(200);
    assert_eq!(choices(&answer)[0]["text"], " old man");
    assert_eq!(
        answer["prompt_logprobs"].as_array().unwrap().len(),
        2,
        "nothing is drawn: the input is scored"
    );
    let letters = json!({"model": "letters", "text": "ab", "echo": true, "max_tokens": 3, "top_logprobs": 1});
    let letters = generate(&server, letters).await;
    let first = &letters["prompt_logprobs"][0];
    assert_eq!((&first["logprob"], first.get("top_logprobs")), (&Value::Null, None), "nothing precedes it");
    assert!(letters["prompt_logprobs"][1]["logprob"].is_f64());
}

#[tokio::test]
async fn penalties_and_biases_see_the_input_and_what_was_drawn() {
    let server = Server::start().await;
    for field in ["presence_penalty", "frequency_penalty"] {
        let body = json!({"text": "the sea", field: 100, "max_tokens": 9, "seed": 1, "n": 2});
        for choice in choices(&generate(&server, body).await) {
            let mut seen = [vec![2, 3], ids(choice)].concat();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 11, "nothing is drawn twice while there is something else: {choice}");
        }
    }
    let biased = json!({"text": "the sea", "logit_bias": {"5": 100}, "max_tokens": 5, "seed": 1});
    assert_eq!(ids(&choices(&generate(&server, biased).await)[0]), [5; 5]);
}

#[tokio::test]
async fn the_sampled_view_is_the_distribution_that_is_drawn_from() {
    let server = Server::start().await;
    let sampling = json!({"logit_bias": {"3": 1.5}, "repetition_penalty": 1.4, "presence_penalty": 0.3,
        "frequency_penalty": 0.5, "typical_p": 0.7, "temperature": 1.2, "banned": ["a"]});
    let question =
        json!({"text": "the sea the", "sampling": sampling, "full": true, "candidates": ["sea of"]});
    let view = server.post("/v1/next", question).await.expect(200);
    let kept: Vec<u64> =
        view["distribution"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert!(kept.len() < 10);
    let mut drawn = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut body = sampling.clone();
        body["text"] = json!("the sea the");
        body["seed"] = json!(seed);
        body["max_tokens"] = json!(1);
        body["n"] = json!(16);
        let answer = generate(&server, body).await;
        drawn.extend(choices(&answer).iter().flat_map(ids));
    }
    assert!(drawn.iter().all(|token| kept.contains(token)), "{drawn:?} of {kept:?}");
    // The second token of a candidate is penalised for the first.
    let mut longer = sampling;
    longer["banned"] = json!(["a"]);
    let longer = json!({"text": "the sea the sea", "sampling": longer, "full": true});
    let after = server.post("/v1/next", longer).await.expect(200);
    let [sea, of] = [&view["logprobs"][3], &after["logprobs"][6]].map(Value::as_f64);
    let joint = sea.zip(of).map(|(sea, of)| sea + of);
    assert_eq!(view["candidates"][0]["logprob"].as_f64(), joint);
}

#[tokio::test]
async fn every_token_of_an_answer_is_counted_as_generated() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let mut expected = 0;
    for (target, body) in [
        (GENERATE, json!({"text": "the", "max_tokens": 5})),
        (GENERATE, json!({"text": "the", "max_tokens": 1})),
        (GENERATE, json!({"text": "the", "max_tokens": 4, "n": 3, "stream": true})),
        (GENERATE, json!({"text": "the", "max_tokens": 4, "n": 2, "fork": true})),
        (GENERATE, json!({"text": "the", "max_tokens": 4, "n": 2, "beam": {"width": 4}})),
        ("/v1/sessions/s/generate", json!({"max_tokens": 6})),
        ("/v1/sessions/s/generate", json!({"max_tokens": 6, "commit": false})),
    ] {
        let count = body["max_tokens"].as_u64().unwrap() * body["n"].as_u64().unwrap_or(1);
        assert_eq!(server.post(target, body).await.status, 200);
        expected += count;
        assert_eq!(generated(&server).await, expected);
    }
}
