//! Rescoring: n-best lists in one JSON document, and one a line.

use rnnlm_server::budget::Purpose;
use rnnlm_server::config::Bytes;
use serde_json::{Value, json};

use super::gate::gated;
use crate::harness::client::Request;
use crate::harness::models::{letters, words};
use crate::harness::server::{Server, Setup};

const RESCORE: &str = "/v1/rescore";

async fn rescored(server: &Server, body: Value) -> Vec<Value> {
    server.post(RESCORE, body).await.expect(200)["results"].as_array().unwrap().clone()
}

/// The natural log-probability of a text, as `/v1/score` gives it.
async fn logprob(server: &Server, body: Value) -> f64 {
    server.post("/v1/score", body).await.expect(200)["total"]["logprob"].as_f64().unwrap()
}

/// The hypotheses of an utterance, in the order of the request.
fn by_index(utterance: &Value) -> Vec<Value> {
    let mut hypotheses = utterance["hypotheses"].as_array().unwrap().clone();
    hypotheses.sort_by_key(|hypothesis| hypothesis["index"].as_u64());
    hypotheses
}

fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

async fn post_lines(server: &Server, query: &str, lines: &str) -> Vec<Value> {
    let request = Request::new("POST", format!("{RESCORE}{query}"))
        .header("content-type", "application/x-ndjson")
        .body(lines);
    let answer = server.send(request).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/x-ndjson"),
        "{}",
        answer.text()
    );
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_total_is_the_sum_that_the_contract_gives_and_the_best_comes_first() {
    let server = Server::start().await;
    let texts = ["the old man and the sea", "zebra sings", "", "a ship"];
    let hypotheses: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"text": text, "score": -1.5 * index as f64, "lm_score": index}))
        .collect();
    let utterance = json!({"id": "utt-1", "context": "of stars", "hypotheses": hypotheses});
    for (log_base, ln_base) in [(json!("e"), 1.0), (json!(10), std::f64::consts::LN_10)] {
        let body = json!({"utterances": [utterance], "lm_weight": 0.75, "old_lm_weight": -0.25, "word_penalty": 0.5, "log_base": log_base});
        let results = rescored(&server, body).await;
        assert_eq!(results[0]["id"], "utt-1");
        let found = by_index(&results[0]);
        for (index, text) in texts.into_iter().enumerate() {
            let body = json!({"context": "of stars", "texts": [text], "add_eos": true});
            let expected = logprob(&server, body).await / ln_base;
            assert_eq!(found[index]["lm_logprob"].as_f64(), Some(expected), "{text}");
            let words = text.split_whitespace().count() as f64;
            let index_f64 = index as f64;
            close(
                &found[index]["total"],
                -1.5 * index_f64 + 0.75 * expected - 0.25 * index_f64 + 0.5 * words,
            );
        }
        assert_eq!(found[1]["unknown_count"], 1);
        let order = results[0]["hypotheses"].as_array().unwrap();
        let totals: Vec<f64> = order.iter().map(|hypothesis| hypothesis["total"].as_f64().unwrap()).collect();
        assert!(totals.is_sorted_by(|a, b| a >= b), "{totals:?}");
        assert_eq!(
            order.iter().map(|hypothesis| hypothesis["rank"].as_u64().unwrap()).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
    }
    let equal = json!({"utterances": [{"hypotheses": [{"text": "a"}, {"tokens": [4]}, {"text": "a"}]}]});
    let order = rescored(&server, equal).await[0]["hypotheses"].as_array().unwrap().clone();
    assert_eq!(
        order.iter().map(|hypothesis| hypothesis["index"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[tokio::test]
async fn unknown_words_and_the_end_count_as_asked() {
    let server = Server::start().await;
    let of = async |more: Value| {
        let mut body = json!({"utterances": [{"hypotheses": [{"text": "the zebra"}]}], "log_base": 10});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rescored(&server, body).await[0]["hypotheses"][0]["lm_logprob"].clone()
    };
    let score = async |unknown: Value, add_eos: bool| {
        let body = json!({"text": "the zebra", "unknown": unknown, "add_eos": add_eos});
        logprob(&server, body).await / std::f64::consts::LN_10
    };
    close(&of(json!({})).await, score(json!("include"), true).await);
    close(&of(json!({"add_eos": false})).await, score(json!("include"), false).await);
    close(&of(json!({"unknown": "exclude"})).await, score(json!("exclude"), true).await);
    // The number has the base of all logarithms of the request.
    close(&of(json!({"unknown": {"add": -2}})).await, score(json!("include"), true).await - 2.0);
    close(&of(json!({"unknown": {"set": -5}})).await, score(json!("exclude"), true).await - 5.0);
    let without_end = Setup::over(vec![letters()]).start().await;
    let body = json!({"utterances": [{"hypotheses": [{"text": "ab"}]}]});
    close(
        &rescored(&without_end, body).await[0]["hypotheses"][0]["lm_logprob"],
        logprob(&without_end, json!({"text": "ab"})).await,
    );
}

#[tokio::test]
async fn a_hypothesis_without_a_token_is_certain() {
    let server = Server::start().await;
    for texts in [&["", "a"][..], &["", " "]] {
        let hypotheses: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
        let body = json!({"utterances": [{"hypotheses": hypotheses}], "add_eos": false});
        let found = by_index(&rescored(&server, body).await[0]);
        assert_eq!((&found[0]["lm_logprob"], &found[0]["total"]), (&json!(0.0), &json!(0.0)), "{texts:?}");
    }
}

#[tokio::test]
async fn word_probabilities_are_interpolated_and_count_alone_for_unknown_words() {
    let server = Server::start().await;
    let body = json!({"text": "the zebra sea", "add_eos": true, "token_logprobs": true});
    let scored = server.post("/v1/score", body).await.expect(200);
    let own: Vec<f64> = scored["results"][0]["token_logprobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| libm::exp(token["logprob"].as_f64().unwrap()))
        .collect();
    let probs = [0.25, 0.01, 0.5, 0.125];
    for input in [json!({"text": "the zebra sea"}), json!({"tokens": [2, 0, 3]})] {
        let mut hypothesis = input;
        hypothesis["word_probs"] = json!(probs);
        let body = json!({"utterances": [{"hypotheses": [hypothesis]}], "lambda": 0.75});
        let found = rescored(&server, body).await[0]["hypotheses"][0]["lm_logprob"].clone();
        let mixed = |index: usize| libm::log(0.75 * own[index] + 0.25 * probs[index]);
        close(&found, mixed(0) + libm::log(probs[1]) + mixed(2) + mixed(3));
    }
}

#[tokio::test]
async fn an_utterance_can_start_where_the_best_hypothesis_before_has_led() {
    let server = Server::start().await;
    let utterances = json!([
        {"id": "1", "hypotheses": [{"text": "a ship", "score": -100}, {"text": "the old man"}]},
        {"id": "2", "context": "and", "hypotheses": [{"text": "the sea"}, {"text": "sings", "score": -100}]},
        {"id": "3", "hypotheses": [{"text": "stars"}]},
    ]);
    let carried = rescored(&server, json!({"utterances": utterances, "carry": "best"})).await;
    assert_eq!(carried[0]["hypotheses"][0]["index"], 1);
    // The tokens that the state has read, with the end of each text.
    let body = json!({"context": [2, 8, 9, 1, 10], "texts": ["the sea", "sings"], "add_eos": true});
    let second = server.post("/v1/score", body).await.expect(200);
    for (index, hypothesis) in by_index(&carried[1]).iter().enumerate() {
        assert_eq!(hypothesis["lm_logprob"], second["results"][index]["logprob"]);
    }
    let body = json!({"context": [2, 8, 9, 1, 10, 2, 3, 1], "text": "stars", "add_eos": true});
    assert_eq!(carried[2]["hypotheses"][0]["lm_logprob"].as_f64(), Some(logprob(&server, body).await));
    let lines: Vec<String> = utterances.as_array().unwrap().iter().map(Value::to_string).collect();
    let wrong = r#"{"id": "wrong", "hypotheses": []}"#;
    let text = [&lines[0], wrong, &lines[1], &lines[2]].join("\n");
    let found = post_lines(&server, "?carry=best", &text).await;
    assert_eq!(found[1]["error"]["param"], "hypotheses");
    assert_eq!(
        [&found[0], &found[2], &found[3]],
        [&carried[0], &carried[1], &carried[2]],
        "a fault carries nothing"
    );
}

#[tokio::test]
async fn lines_are_answered_in_order_and_each_fault_on_its_own_line() {
    let mut setup = Setup::default();
    setup.config.limits.max_line = Bytes(2000);
    setup.config.limits.lines_at_once = 3;
    setup.config.limits.max_hypotheses = 4;
    let server = setup.start().await;
    let good = |index: usize| json!({"id": format!("utt-{index}"), "hypotheses": [{"text": "the sea"}, {"text": "a ship", "score": index}]});
    let mut lines: Vec<String> = (0..20).map(|index| good(index).to_string()).collect();
    lines[3] = "not json".to_owned();
    lines[5] = r#"{"id": "utt-5", "hypotheses": [{"text": "a"}, {"text": "a", "tokens": [1]}]}"#.to_owned();
    lines[7] = json!({"id": "long", "hypotheses": [{"text": "sea ".repeat(1000)}]}).to_string();
    lines[9] = String::new();
    lines[11] = r#"{"id": "utt-11", "hypothesis": []}"#.to_owned();
    let found = post_lines(&server, "?lm_weight=0.25&unknown=exclude", &lines.join("\r\n")).await;
    let alone =
        rescored(&server, json!({"utterances": [good(1)], "lm_weight": 0.25, "unknown": "exclude"})).await;
    assert_eq!(found.len(), 19, "a blank line has no answer");
    assert_eq!(found[1], alone[0], "a line is answered as an utterance alone");
    for (at, line, code, param) in [
        (3, 4, "invalid_json", Value::Null),
        (5, 6, "invalid_value", json!("hypotheses[1].tokens")),
        (7, 8, "text_too_long", Value::Null),
        (10, 12, "unknown_field", json!("hypothesis")),
    ] {
        let error = &found[at]["error"];
        assert_eq!(
            (&found[at]["line"], &error["code"], &error["param"]),
            (&json!(line), &json!(code), &param)
        );
    }
    assert_eq!(found[5]["id"], "utt-5");
    assert_eq!(found[18]["id"], "utt-19");
    assert_eq!(post_lines(&server, "", "").await, Vec::<Value>::new());
}

/// Requests that are refused, with the code and the parameter of the error.
fn invalid_requests() -> Vec<(Value, &'static str, Value)> {
    let of = |hypothesis: Value| json!({"utterances": [{"hypotheses": [{"text": "a"}, hypothesis]}]});
    let at = |field: &str| json!(format!("utterances[0].{field}"));
    let one = json!({"hypotheses": [{"text": "a"}]});
    vec![
        (json!({}), "empty_input", json!("utterances")),
        (json!({"utterances": []}), "empty_input", json!("utterances")),
        (json!({"utterances": [one, one, one]}), "invalid_value", json!("utterances")),
        (json!({"utterances": [{"id": "u"}]}), "empty_input", at("hypotheses")),
        (json!({"utterances": [{"hypotheses": [{}]}]}), "invalid_value", at("hypotheses[0]")),
        (
            json!({"utterances": [{"hypotheses": [{"text": ""}, {"text": ""}, {"text": ""}, {"text": ""}]}]}),
            "invalid_value",
            at("hypotheses"),
        ),
        (
            json!({"utterances": [{"id": "x".repeat(1025), "hypotheses": [{"text": "a"}]}]}),
            "invalid_value",
            at("id"),
        ),
        (json!({"utterances": [{"id": 7, "hypotheses": []}]}), "invalid_value", at("id")),
        (
            json!({"utterances": [{"context": [99], "hypotheses": [{"text": "a"}]}]}),
            "token_out_of_range",
            at("context[0]"),
        ),
        (of(json!({"text": "a", "tokens": [2]})), "invalid_value", at("hypotheses[1].tokens")),
        (of(json!({"tokens": [12]})), "token_out_of_range", at("hypotheses[1].tokens[0]")),
        (of(json!({"text": "a", "score": 1e13})), "invalid_value", at("hypotheses[1].score")),
        (of(json!({"text": "a", "lm_score": -1e13})), "invalid_value", at("hypotheses[1].lm_score")),
        (of(json!({"text": "a", "word_probs": [0.5]})), "invalid_value", at("hypotheses[1].word_probs")),
        (
            of(json!({"text": "a", "word_probs": [0.5, 0]})),
            "invalid_value",
            at("hypotheses[1].word_probs[1]"),
        ),
        (
            of(json!({"text": "a", "word_probs": [1.5, 1]})),
            "invalid_value",
            at("hypotheses[1].word_probs[0]"),
        ),
        (of(json!({"text": "a a a a a a a a"})), "text_too_long", at("hypotheses")),
        (of(json!({"text": "a a a a a a a a a"})), "text_too_long", at("hypotheses[1].text")),
        (of(json!({"txt": "a"})), "unknown_field", at("hypotheses[1].txt")),
        (
            json!({"model": "letters", "add_eos": true, "utterances": [one]}),
            "invalid_value",
            json!("add_eos"),
        ),
        (
            json!({"model": "letters", "utterances": [{"hypotheses": [{"text": "xyz"}]}]}),
            "unknown_token",
            at("hypotheses[0].text"),
        ),
    ]
}

/// Requests with an option that is refused.
fn invalid_options() -> Vec<(Value, &'static str, Value)> {
    let with =
        |name: &str, value: Value| json!({"utterances": [{"hypotheses": [{"text": "a"}]}], name: value});
    vec![
        (with("lm_weight", json!(1e7)), "invalid_value", json!("lm_weight")),
        (with("old_lm_weight", json!(-1e7)), "invalid_value", json!("old_lm_weight")),
        (with("word_penalty", json!("1")), "invalid_value", json!("word_penalty")),
        (with("lambda", json!(1.5)), "invalid_value", json!("lambda")),
        (with("log_base", json!(2)), "invalid_value", json!("log_base")),
        (with("unknown", json!({"set": 1})), "invalid_value", json!("unknown.set")),
        (with("carry", json!("worst")), "invalid_value", json!("carry")),
        (with("carry_state", json!(true)), "unknown_field", json!("carry_state")),
    ]
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_its_field_named() {
    let mut setup = Setup::over(vec![words(), letters()]);
    setup.config.limits.max_utterances = 2;
    setup.config.limits.max_hypotheses = 3;
    setup.config.limits.max_prompt_tokens = 8;
    let server = setup.start().await;
    let one = json!({"hypotheses": [{"text": "a"}]});
    for (body, code, param) in invalid_requests().into_iter().chain(invalid_options()) {
        let (found, message) = server.post(RESCORE, body.clone()).await.refused(422, code);
        assert_eq!(found, param, "{body}: {message}");
    }
    server.post(RESCORE, json!({"model": "none", "utterances": [one]})).await.refused(404, "model_not_found");
    for (query, status, code, param) in [
        ("?lm_weight=NaN", 422, "invalid_value", json!("lm_weight")),
        ("?carry=worst", 422, "invalid_value", json!("carry")),
        ("?utterances=1", 422, "unknown_field", json!("utterances")),
        ("?model=none", 404, "model_not_found", json!("model")),
    ] {
        let request = Request::new("POST", format!("{RESCORE}{query}"))
            .header("content-type", "application/x-ndjson")
            .body("{}\n");
        assert_eq!(server.send(request).await.refused(status, code).0, param, "{query}");
    }
}

/// A job holds the tokens of an utterance until it has ended: their ids, 64 bytes to score each, and 16 for the place of each that is
/// wanted. What an utterance leaves to the next is held until that has been read.
#[tokio::test]
async fn what_is_scored_is_counted_until_it_has_been_ranked() {
    const TOKENS: usize = 200;
    let (model, mut gate) = gated();
    let server = Setup::over(vec![model]).start().await;
    let budget = server.app.service().unwrap().budget().clone();
    let text = vec!["b"; TOKENS].join(" ");
    let probs = vec![0.5; TOKENS];
    let utterance = json!({"hypotheses": [
        {"text": text},
        {"tokens": vec![1; TOKENS]},
        {"text": text, "word_probs": probs},
        {"tokens": vec![1; TOKENS], "word_probs": probs},
    ]});
    let body = json!({"utterances": [utterance, {"hypotheses": [{"text": text}]}], "carry": "best"});
    let answer = tokio::spawn(Request::new("POST", RESCORE).json(&body).open(server.address));
    gate.entered().await;
    let first = budget.taken_for(Purpose::Tokens);
    assert!(first >= TOKENS * (4 * (4 + 64) + 16), "{first}");
    // Until the next utterance has begun.
    let mut runs = 0;
    while budget.taken_for(Purpose::Tokens) == first {
        gate.pass();
        gate.entered().await;
        runs += 1;
        // With the tokens before and after each hypothesis.
        assert!(runs <= 5 * TOKENS, "each run reads a token at least");
    }
    let second = budget.taken_for(Purpose::Tokens);
    // The best one and its copies, before the only hypothesis.
    assert!((TOKENS * (4 + 8 + 4 + 64)..first / 2).contains(&second), "{second}");
    let _runs = gate.open();
    answer.await.unwrap().whole().await.expect(200);
    server.until(|| budget.taken() == 0).await;
}
