//! `/v1/sessions/{id}/state`: states leave a server and come back, there or elsewhere, unless they are damaged or foreign.

use std::net::SocketAddr;
use std::time::Duration;

use rnnlm_server::clock::Clock;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::client::{Answer, Request};
use crate::harness::models::{letters, words};
use crate::harness::root;
use crate::harness::server::{Server, Setup};

pub(crate) async fn put(server: &Server, target: &str, state: &[u8]) -> Answer {
    put_into(server.address, target, state).await
}

/// The same on the server at `address`.
pub(crate) async fn put_into(address: SocketAddr, target: &str, state: &[u8]) -> Answer {
    let request = Request::new("PUT", format!("/v1/sessions/{target}"));
    let request = request.header("content-type", "application/octet-stream").body(state);
    request.open(address).await.whole().await
}

pub(crate) async fn export(server: &Server, id: &str) -> Vec<u8> {
    let answer = server.get(&format!("/v1/sessions/{id}/state")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/octet-stream"));
    answer.body
}

/// What follows in the session `id`: the whole distribution, and a text that is drawn.
async fn what_follows(server: &Server, id: &str) -> Value {
    let next = server.post(&format!("/v1/sessions/{id}/next"), json!({"full": true})).await.expect(200);
    let body = json!({"max_tokens": 20, "seed": 5, "commit": false, "token_logprobs": true});
    let drawn = server.post(&format!("/v1/sessions/{id}/generate"), body).await.expect(200);
    json!({"next": next["logprobs"], "position": next["position"], "choices": drawn["choices"]})
}

#[tokio::test]
async fn a_session_that_is_moved_to_another_process_continues_bit_for_bit() {
    let here = Server::start().await;
    let there = Setup::configured(|config| config.engine.engine_threads = 2).start().await;
    for (model, text, more) in [("words", "the old man and the ", "sea sings"), ("letters", "abé\n", "cd e")]
    {
        let id = model;
        here.post("/v1/sessions", json!({"id": id, "model": model, "text": text})).await.expect(201);
        let state = export(&here, id).await;
        let made = put(&there, &format!("{id}/state"), &state).await;
        assert_eq!(made.header("location"), format!("/v1/sessions/{id}"));
        assert_eq!(made.expect(201)["model"], model);
        assert_eq!(what_follows(&there, id).await, what_follows(&here, id).await);
        let append = json!({"text": more, "token_logprobs": true});
        let mut appended = Vec::new();
        for server in [&here, &there] {
            appended
                .push(server.post(&format!("/v1/sessions/{id}/append"), append.clone()).await.expect(200));
        }
        assert_eq!(appended[0], appended[1]);
        assert_eq!(what_follows(&there, id).await, what_follows(&here, id).await);
        assert_eq!(export(&there, id).await.len(), export(&here, id).await.len());
    }
}

#[tokio::test]
async fn a_state_replaces_that_of_a_session_which_keeps_the_rest() {
    let server = Setup { clock: Clock::manual(), ..Setup::default() }.start().await;
    let create = json!({"id": "s", "text": "the old man", "ttl_seconds": 100, "rewind_tokens": 10});
    server.post("/v1/sessions", create).await.expect(201);
    let state = export(&server, "s").await;
    let before = what_follows(&server, "s").await;
    server.post("/v1/sessions/s/append", json!({"text": "and the sea"})).await.expect(200);
    put(&server, "s/state?expected_position=3", &state).await.refused(412, "position_mismatch");
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 6);
    let answer = put(&server, "s/state?expected_position=6", &state).await;
    assert_eq!(answer.header("x-session-position"), "3");
    assert_eq!(answer.expect(200)["position"], 3);
    assert_eq!(what_follows(&server, "s").await, before);

    // It cannot go back behind the state, but to it.
    let (param, message) =
        server.post("/v1/sessions/s/rewind", json!({"position": 2})).await.refused(422, "invalid_value");
    assert_eq!(param, "position");
    assert!(message.contains("the oldest position kept is 3"), "{message}");
    server.post("/v1/sessions/s/append", json!({"text": "a ship"})).await.expect(200);
    server.post("/v1/sessions/s/rewind", json!({"position": 3})).await.expect(200);
    assert_eq!(what_follows(&server, "s").await, before);

    server.advance(Duration::from_secs(99));
    let copy = put(&server, "copy/state?model=words", &state).await;
    assert_eq!(copy.expect(201)["position"], 3);
    // An export is no use of the session, which still lives for its own time.
    export(&server, "s").await;
    server.advance(Duration::from_secs(1));
    server.get("/v1/sessions/s/state").await.refused(410, "session_expired");
    assert_eq!(what_follows(&server, "copy").await, before);
    put(&server, "s/state?expected_position=3", &state).await.refused(410, "session_expired");
}

