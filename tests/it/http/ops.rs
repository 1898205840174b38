//! Probes, metrics, models, tokens, request ids, and the OpenAPI document.

use rnnlm_server::clock::Clock;
use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::server::{Server, Setup};

#[tokio::test]
async fn probes_answer_and_request_ids_are_echoed() {
    let server = Server::start().await;
    for target in ["/livez", "/readyz", "/health"] {
        assert_eq!(server.get(target).await.expect(200)["status"], "ok");
    }
    for (target, status) in [("/v1/next", 200), ("/v1/sessions/nobody/next", 404)] {
        let request = Request::new("POST", target).header("x-request-id", "req-7").json(&json!({}));
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.header("x-request-id")), (status, "req-7"));
    }
    assert_ne!(
        server.get("/livez").await.header("x-request-id"),
        server.get("/livez").await.header("x-request-id")
    );
}

#[tokio::test]
async fn a_model_is_described() {
    let server = Server::start().await;
    let list = server.get("/v1/models").await.expect(200);
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    let names: Vec<&Value> = models.iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["letters", "words"]);
    let words = server.get("/v1/models/words").await.expect(200);
    assert_eq!(words, models[1]);
    // An embedding of 12x6, layers of 8 and 5 units with two biases each, and an output layer of 12x5 with a bias.
    let parameters = 12 * 6 + 4 * 8 * (6 + 8 + 2) + 4 * 5 * (8 + 5 + 2) + 12 * (5 + 1);
    for (field, expected) in [
        ("object", json!("model")),
        ("default", json!(true)),
        ("cell", json!("lstm")),
        ("vocab_size", json!(12)),
        ("hidden_sizes", json!([8, 5])),
        ("parameter_count", json!(parameters)),
        ("weights_dtype", json!("f32")),
        ("state_bytes", json!(104)),
        ("backend", json!("native")),
        ("tokenizer_kind", json!("whitespace")),
    ] {
        assert_eq!(words[field], expected, "{field}");
    }
    for hash in ["identity", "tokenizer_sha256"] {
        assert_eq!(words[hash].as_str().map(str::len), Some(64), "{hash}");
    }
    assert!(words["created"].as_u64() > Some(1_600_000_000) && words["owned_by"].is_string());
    assert_eq!((&models[0]["default"], &models[0]["cell"]), (&json!(false), &json!("gru")));
}

#[tokio::test]
async fn a_text_is_tokenized_and_its_tokens_give_the_text() {
    let server = Server::start().await;
    let answer = server.post("/v1/tokenize", json!({"text": "the submarine\nsea"})).await.expect(200);
    assert_eq!((&answer["tokens"], &answer["unknown_count"]), (&json!([2, 0, 1, 3]), &json!(1)));
    let pieces = answer["pieces"].as_array().unwrap();
    assert_eq!(
        pieces[1],
        json!({"id": 0, "token": "<unk>", "text": " <unk>", "start": 4, "end": 13, "unknown": true})
    );
    assert_eq!((&pieces[2]["text"], &pieces[3]["text"]), (&json!("\n"), &json!("sea")));
    let text: String = pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect();
    let joined = server.post("/v1/detokenize", json!({"tokens": answer["tokens"]})).await.expect(200);
    assert_eq!(joined, json!({"text": text}));
    let letters = json!({"model": "letters", "text": "b é\n"});
    assert_eq!(server.post("/v1/tokenize", letters).await.expect(200)["tokens"], json!([1, 5, 6, 7]));
    let nothing = json!({"tokens": [], "pieces": [], "unknown_count": 0});
    assert_eq!(server.post("/v1/tokenize", json!({})).await.expect(200), nothing);
    assert_eq!(server.post("/v1/detokenize", json!({})).await.expect(200), json!({"text": ""}));
}

#[tokio::test]
async fn metrics_count_sessions_tokens_and_requests() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the submarine"})).await.expect(201);
    server.post("/v1/sessions/s/next", json!({})).await.expect(200);
    let metrics = server.get("/metrics").await.text();
    for line in [
        r#"rnnlm_sessions{model="words"} 1"#,
        r#"rnnlm_unknown_tokens_total{model="words"} 1"#,
        r#"rnnlm_http_requests_total{route="/v1/sessions/{id}/next",method="POST",status="200"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("submarine"), "labels contain no text");
}

