//! Several continuations of one request, and the sessions that they become.

use serde_json::{Value, json};

use super::events::{Event, Events};
use super::generate::{session, standing};
use crate::harness::client::Request;
use crate::harness::models::letters;
use crate::harness::server::{Server, Setup};

const GENERATE: &str = "/v1/generate";

pub(crate) async fn generate(server: &Server, body: Value) -> Value {
    server.post(GENERATE, body).await.expect(200)
}

pub(crate) async fn stream(server: &Server, target: &str, mut body: Value) -> Vec<Event> {
    body["stream"] = json!(true);
    Events::new(server.open(Request::new("POST", target).json(&body)).await).rest().await
}

pub(crate) fn choices(answer: &Value) -> &Vec<Value> {
    answer["choices"].as_array().unwrap()
}

pub(crate) fn ids(choice: &Value) -> Vec<u64> {
    choice["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// The log-probabilities of all tokens after a session, which are the same numbers only for the same state.
async fn distribution(server: &Server, path: &str) -> Value {
    server.post(&format!("{path}/next"), json!({"full": true})).await.expect(200)["logprobs"].clone()
}

#[tokio::test]
async fn choice_i_does_not_depend_on_how_many_choices_there_are() {
    let server = Server::start().await;
    let body =
        |n: usize| json!({"text": "the old zebra", "max_tokens": 12, "seed": 4, "n": n, "top_logprobs": 2});
    let many = generate(&server, body(5)).await;
    assert_eq!(choices(&many).len(), 5);
    for n in 1..5 {
        assert_eq!(*choices(&generate(&server, body(n)).await), choices(&many)[..n]);
    }
    for (index, choice) in choices(&many).iter().enumerate() {
        assert_eq!((&choice["index"], ids(choice).len()), (&json!(index), 12));
        assert!(choices(&many)[..index].iter().all(|other| ids(other) != ids(choice)));
    }
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 60, "total_tokens": 63});
    assert_eq!((&many["usage"], &many["unknown_count"]), (&usage, &json!(1)));
    let greedy = generate(&server, json!({"text": "the", "n": 3, "temperature": 0, "max_tokens": 5})).await;
    assert!(choices(&greedy).iter().all(|choice| ids(choice) == ids(&choices(&greedy)[0])));
}

#[tokio::test]
async fn a_stream_of_several_choices_has_the_texts_of_the_answer_without_a_stream() {
    let server = Setup::over(vec![letters()]).start().await;
    let free = json!({"text": "ab", "max_tokens": 40, "seed": 9, "n": 4});
    let first = generate(&server, free.clone()).await;
    let stop: String = choices(&first)[2]["text"].as_str().unwrap().chars().skip(10).take(2).collect();
    let mut body = free;
    body["stop"] = json!([stop]);
    let whole = generate(&server, body.clone()).await;
    let counts: Vec<_> = choices(&whole).iter().map(|choice| choice["token_count"].clone()).collect();
    assert!(counts.iter().any(|count| *count != counts[0]), "they end at different places: {counts:?}");
    let events = stream(&server, GENERATE, body).await;
    let done = &events.last().unwrap().data;
    for (index, choice) in choices(&whole).iter().enumerate() {
        let own = events.iter().filter(|event| event.name == "token" && event.data["choice"] == index);
        let mut text = String::new();
        let mut tokens = Vec::new();
        for (at, event) in own.enumerate() {
            assert_eq!(event.data["index"], at);
            text += event.data["text"].as_str().unwrap();
            tokens.push(event.data["id"].as_u64().unwrap());
        }
        let ended = &done["choices"][index];
        text += ended["text"].as_str().unwrap();
        assert_eq!((json!(text), tokens), (choice["text"].clone(), ids(choice)));
        for field in ["index", "finish_reason", "token_count", "logprob"] {
            assert_eq!(ended[field], choice[field], "{field}");
        }
    }
    assert_eq!(done["usage"], whole["usage"]);
}

#[tokio::test]
async fn several_choices_leave_a_session_where_it_is() {
    let server = Server::start().await;
    let path = session(&server, "the old").await;
    let before = distribution(&server, &path).await;
    let target = format!("{path}/generate");
    for (body, param) in [
        (json!({"n": 2}), "n"),
        (json!({"beam": {"width": 2}}), "beam"),
        (json!({"beam": {"width": 1}}), "beam"),
        (json!({"n": 2, "fork": true, "expected_position": 2}), "expected_position"),
        (json!({"fork": true, "expected_position": 2}), "expected_position"),
    ] {
        let (found, message) = server.post(&target, body.clone()).await.refused(422, "invalid_value");
        assert_eq!(found, param, "{body}: {message}");
    }
    for body in [
        json!({"text": "man", "n": 3, "commit": false, "max_tokens": 5}),
        json!({"text": "man", "n": 3, "fork": true, "max_tokens": 5}),
        json!({"text": "man", "beam": {"width": 3}, "commit": false, "max_tokens": 5}),
        json!({"text": "man", "beam": {"width": 3}, "n": 2, "fork": true, "max_tokens": 5}),
    ] {
        let answer = server.post(&target, body).await.expect(200);
        assert_eq!((answer.get("session"), standing(&server, &path)), (None, (2, false)));
        assert_eq!(distribution(&server, &path).await, before);
    }
}