#[tokio::test]
async fn a_session_is_created_at_a_state() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old"})).await.expect(201);
    let state = base64::encode(export(&server, "s").await);
    let create = json!({"id": "t", "state": state, "text": "man and", "rewind_tokens": 8});
    let made = server.post("/v1/sessions", create).await.expect(201);
    assert_eq!((&made["position"], &made["model"]), (&json!(4), &json!("words")));
    server.post("/v1/sessions/s/append", json!({"text": "man and"})).await.expect(200);
    assert_eq!(what_follows(&server, "t").await, what_follows(&server, "s").await);
    server.post("/v1/sessions/t/rewind", json!({"position": 2})).await.expect(200);

    for (state, model) in [("", "words"), ("?", "words"), ("AAAA", "words"), (&*state, "letters")] {
        let create = json!({"id": "u", "state": state, "model": model});
        let (param, _) = server.post("/v1/sessions", create).await.refused(422, "state_mismatch");
        assert_eq!(param, "state");
    }
    server.get("/v1/sessions/u").await.refused(404, "session_not_found");
}

#[tokio::test]
async fn a_foreign_state_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    for model in ["words", "letters"] {
        let create = json!({"id": model, "model": model, "tokens": [2, 3]});
        server.post("/v1/sessions", create).await.expect(201);
    }
    let state = export(&server, "letters").await;
    let before = what_follows(&server, "words").await;
    let (_, message) = put(&server, "words/state", &state).await.refused(422, "state_mismatch");
    assert!(message.contains("tensor"), "{message}");
    put(&server, "new/state?model=words", &state).await.refused(422, "state_mismatch");
    put(&server, "new/state?model=nobody", &state).await.refused(404, "model_not_found");
    put(&server, "words/state?model=letters", &state).await.refused(422, "invalid_value");
    put(&server, "new/state?expected_position=2", &state).await.refused(404, "session_not_found");
    assert_eq!(what_follows(&server, "words").await, before);
    server.get("/v1/sessions/new").await.refused(404, "session_not_found");

    // A server without the model.
    let other = Setup::over(vec![words()]).start().await;
    let (_, message) = put(&other, "new/state", &state).await.refused(422, "state_mismatch");
    assert!(message.contains("`letters`"), "{message}");
}

#[tokio::test]
async fn every_damaged_byte_is_found_or_changes_nothing() {
    let server = Setup::over(vec![letters()]).start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "abc"})).await.expect(201);
    let state = export(&server, "s").await;
    let before = what_follows(&server, "s").await;
    let mut refused = 0;
    for at in 0..state.len() {
        let mut damaged = state.clone();
        damaged[at] ^= 1 << (at % 8);
        let answer = put(&server, "s/state", &damaged).await;
        match answer.status {
            422 => {
                answer.refused(422, "state_mismatch");
                refused += 1;
            }
            _ => assert_eq!(answer.expect(200)["position"], 3, "byte {at}"),
        }
    }
    assert_eq!(what_follows(&server, "s").await, before);
    // The others are in the name of the model, which says nothing beside the identity.
    assert!(refused >= state.len() - 20, "{refused} of {}", state.len());
    for len in [0, 1, 7, 8, 9, state.len() / 2, state.len() - 1] {
        put(&server, "s/state", &state[..len]).await.refused(422, "state_mismatch");
    }
}