#[tokio::test]
async fn stats_are_totals_without_ids_or_text() {
    let clock = Clock::manual();
    let server = Setup { clock: clock.clone(), ..Setup::default() }.start().await;
    let fresh = server.get("/v1/stats").await.expect(200);
    assert_eq!(fresh["tokens"], json!({"prompt": 0, "generated": 0, "scored": 0}));
    assert_eq!(fresh["time_to_first_token"], json!({"count": 0, "total_seconds": 0.0}));
    server.post("/v1/sessions", json!({"id": "hidden", "text": "the submarine sea"})).await.expect(201);
    let generation = json!({"model": "letters", "text": "ab", "max_tokens": 4, "seed": 1});
    let generated = server.post("/v1/generate", generation).await.expect(200);
    let scored = server.post("/v1/score", json!({"text": "the sea a ship"})).await.expect(200);
    clock.advance(std::time::Duration::from_secs(5));
    let stats = server.get("/v1/stats").await.expect(200);
    assert_eq!(stats["tokens"]["generated"], generated["usage"]["completion_tokens"]);
    assert_eq!(stats["tokens"]["scored"], scored["total"]["scored_count"]);
    assert!(stats["tokens"]["prompt"].as_u64() >= Some(5), "{stats}");
    assert_eq!((&stats["sessions"], &stats["unknown_tokens"]), (&json!(1), &json!(1)));
    assert!(stats["sessions_bytes"].as_u64() > Some(0));
    assert_eq!((&stats["requests_waiting"], &stats["time_to_first_token"]["count"]), (&json!(0), &json!(1)));
    assert!(stats["uptime_seconds"].as_f64() >= Some(5.0), "{stats}");
    let text = stats.to_string();
    assert!(!text.contains("hidden") && !text.contains("submarine") && !text.contains("letters"), "{text}");
}

#[tokio::test]
async fn requests_are_timed_by_the_clock_that_is_passed_in() {
    let server = Setup { clock: Clock::manual(), ..Setup::default() }.start().await;
    server.get("/v1/models").await.expect(200);
    let metrics = server.get("/metrics").await.text();
    let line = r#"rnnlm_http_request_duration_seconds_sum{route="/v1/models"} 0.0"#;
    assert!(metrics.contains(line), "{line} is not in {metrics}");
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_every_route_answers() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    for (method, path) in [
        ("get", "/livez"),
        ("get", "/readyz"),
        ("get", "/health"),
        ("get", "/metrics"),
        ("get", "/openapi.json"),
        ("get", "/v1/info"),
        ("get", "/v1/stats"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{model}"),
        ("post", "/v1/tokenize"),
        ("post", "/v1/detokenize"),
        ("get", "/v1/next"),
        ("post", "/v1/next"),
        ("get", "/v1/sessions"),
        ("post", "/v1/sessions"),
        ("get", "/v1/sessions/{id}"),
        ("delete", "/v1/sessions/{id}"),
        ("post", "/v1/generate"),
        ("post", "/v1/score"),
        ("post", "/v1/sessions/{id}/next"),
        ("post", "/v1/sessions/{id}/generate"),
        ("post", "/v1/sessions/{id}/score"),
        ("post", "/v1/sessions/{id}/append"),
        ("post", "/v1/sessions/{id}/fork"),
        ("post", "/v1/sessions/{id}/reset"),
    ] {
        assert!(paths.get(path).and_then(|item| item.get(method)).is_some(), "{method} {path} is missing");
    }
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let target = path.replace("{id}", "nobody").replace("{model}", "nobody");
            let answer = server.send(Request::new(&method.to_uppercase(), target)).await;
            let known = answer.status != 404 || answer.json()["error"]["code"] != "route_not_found";
            assert!(known && answer.status != 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_pieces_of_a_text_have_a_limit_and_can_be_left_out() {
    let server = Setup::configured(|config| {
        config.limits.max_pieces = 3;
        config.limits.max_prompt_tokens = 5;
    });
    let server = server.start().await;
    let ids = json!([2, 3, 4, 5]);
    let without =
        server.post("/v1/tokenize", json!({"text": "the sea a ship", "pieces": false})).await.expect(200);
    assert_eq!(without, json!({"tokens": ids, "unknown_count": 0}));
    let (param, message) =
        server.post("/v1/tokenize", json!({"text": "the sea a ship"})).await.refused(422, "text_too_long");
    assert_eq!(param, "text");
    assert!(message.contains("more than 3 tokens") && message.contains("`--max-pieces`"), "{message}");
    let long = json!({"text": "the sea a ship the sea", "pieces": false});
    let (param, message) = server.post("/v1/tokenize", long).await.refused(422, "text_too_long");
    assert_eq!(param, "text");
    assert!(message.contains("more than 5 tokens") && message.contains("`--max-prompt-tokens`"), "{message}");
}