#[tokio::test]
async fn a_forked_choice_is_a_session_that_has_read_its_tokens() {
    let server = Server::start().await;
    let create = json!({"id": "s", "text": "the old man", "rewind_tokens": 8, "ttl_seconds": 600});
    server.post("/v1/sessions", create).await.expect(201);
    for body in [
        json!({"text": "and the", "n": 3, "fork": true, "max_tokens": 9, "seed": 1}),
        json!({"text": "and the", "n": 2, "fork": true, "max_tokens": 9, "seed": 1, "stop_at_eos": true, "logit_bias": {"1": 3}}),
        json!({"text": "and the", "n": 3, "fork": true, "max_tokens": 6, "beam": {"width": 4}}),
        json!({"n": 2, "fork": true, "max_tokens": 0}),
        json!({"text": "sea", "fork": true, "max_tokens": 4, "seed": 2}),
    ] {
        let answer = server.post("/v1/sessions/s/generate", body.clone()).await.expect(200);
        let text = body["text"].as_str().unwrap_or_default();
        for choice in choices(&answer) {
            let forked = format!("/v1/sessions/{}", choice["session"]["id"].as_str().unwrap());
            let replay = server.post("/v1/sessions/s/fork", json!({})).await.expect(201);
            let replay = format!("/v1/sessions/{}", replay["id"].as_str().unwrap());
            for part in [json!({"text": text}), json!({"tokens": choice["tokens"]})] {
                let _ = server.post(&format!("{replay}/append"), part).await;
            }
            assert_eq!(choice["session"]["position"], json!(standing(&server, &replay).0), "{body}");
            assert_eq!(distribution(&server, &forked).await, distribution(&server, &replay).await, "{body}");
            let position = standing(&server, &forked).0 - 3;
            for path in [&forked, &replay] {
                server.post(&format!("{path}/rewind"), json!({"position": position})).await.expect(200);
            }
            assert_eq!(distribution(&server, &forked).await, distribution(&server, &replay).await, "{body}");
            let seconds = |time: &Value| humantime_seconds(time.as_str().unwrap());
            let info = server.get(&forked).await.expect(200);
            let lives = seconds(&info["expires_at"]) - seconds(&info["last_used_at"]);
            assert!((lives - 600.0).abs() < 1.0, "it lives as long as the original: {lives} s");
        }
    }
    assert_eq!(standing(&server, "/v1/sessions/s"), (3, false));
}

fn humantime_seconds(time: &str) -> f64 {
    let of_day: Vec<f64> =
        time[11..time.len() - 1].split(':').map(|part| part.parse::<f64>().unwrap()).collect();
    let day: f64 = time[8..10].parse().unwrap();
    ((day * 24.0 + of_day[0]) * 60.0 + of_day[1]) * 60.0 + of_day[2]
}

#[tokio::test]
async fn a_text_without_a_session_can_become_sessions() {
    let server = Server::start().await;
    let body = json!({"text": "the sea", "n": 2, "fork": true, "max_tokens": 5, "seed": 3});
    let whole = generate(&server, body.clone()).await;
    let events = stream(&server, GENERATE, body).await;
    let done = &events.last().unwrap().data;
    assert_eq!(events[0].data.get("session"), None);
    for (choice, ended) in choices(&whole).iter().zip(choices(done)) {
        assert_ne!(choice["session"]["id"], ended["session"]["id"]);
        let paths =
            [choice, ended].map(|one| format!("/v1/sessions/{}", one["session"]["id"].as_str().unwrap()));
        assert_eq!(choice["session"]["position"], 7);
        assert_eq!(distribution(&server, &paths[0]).await, distribution(&server, &paths[1]).await);
    }
}

#[tokio::test]
async fn if_there_is_no_room_for_all_sessions_none_is_created() {
    let setup = Setup::configured(|config| {
        config.sessions.sessions_max = 3;
        config.sessions.evict = rnnlm_server::config::Evict::None;
    });
    let server = setup.start().await;
    let body = |n: usize| json!({"text": "the", "n": n, "fork": true, "max_tokens": 2, "seed": 1});
    let (_, _) = server.post(GENERATE, body(4)).await.refused(503, "sessions_full");
    let list = server.get("/v1/sessions").await.expect(200);
    assert_eq!(list["data"], json!([]));
    let events = stream(&server, GENERATE, body(4)).await;
    assert_eq!(events.last().unwrap().data["error"]["code"], "sessions_full");
    server.post(GENERATE, body(3)).await.expect(200);
}