#[tokio::test]
async fn only_bytes_within_the_limit_are_taken() {
    let server = Setup::configured(|config| config.http.max_body.0 = 2000).start().await;
    put(&server, "s/state", &[0; 2001]).await.refused(413, "body_too_large");
    put(&server, "s/state", &[0; 2000]).await.refused(422, "state_mismatch");
    let json = Request::new("PUT", "/v1/sessions/s/state").json(&json!({}));
    server.send(json).await.refused(415, "unsupported_media_type");
    put(&server, "s/state?what=1", &[]).await.refused(422, "unknown_field");
}

#[tokio::test]
async fn the_vectors_of_a_state_are_shown_with_their_norms() {
    let server = Setup::configured(|config| config.limits.max_answer.0 = 1000).start().await;
    for model in ["words", "letters"] {
        server.post("/v1/sessions", json!({"id": model, "model": model, "tokens": [2, 3]})).await.expect(201);
        let request = Request::new("GET", format!("/v1/sessions/{model}/state"));
        let shown = server.send(request.header("accept", "application/json")).await.expect(200);
        assert_eq!((&shown["model"], &shown["position"]), (&json!(model), &json!(2)));
        let file = export(&server, model).await;
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let layers = shown["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for (index, layer) in layers.iter().enumerate() {
            assert_eq!(layer.get("c").is_some(), model == "words", "an LSTM has cells, a GRU has none");
            for name in ["h", "c"].into_iter().filter(|name| layer.get(name).is_some()) {
                let tensor = tensors.tensor(&format!("{name}_l{index}")).unwrap();
                let (bytes, _) = tensor.data().as_chunks();
                let expected: Vec<f32> = bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                assert_eq!(tensor.shape(), [[8, 5][index]]);
                let found: Vec<f32> = serde_json::from_value(layer[name].clone()).unwrap();
                assert_eq!(found, expected);
                let norm =
                    expected.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
                let shown = layer[format!("{name}_norm")].as_f64().unwrap();
                assert!(norm > 0.0 && (shown - norm).abs() < 1e-12, "{shown}, expected {norm}");
            }
        }
    }
    let server = Setup::configured(|config| config.limits.max_answer.0 = 10).start().await;
    server.post("/v1/sessions", json!({"id": "s"})).await.expect(201);
    let request = Request::new("GET", "/v1/sessions/s/state").header("accept", "application/json");
    let (_, message) = server.send(request).await.refused(422, "invalid_value");
    assert!(message.contains("--max-answer"), "{message}");
}

