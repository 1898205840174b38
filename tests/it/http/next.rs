//! `/v1/next` in all its forms, from the start of a model and from a session.

use serde_json::{Value, json};

use super::gate::gated;
use crate::harness::client::Request;
use crate::harness::models::VOCABULARY;
use crate::harness::server::{Server, Setup};

async fn next(server: &Server, body: Value) -> Value {
    server.post("/v1/next", body).await.expect(200)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(number).collect()
}

#[tokio::test]
async fn an_answer_has_every_documented_field() {
    let server = Server::start().await;
    let answer = next(&server, json!({"text": "the old submarine", "top_k": 3})).await;
    assert_eq!(
        (&answer["model"], &answer["position"], &answer["unknown_count"]),
        (&json!("words"), &json!(3), &json!(1))
    );
    assert_eq!((&answer["view"], &answer["candidates"]), (&json!("model"), &json!([])));
    assert_eq!(answer.get("logprobs"), None, "only when asked for");
    let listed = answer["distribution"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    for (index, token) in listed.iter().enumerate() {
        let entry = VOCABULARY[token["id"].as_u64().unwrap() as usize];
        assert_eq!((token["token"].as_str(), &token["rank"]), (Some(entry), &json!(index + 1)));
        assert!((number(&token["prob"]) - libm::exp(number(&token["logprob"]))).abs() < 1e-12);
    }
    let mass: f64 = listed.iter().map(|token| number(&token["prob"])).sum();
    assert!((mass - number(&answer["top_mass"])).abs() < 1e-12);
    assert!(number(&answer["entropy"]) > 0.0 && number(&answer["logsumexp"]).is_finite());
}

#[tokio::test]
async fn probabilities_sum_to_one_and_the_list_is_sorted() {
    let server = Server::start().await;
    let answer = next(&server, json!({"text": "the sea", "top_k": 12, "full": true})).await;
    let logprobs = numbers(&answer["logprobs"]);
    assert_eq!(logprobs.len(), VOCABULARY.len());
    assert!((logprobs.iter().map(|&logprob| libm::exp(logprob)).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!((number(&answer["top_mass"]) - 1.0).abs() < 1e-6);
    let entropy: f64 = logprobs.iter().map(|logprob| -logprob * libm::exp(*logprob)).sum();
    assert!((number(&answer["entropy"]) - entropy).abs() < 1e-5);
    let mut sorted: Vec<usize> = (0..logprobs.len()).collect();
    sorted.sort_by(|&a, &b| logprobs[b].total_cmp(&logprobs[a]).then(a.cmp(&b)));
    let listed = answer["distribution"].as_array().unwrap();
    let ids: Vec<usize> = listed.iter().map(|token| token["id"].as_u64().unwrap() as usize).collect();
    assert_eq!(ids, sorted);
    for token in listed {
        assert_eq!(number(&token["logprob"]), logprobs[token["id"].as_u64().unwrap() as usize]);
    }
}

#[tokio::test]
async fn the_same_question_by_get_by_post_and_by_ids_has_the_same_answer() {
    let server = Server::start().await;
    let answer = next(&server, json!({"text": "the sea", "top_k": 4})).await;
    assert_eq!(next(&server, json!({"text": "the sea", "top_k": 4})).await, answer);
    assert_eq!(next(&server, json!({"tokens": [2, 3], "top_k": 4, "model": "words"})).await, answer);
    assert_eq!(server.get("/v1/next?text=the%20sea&top_k=4").await.expect(200), answer);
    let question =
        json!({"text": "the", "top_k": 2, "candidates": ["sea", 3], "sampling": {"temperature": 0.5}});
    let path = "/v1/next?text=the&top_k=2&candidates=[%22sea%22,3]&sampling=%7B%22temperature%22:0.5%7D";
    assert_eq!(server.get(path).await.expect(200), next(&server, question).await);
    let typeless = Request::new("POST", "/v1/next").body(r#"{"text": "the sea", "top_k": 4, "model": null}"#);
    assert_eq!(server.send(typeless).await.expect(200), answer);
    // Without an input, the question is about the start of the model.
    assert_eq!(next(&server, json!({})).await, next(&server, json!({"text": "", "tokens": null})).await);
    assert_eq!(next(&server, json!({})).await["position"], 0);
}

#[tokio::test]
async fn candidates_are_in_the_order_asked_and_longer_ones_have_joint_probabilities() {
    let server = Server::start().await;
    let body = json!({"text": "the", "top_k": 12, "candidates": ["sea", "old man", 9, "submarine"]});
    let answer = next(&server, body).await;
    let listed = |id: u64| {
        answer["distribution"].as_array().unwrap().iter().find(|token| token["id"] == id).unwrap().clone()
    };
    let candidates = answer["candidates"].as_array().unwrap();
    for (candidate, id) in [(&candidates[0], 3), (&candidates[2], 9), (&candidates[3], 0)] {
        for field in ["prob", "logprob", "rank"] {
            assert_eq!(candidate[field], listed(id)[field], "{candidate}");
        }
        assert_eq!(candidate["tokens"], json!([id]));
    }
    assert_eq!((&candidates[0]["text"], candidates[0].get("id")), (&json!("sea"), None));
    assert_eq!((&candidates[2]["id"], candidates[2].get("text")), (&json!(9), None));
    let after = next(&server, json!({"text": "the old", "candidates": ["man"]})).await;
    let joint = number(&listed(8)["logprob"]) + number(&after["candidates"][0]["logprob"]);
    assert_eq!((&candidates[1]["tokens"], &candidates[1]["rank"]), (&json!([8, 9]), &Value::Null));
    assert!((number(&candidates[1]["logprob"]) - joint).abs() < 1e-9);
}

#[tokio::test]
async fn special_tokens_are_left_out_of_the_list_but_not_of_the_sum() {
    let server = Server::start().await;
    let with = next(&server, json!({"text": "the", "top_k": 12})).await;
    let without = next(&server, json!({"text": "the", "top_k": 12, "special": false})).await;
    let kept: Vec<&Value> = with["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|token| token["id"].as_u64() > Some(1))
        .collect();
    assert_eq!(without["distribution"].as_array().unwrap().iter().collect::<Vec<_>>(), kept);
    assert_eq!(kept.len(), VOCABULARY.len() - 2);
    assert_eq!(without["entropy"], with["entropy"]);
}

#[tokio::test]
async fn an_octet_stream_is_the_full_vector_in_f32() {
    let server = Server::start().await;
    let full = next(&server, json!({"text": "the submarine", "full": true})).await;
    let octets = |request: Request| server.send(request.header("accept", "application/octet-stream"));
    let answer = octets(Request::new("POST", "/v1/next").json(&json!({"text": "the submarine"}))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"));
    let headers = ["x-position", "x-vocab-size", "x-unknown-count"].map(|name| answer.header(name));
    assert_eq!(headers, ["2", "12", "1"]);
    let values = answer.body.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    let expected: Vec<f32> = numbers(&full["logprobs"]).into_iter().map(|logprob| logprob as f32).collect();
    assert_eq!(values.collect::<Vec<_>>(), expected);
    assert_eq!(octets(Request::new("GET", "/v1/next?text=the%20submarine")).await.body, answer.body);
}

#[tokio::test]
async fn the_sampled_view_covers_only_the_tokens_that_the_filters_keep() {
    let server = Server::start().await;
    let model = next(&server, json!({"text": "the", "top_k": 12, "full": true})).await;
    let banned = &model["distribution"][0]["id"];
    let sampling = json!({"temperature": 0.5, "top_k": 3, "banned": [banned]});
    let body = json!({"text": "the", "full": true, "sampling": sampling, "candidates": [banned]});
    let sampled = next(&server, body).await;
    assert_eq!(sampled["view"], "sampled");
    assert_eq!(sampled["distribution"].as_array().unwrap().len(), 3);
    assert!((number(&sampled["top_mass"]) - 1.0).abs() < 1e-6);
    let nulls = sampled["logprobs"].as_array().unwrap().iter().filter(|logprob| logprob.is_null()).count();
    assert_eq!(nulls, VOCABULARY.len() - 3);
    let candidate = &sampled["candidates"][0];
    assert_eq!(
        (&candidate["prob"], &candidate["logprob"], &candidate["rank"]),
        (&json!(0.0), &Value::Null, &Value::Null)
    );
    // A temperature of 0.5 doubles every difference of log-probabilities.
    let ratio = |view: &Value, a: usize, b: usize| {
        let logprob = |id: usize| number(&view["logprobs"][id]);
        logprob(a) - logprob(b)
    };
    let ids: Vec<usize> = sampled["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["id"].as_u64().unwrap() as usize)
        .collect();
    assert!((ratio(&sampled, ids[0], ids[2]) - 2.0 * ratio(&model, ids[0], ids[2])).abs() < 1e-4);
    let greedy = next(&server, json!({"text": "the", "sampling": {"temperature": 0}})).await;
    assert_eq!(greedy["distribution"].as_array().unwrap().len(), 1);
    assert_eq!(greedy["distribution"][0]["prob"], 1.0);
}

#[tokio::test]
async fn the_questions_of_a_batch_are_answered_in_order_and_each_as_if_alone() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let entries = json!([
        {"text": "the sea"},
        {"text": "a", "tokens": [1]},
        {"session": "s", "text": "man", "top_k": 1},
        {"session": "nobody"},
        {"tokens": [2, 99]},
        {"model": "letters", "text": "ab"},
        {"session": "not an id"},
        {"txet": "a"},
        {"text": "a", "tokens": [1, true]},
        {"model": "nobody", "text": "a"},
        {"session": "s", "sampling": {"topk": 1}},
        7,
    ]);
    let answer = next(&server, json!({"requests": entries})).await;
    let responses = answer["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 12);
    assert_eq!(responses[0], next(&server, json!({"text": "the sea"})).await);
    assert_eq!(
        responses[2],
        server.post("/v1/sessions/s/next", json!({"text": "man", "top_k": 1})).await.expect(200)
    );
    assert_eq!(responses[5], next(&server, json!({"model": "letters", "text": "ab"})).await);
    for (index, code, param) in [
        (1, "invalid_value", json!("requests[1].tokens")),
        (3, "session_not_found", json!("requests[3].session")),
        (4, "token_out_of_range", json!("requests[4].tokens[1]")),
        (6, "invalid_value", json!("requests[6].session")),
        (7, "unknown_field", json!("requests[7].txet")),
        (8, "invalid_value", json!("requests[8].tokens[1]")),
        (9, "model_not_found", json!("requests[9].model")),
        (10, "unknown_field", json!("requests[10].sampling.topk")),
        (11, "invalid_value", json!("requests[11]")),
    ] {
        let error = &responses[index]["error"];
        assert_eq!((error["code"].as_str(), &error["param"]), (Some(code), &param), "{error}");
    }
    assert_eq!(next(&server, json!({"requests": []})).await, json!({"responses": []}));
}

#[tokio::test]
async fn the_questions_of_a_batch_are_computed_together() {
    let (served, mut gate) = gated();
    let server = Setup::over(vec![served]).start().await;
    let all_open = async {
        gate.entered().await;
        server.until_jobs(3).await;
        drop(gate);
    };
    let entries = ["b", "c", "d"].map(|text| json!({"text": text}));
    let (answer, ()) = tokio::join!(next(&server, json!({"requests": entries})), all_open);
    for (entry, response) in entries.into_iter().zip(answer["responses"].as_array().unwrap()) {
        assert_eq!(*response, next(&server, entry).await);
    }
}

#[tokio::test]
async fn a_batch_has_a_limit_and_excludes_other_fields() {
    let server = Setup::configured(|config| config.limits.max_requests = 2).start().await;
    let entries = |count| json!({"requests": vec![json!({"text": "a"}); count]});
    assert_eq!(next(&server, entries(2)).await["responses"].as_array().unwrap().len(), 2);
    let (param, message) = server.post("/v1/next", entries(3)).await.refused(422, "invalid_value");
    assert_eq!(param, "requests");
    assert!(message.contains("the maximum is 2"), "{message}");
    let mixed = json!({"requests": [], "text": "a"});
    assert_eq!(server.post("/v1/next", mixed).await.refused(422, "invalid_value").0, "requests");
    // Far above the limit, entries are counted while they are read.
    let endless = format!(r#"{{"requests": [{{}}{}]}}"#, ",{}".repeat(1 << 16));
    let (param, message) =
        server.send(Request::new("POST", "/v1/next").body(endless)).await.refused(422, "invalid_value");
    assert_eq!(param, "requests");
    assert!(message.contains("more than 65536 entries"), "{message}");
}

#[tokio::test]
async fn a_question_does_not_move_its_session() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let ahead = server.post("/v1/sessions/s/next", json!({"text": "man and"})).await;
    assert_eq!(ahead.header("x-session-id"), "s");
    assert_eq!(ahead.expect(200), next(&server, json!({"text": "the old man and"})).await);
    let here = server.post("/v1/sessions/s/next", json!({})).await.expect(200);
    assert_eq!(here, next(&server, json!({"text": "the old"})).await);
    assert_eq!(server.post("/v1/sessions/s/next", json!({})).await.expect(200), here);
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 2);
}

#[tokio::test]
async fn a_candidate_outside_the_vocabulary_is_marked() {
    let server = Server::start().await;
    let answer = next(
        &server,
        json!({"text": "the", "top_k": 0, "candidates": ["sea", "submarine", "old submarine of Nemo", 0]}),
    )
    .await;
    let marks = |field: &str| -> Vec<Value> {
        answer["candidates"].as_array().unwrap().iter().map(|candidate| candidate[field].clone()).collect()
    };
    assert_eq!(marks("unknown"), [json!(false), json!(true), json!(true), json!(true)]);
    assert_eq!(marks("unknown_count"), [json!(0), json!(1), json!(2), json!(1)]);
    assert_eq!(answer["top_mass"].to_string(), "0.0", "without a sign");
}

#[tokio::test]
async fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
    let server = Server::start().await;
    let plain = next(&server, json!({"tokens": [2, 3], "top_k": 2, "candidates": [4]})).await;
    let body = r#"{"tokens": [2.0, 3e0], "top_k": 2.0, "candidates": [4.0]}"#;
    assert_eq!(server.send(Request::new("POST", "/v1/next").body(body)).await.expect(200), plain);
    for (body, param) in [
        (r#"{"top_k": 2.5}"#, "top_k"),
        (r#"{"top_k": 1e17}"#, "top_k"),
        (r#"{"top_k": -2.0}"#, "top_k"),
        (r#"{"tokens": [4294967296.0]}"#, "tokens[0]"),
    ] {
        let answer = server.send(Request::new("POST", "/v1/next").body(body)).await;
        assert_eq!(answer.refused(422, "invalid_value").0, param, "{body}");
    }
}
