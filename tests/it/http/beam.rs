//! Beam search over HTTP. What it finds is tested with the engine.

use serde_json::{Value, json};

use super::choices::{choices, generate, ids, stream};
use crate::harness::server::{Server, Setup};

const GENERATE: &str = "/v1/generate";

#[tokio::test]
async fn a_beam_finds_its_choices_in_falling_order_and_at_width_1_it_is_greedy() {
    let server = Server::start().await;
    let body = |width: usize, n: usize| json!({"text": "the old", "max_tokens": 8, "beam": {"width": width, "length_penalty": 0}, "n": n, "top_logprobs": 1});
    let greedy = json!({"text": "the old", "max_tokens": 8, "temperature": 0, "top_logprobs": 1});
    let greedy = generate(&server, greedy).await;
    assert_eq!(choices(&generate(&server, body(1, 1)).await), choices(&greedy));
    let wide = generate(&server, body(8, 8)).await;
    let logprobs: Vec<f64> =
        choices(&wide).iter().map(|choice| choice["logprob"].as_f64().unwrap()).collect();
    assert!(logprobs.is_sorted_by(|a, b| a >= b), "{logprobs:?}");
    assert!(logprobs[0] >= choices(&greedy)[0]["logprob"].as_f64().unwrap());
    assert_eq!(*choices(&generate(&server, body(8, 2)).await), choices(&wide)[..2]);

    let events = stream(&server, GENERATE, body(8, 2)).await;
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!((names[0], names.len(), names[17]), ("start", 18, "done"));
    let order: Vec<_> =
        events[1..17].iter().map(|event| (&event.data["choice"], &event.data["index"])).collect();
    assert!(order.iter().enumerate().all(|(at, place)| *place == (&json!(at / 8), &json!(at % 8))));
    let tokens: Vec<_> = events[1..9].iter().map(|event| event.data["id"].as_u64().unwrap()).collect();
    assert_eq!(tokens, ids(&choices(&wide)[0]));
}

#[tokio::test]
async fn a_beam_ends_at_the_end_of_text_and_at_stop_strings() {
    let server = Server::start().await;
    let body = json!({"text": "the", "max_tokens": 10, "beam": {"width": 6}, "n": 6, "stop_at_eos": true, "logit_bias": {"1": 2}});
    let answer = generate(&server, body).await;
    let ended: Vec<&Value> =
        choices(&answer).iter().filter(|choice| choice["finish_reason"] == "eos").collect();
    assert!(!ended.is_empty(), "{answer}");
    assert!(ended.iter().all(|choice| ids(choice).last() == Some(&1)));
    let body = json!({"text": "the", "max_tokens": 10, "beam": {"width": 4}, "n": 4});
    let free = generate(&server, body.clone()).await;
    let text = choices(&free)[0]["text"].as_str().unwrap();
    let stop = text.split_whitespace().nth(2).unwrap();
    let mut stopped = body;
    stopped["stop"] = json!(stop);
    let stopped = generate(&server, stopped).await;
    let ended = choices(&stopped).iter().filter(|choice| choice["finish_reason"] == "stop");
    let texts: Vec<&str> = ended.map(|choice| choice["text"].as_str().unwrap()).collect();
    assert!(!texts.is_empty() && texts.iter().all(|text| !text.contains(stop)), "{texts:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_beam_or_a_choice_is_named() {
    let setup = Setup::configured(|config| {
        config.limits.max_n = 3;
        config.limits.max_beam_width = 4;
        config.limits.max_logit_bias = 2;
        config.limits.max_pieces = 4;
    });
    let server = setup.start().await;
    for (body, param, part) in [
        (json!({"n": 0}), "n", "the minimum is 1"),
        (json!({"n": 4}), "n", "the maximum is 3 (`--max-n`)"),
        (json!({"n": 3, "beam": {"width": 2}}), "n", "the maximum is `beam.width`, which is 2"),
        (json!({"beam": {"width": 0}}), "beam.width", "the minimum is 1"),
        (json!({"beam": {"width": 5}}), "beam.width", "the maximum is 4 (`--max-beam-width`)"),
        (json!({"beam": {"length_penalty": 10.5}}), "beam.length_penalty", "from -10 to 10"),
        (json!({"beam": 4}), "beam", "expected an object"),
        (json!({"beam": {}, "temperature": 0.5}), "temperature", "draws nothing"),
        (json!({"beam": {}, "top_k": 5}), "top_k", "draws nothing"),
        (json!({"beam": {}, "top_p": 0.5}), "top_p", "draws nothing"),
        (json!({"beam": {}, "min_p": 0.5}), "min_p", "draws nothing"),
        (json!({"beam": {}, "typical_p": 0.5}), "typical_p", "draws nothing"),
        (json!({"typical_p": 0}), "typical_p", "above 0"),
        (json!({"repetition_penalty": 0}), "repetition_penalty", "from 0.01 to 100"),
        (json!({"presence_penalty": 101}), "presence_penalty", "from -100 to 100"),
        (json!({"frequency_penalty": -101}), "frequency_penalty", "from -100 to 100"),
        (json!({"logit_bias": {"12": 1}}), "logit_bias.12", "the largest id is 11"),
        (json!({"logit_bias": {"2": 100.5}}), "logit_bias.2", "from -100 to 100"),
        (json!({"logit_bias": {"2": "x"}}), "logit_bias.2", "invalid type"),
        (json!({"logit_bias": {"sea": 1}}), "logit_bias", "is not a token id"),
        (
            json!({"logit_bias": {"2": 1, "3": 1, "4": 1}}),
            "logit_bias",
            "the maximum is 2 (`--max-logit-bias`)",
        ),
        (
            json!({"text": "the old man and the", "echo": true, "token_logprobs": true}),
            "text",
            "`--max-pieces`",
        ),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = json!(stream);
            let answer = server.post(GENERATE, body.clone()).await;
            let status = if body["text"].is_string() { "text_too_long" } else { "invalid_value" };
            let (found, message) = answer.refused(422, status);
            assert!(found == param && message.contains(part), "{body}: {found}: {message}");
        }
    }
    let limits = server.get("/v1/info").await.expect(200)["limits"].clone();
    assert_eq!((&limits["max_n"], &limits["max_beam_width"]), (&json!(3), &json!(4)));
    let document = server.get("/openapi.json").await.expect(200);
    let schemas = &document["components"]["schemas"];
    let fields = &schemas["GenerateRequest"]["properties"];
    assert_eq!((&fields["n"]["maximum"], &fields["logit_bias"]["maxProperties"]), (&json!(3), &json!(2)));
    assert_eq!(schemas["Beam"]["properties"]["width"]["maximum"], 4);
    generate(&server, json!({"text": "the", "beam": {}, "temperature": 0, "max_tokens": 2})).await;
}
