//! Every limit on what a request may ask for: one more is refused with the field and the option named, and nothing changes.

use rnnlm_server::config::Config;
use serde_json::{Value, json};

use crate::harness::server::Setup;

/// A limit: its option, how it is set to 2, and a request that asks for 2 or 3 of what it limits.
struct Limit {
    option: &'static str,
    set: fn(&mut Config),
    route: &'static str,
    param: &'static str,
    asking: fn(usize) -> Value,
}

fn some<T: Clone>(one: T, count: usize) -> Vec<T> {
    vec![one; count]
}

/// Several `hypotheses`, of one utterance.
fn hypotheses(count: usize) -> Value {
    json!({"utterances": [{"hypotheses": some(json!({"text": "sea"}), count)}]})
}

const LIMITS: [Limit; 16] = [
    Limit {
        option: "--max-top-k",
        set: |config| config.limits.max_top_k = 2,
        route: "next",
        param: "top_k",
        asking: |count| json!({"text": "the", "top_k": count}),
    },
    Limit {
        option: "--max-candidates",
        set: |config| config.limits.max_candidates = 2,
        route: "sessions/s/next",
        param: "candidates",
        asking: |count| json!({"top_k": 0, "candidates": some("sea", count)}),
    },
    Limit {
        option: "--max-requests",
        set: |config| config.limits.max_requests = 2,
        route: "next",
        param: "requests",
        asking: |count| json!({"requests": some(json!({"text": "the"}), count)}),
    },
    Limit {
        option: "--max-tokens",
        set: |config| config.limits.max_tokens = 2,
        route: "sessions/s/generate",
        param: "max_tokens",
        asking: |count| json!({"max_tokens": count, "seed": 1, "commit": false}),
    },
    Limit {
        option: "--max-stops",
        set: |config| config.limits.max_stops = 2,
        route: "sessions/s/generate",
        param: "stop",
        asking: |count| json!({"stop": some("ship", count), "max_tokens": 1, "seed": 1, "commit": false}),
    },
    Limit {
        option: "--max-stop-length",
        set: |config| config.limits.max_stop_length.0 = 2,
        route: "sessions/s/generate",
        param: "stop[0]",
        asking: |count| json!({"stop": "a".repeat(count), "max_tokens": 1, "seed": 1, "commit": false}),
    },
    Limit {
        option: "--max-banned",
        set: |config| config.limits.max_banned = 2,
        route: "generate",
        param: "banned",
        asking: |count| json!({"text": "the", "banned": some("sea", count), "max_tokens": 1, "seed": 1}),
    },
    Limit {
        option: "--max-logit-bias",
        set: |config| config.limits.max_logit_bias = 2,
        route: "next",
        param: "sampling.logit_bias",
        asking: |count| {
            let biases = (0..count).map(|token| ((token + 2).to_string(), json!(1.0))).collect();
            json!({"text": "the", "sampling": {"logit_bias": Value::Object(biases)}})
        },
    },
    Limit {
        option: "--max-n",
        set: |config| config.limits.max_n = 2,
        route: "generate",
        param: "n",
        asking: |count| json!({"text": "the", "n": count, "max_tokens": 1, "seed": 1}),
    },
    Limit {
        option: "--max-beam-width",
        set: |config| config.limits.max_beam_width = 2,
        route: "generate",
        param: "beam.width",
        asking: |count| json!({"text": "the", "beam": {"width": count}, "max_tokens": 1}),
    },
    Limit {
        option: "--max-suggestions",
        set: |config| config.limits.max_suggestions = 2,
        route: "sessions/s/suggest",
        param: "top_k",
        asking: |count| json!({"prefix": "s", "top_k": count}),
    },
    Limit {
        option: "--max-next-words",
        set: |config| config.limits.max_next_words = 2,
        route: "suggest",
        param: "next_words",
        asking: |count| json!({"text": "the s", "top_k": 1, "next_words": count}),
    },
    Limit {
        option: "--max-extra-words",
        set: |config| config.limits.max_extra_words = 2,
        route: "suggest",
        param: "extra_words",
        asking: |count| {
            let word = |number| json!({"text": format!("sail{number}"), "weight": 1.0});
            json!({"text": "the s", "top_k": 1, "extra_words": (0..count).map(word).collect::<Vec<_>>()})
        },
    },
    Limit {
        option: "--max-texts",
        set: |config| config.limits.max_texts = 2,
        route: "sessions/s/score",
        param: "continuations",
        asking: |count| json!({"continuations": some("sea", count)}),
    },
    Limit {
        option: "--max-utterances",
        set: |config| config.limits.max_utterances = 2,
        route: "rescore",
        param: "utterances",
        asking: |count| json!({"utterances": some(json!({"hypotheses": [{"text": "sea"}]}), count)}),
    },
    Limit {
        option: "--max-hypotheses",
        set: |config| config.limits.max_hypotheses = 2,
        route: "rescore",
        param: "utterances[0].hypotheses",
        asking: hypotheses,
    },
];

#[tokio::test]
async fn one_more_than_a_limit_is_refused_by_the_name_of_its_option_and_changes_nothing() {
    for Limit { option, set, route, param, asking } in LIMITS {
        // The defaults of other fields may lie above the limit.
        let server = Setup::configured(set).start().await;
        server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
        let target = format!("/v1/{route}");
        server.post(&target, asking(2)).await.expect(200);
        let (found, message) = server.post(&target, asking(3)).await.refused(422, "invalid_value");
        assert_eq!(found, param, "{option}");
        assert!(message.contains(&format!("(`{option}`)")), "{option}: {message}");
        assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1, "{option}");
    }
}

/// A search stops after so many steps: what it has found is what it answers.
#[tokio::test]
async fn a_search_for_words_takes_no_more_steps_than_its_limit() {
    let asking = json!({"model": "letters", "text": "ab ", "prefix": "a", "top_k": 5});
    let mut answers = Vec::new();
    for steps in [1, 1000] {
        let server = Setup::configured(|config| config.limits.suggest_steps = steps).start().await;
        let answer = server.post("/v1/suggest", asking.clone()).await.expect(200);
        answers.push(answer["suggestions"].as_array().unwrap().clone());
    }
    assert!(answers[0].len() < answers[1].len(), "{answers:?}");
    assert_eq!(answers[1].len(), 5);
}