/// The file of `state` with the first number of `tensor` replaced, and a checksum to match.
fn with_number(state: &[u8], tensor: &str, value: f32) -> Vec<u8> {
    let file = SafeTensors::deserialize(state).unwrap();
    let (_, header) = SafeTensors::read_metadata(state).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    let mut names: Vec<String> = file.names().into_iter().map(ToString::to_string).collect();
    // By layer, and h before c.
    names.sort_by_key(|name| (name[1..].to_owned(), name.starts_with('c')));
    let mut tensors: Vec<Vec<u8>> =
        names.iter().map(|name| file.tensor(name).unwrap().data().to_vec()).collect();
    let changed = names.iter().position(|name| name == tensor).unwrap();
    tensors[changed][..4].copy_from_slice(&value.to_le_bytes());
    let position = metadata["position"].parse::<u64>().unwrap().to_le_bytes();
    let tail = metadata["tail"].split_ascii_whitespace();
    let tail: Vec<u8> = tail.flat_map(|token| token.parse::<u32>().unwrap().to_le_bytes()).collect();
    let values = tensors.concat();
    let mut digest = Sha256::new();
    for field in [metadata["identity"].as_bytes(), &position, &tail, metadata["joint"].as_bytes(), &values] {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    let checksum: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    metadata.insert("checksum".to_owned(), checksum);
    let views = names.iter().zip(&tensors).map(|(name, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).unwrap())
    });
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// States that were exported before there were caches: a file as people keep it.
#[tokio::test]
async fn a_file_from_before_there_were_caches_still_loads() {
    let server = Server::start().await;
    for (model, text) in [("words", "the old man"), ("letters", "abé\n")] {
        let file = root().join(format!("tests/data/state-{model}.safetensors"));
        if std::env::var_os("STATES").is_some_and(|what| what == "write") {
            let create = json!({"id": "new", "model": model, "text": text, "replace": true});
            server.post("/v1/sessions", create).await.expect(201);
            std::fs::write(&file, export(&server, "new").await).unwrap();
        }
        let state = std::fs::read(file).unwrap();
        let (_, header) = SafeTensors::read_metadata(&state).unwrap();
        let metadata = header.metadata().clone().unwrap();
        assert!(metadata.keys().all(|key| !key.contains("cache")), "{metadata:?}");
        let made = put(&server, &format!("{model}/state"), &state).await.expect(201);
        assert_eq!(made["model"], model);
        let create = json!({"id": "fresh", "model": model, "text": text, "replace": true});
        server.post("/v1/sessions", create).await.expect(201);
        assert_eq!(what_follows(&server, model).await, what_follows(&server, "fresh").await);
        let described = Request::new("GET", format!("/v1/sessions/{model}/state"));
        let described = server.send(described.header("accept", "application/json")).await.expect(200);
        assert!(described.get("cache").is_none());

        // It can be given a cache, which remembers from there.
        let state = base64::encode(&state);
        let cached = json!({"state": state, "cache": {"lambda": 0.5}, "text": "a a", "full": true});
        let bare = json!({"state": state, "text": "a a", "full": true});
        let cached = server.post("/v1/next", cached).await.expect(200);
        assert_ne!(cached, server.post("/v1/next", bare).await.expect(200), "{model}");
    }
}

#[tokio::test]
async fn a_crafted_state_is_refused_or_continues_and_is_never_an_internal_error() {
    let server = Server::start().await;
    for model in ["words", "letters"] {
        server.post("/v1/sessions", json!({"id": model, "model": model, "tokens": [2, 3]})).await.expect(201);
        let state = export(&server, model).await;
        let honest = SafeTensors::deserialize(&state).unwrap();
        let first = |tensor: &str| honest.tensor(tensor).unwrap().data().first_chunk().copied().unwrap();
        let same = with_number(&state, "h_l0", f32::from_le_bytes(first("h_l0")));
        put(&server, &format!("{model}/state"), &same).await.expect(200);
        let before = what_follows(&server, model).await;
        for value in [1e38, -3e38, 1.5, f32::MAX, f32::INFINITY, f32::NAN] {
            for tensor in ["h_l0", "h_l1"] {
                let crafted = with_number(&state, tensor, value);
                put(&server, &format!("{model}/state"), &crafted).await.refused(422, "state_mismatch");
                let body = json!({"model": model, "state": base64::encode(&crafted), "tokens": [2]});
                for route in ["next", "generate", "suggest"] {
                    let answer = server.post(&format!("/v1/{route}"), body.clone()).await;
                    assert_eq!(answer.refused(422, "state_mismatch").0, "state", "{tensor} {value} {route}");
                }
            }
        }
        assert_eq!(what_follows(&server, model).await, before, "nothing has changed");
    }
    // The memory of an LSTM grows without bounds, and no size of it makes a number that is not finite.
    let state = export(&server, "words").await;
    for (index, value) in [1e38, -f32::MAX].into_iter().enumerate() {
        for tensor in ["c_l0", "c_l1"] {
            let id = format!("{tensor}-{index}");
            put(&server, &format!("{id}/state"), &with_number(&state, tensor, value)).await.expect(201);
            server.post(&format!("/v1/sessions/{id}/append"), json!({"tokens": [2, 3]})).await.expect(200);
            what_follows(&server, &id).await;
        }
    }
    put(&server, "c/state", &with_number(&state, "c_l0", f32::INFINITY)).await.refused(422, "state_mismatch");
}
