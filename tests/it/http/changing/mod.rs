//! Models are loaded, replaced and unloaded while the server runs.

mod random;
mod refused;
pub(crate) mod world;

use std::time::Duration;

use rnnlm_server::config::{Config, SessionStore};
use serde_json::json;

use super::events::{Events, text, tokens};
use world::{World, alter};

#[tokio::test]
async fn the_same_weights_read_again_move_no_bit_of_a_session() {
    let world = World::start().await;
    let identity = world.identity("words").await;
    world.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    let question = json!({"text": "and the", "full": true});
    let state = world.state("s").await;
    let next = world.post("/v1/sessions/s/next", question.clone()).await.expect(200);
    for _ in 0..3 {
        world.rewrite("words");
        let changed = world.change("words", "reload").await.expect(200);
        assert_eq!(
            changed,
            json!({"model": "words", "change": "reloaded", "identity": identity, "previous_identity": identity,
                "sessions_ended": 0, "models": ["letters", "words"]})
        );
        assert_eq!(world.state("s").await, state);
        assert_eq!(world.post("/v1/sessions/s/next", question.clone()).await.expect(200), next);
    }
    let position = world.post("/v1/sessions/s/append", json!({"text": "and"})).await.expect(200);
    assert_eq!(position["position"], 4);
}

#[tokio::test]
async fn a_session_of_changed_weights_is_told_why_it_cannot_go_on() {
    let world = World::start().await;
    let before = world.identity("words").await;
    for id in ["s", "t", "u"] {
        world.post("/v1/sessions", json!({"id": id, "text": "the old man"})).await.expect(201);
    }
    world.post("/v1/sessions", json!({"id": "letters", "model": "letters", "text": "ab"})).await.expect(201);
    let exported = world.get("/v1/sessions/s/state").await.body;
    world.alter("words");
    let changed = world.change("words", "reload").await.expect(200);
    let after = world.identity("words").await;
    assert_ne!(after, before);
    assert_eq!(
        changed,
        json!({"model": "words", "change": "reloaded", "identity": after, "previous_identity": before,
            "sessions_ended": 3, "models": ["letters", "words"]})
    );
    let (_, message) = world.get("/v1/sessions/s").await.refused(410, "model_changed");
    assert!(message.contains(&before) && message.contains(&after), "{message}");
    world.get("/v1/sessions/s/state").await.refused(410, "model_changed");
    for (action, body) in [
        ("next", json!({})),
        ("append", json!({"text": "sea"})),
        ("generate", json!({"max_tokens": 2})),
        ("suggest", json!({})),
        ("score", json!({"continuations": ["sea"]})),
        ("fork", json!({})),
        ("reset", json!({})),
        ("rewind", json!({"position": 0})),
    ] {
        world.post(&format!("/v1/sessions/s/{action}"), body).await.refused(410, "model_changed");
    }
    let batch =
        world.post("/v1/next", json!({"requests": [{"session": "s"}, {"text": "the"}]})).await.expect(200);
    assert_eq!(batch["responses"][0]["error"]["code"], "model_changed");
    assert!(batch["responses"][1]["distribution"].is_array());
    let completion = json!({"model": "words", "session_id": "s", "prompt": "the", "max_tokens": 1});
    world.post("/v1/completions", completion).await.refused(410, "model_changed");

    // Its state is refused with the identities, its id is free, and another model's session continues.
    let state = json!({"id": "v", "state": base64::encode(&exported)});
    world.post("/v1/sessions", state).await.refused(422, "state_mismatch");
    world.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    assert_eq!(world.get("/v1/sessions/s").await.expect(200)["position"], 1);
    world.delete("/v1/sessions/t").await.expect(204);
    world.get("/v1/sessions/t").await.refused(404, "session_not_found");
    world.post("/v1/sessions/letters/append", json!({"text": "c"})).await.expect(200);
    assert_eq!(world.metric("rnnlm_sessions_closed_total{reason=\"model_changed\"}").await, 3.0);
    assert_eq!(world.metric("rnnlm_sessions{model=\"words\"}").await, 1.0);
}

/// More tokens than a connection holds that nobody reads, so that the stream waits for its reader.
const MANY: usize = 60_000;

#[tokio::test]
async fn a_stream_under_way_finishes_on_the_weights_that_it_began_with() {
    let world = World::configured(|config| config.limits.max_tokens = MANY).await;
    let request = json!({"text": "the", "max_tokens": MANY, "seed": 7, "stream": true, "stop_at_eos": false});
    let undisturbed = Events::new(world.open("/v1/generate", request.clone()).await).rest().await;
    assert_eq!(tokens(&undisturbed).len(), MANY);

    let free = world.requests_max();
    world.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let mut on_session = request.clone();
    on_session.as_object_mut().unwrap().remove("text");
    let mut running = Events::new(world.open("/v1/sessions/s/generate", on_session).await);
    let mut events = vec![running.next().await.unwrap(), running.next().await.unwrap()];
    world.alter("words");
    world.change("words", "reload").await.expect(200);
    assert!(world.requests_max() < free, "the memory of both is set aside while the old weights are used");
    // The session is gone for everybody but the write that runs on it.
    world.get("/v1/sessions/s").await.refused(410, "model_changed");
    world.post("/v1/sessions/s/next", json!({})).await.refused(410, "model_changed");
    let fresh = world
        .post("/v1/generate", json!({"text": "the", "max_tokens": 200, "seed": 7, "stop_at_eos": false}));
    let fresh = fresh.await.expect(200);
    assert_ne!(fresh["choices"][0]["tokens"], json!(tokens(&undisturbed)[..200]));

    events.extend(running.rest().await);
    assert_eq!(events.last().unwrap().name, "done");
    assert_eq!(tokens(&events), tokens(&undisturbed));
    assert_eq!(text(&events), text(&undisturbed));
    world.server.until_jobs(0).await;
    world.server.until(|| world.requests_max() == free).await;
    world.get("/v1/sessions/s").await.refused(410, "model_changed");
    assert_eq!(world.metric("rnnlm_sessions{model=\"words\"}").await, 0.0);
}

#[tokio::test]
async fn what_is_loaded_is_seen_by_every_route_and_what_is_unloaded_by_none() {
    let world = World::start().await;
    let free = world.requests_max();
    let parts = json!([{"model": "words", "weight": 0.5}, {"model": "words-gru", "weight": 0.5}]);
    let mixture = json!({"text": "the", "mixture": parts});
    let completion = json!({"model": "words-gru", "prompt": "the", "max_tokens": 3, "seed": 1});
    world.post("/v1/next", mixture.clone()).await.refused(404, "model_not_found");
    let changed = world.change("words-gru", "load").await.expect(200);
    assert_eq!((&changed["change"], &changed["previous_identity"]), (&json!("loaded"), &json!(null)));
    assert_eq!(changed["models"], json!(["letters", "words", "words-gru"]));
    let taken = free - world.requests_max();
    assert!(taken > 0);

    let listed = world.get("/v1/models").await.expect(200);
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["letters", "words", "words-gru"]);
    let info = world.get("/v1/info").await.expect(200);
    assert_eq!((&info["default_model"], &info["models"]), (&json!("words"), &changed["models"]));
    assert_eq!(info["identities"]["words-gru"], changed["identity"]);
    world.post("/v1/next", mixture.clone()).await.expect(200);
    world.post("/v1/completions", completion.clone()).await.expect(200);
    world.get("/tokenizer_info?model=words-gru").await.expect(200);
    world.post("/v1/sessions", json!({"id": "s", "model": "words-gru", "text": "the"})).await.expect(201);
    assert_eq!(world.metric("rnnlm_models_loaded").await, 3.0);
    let prompts = world.get("/v1/stats").await.expect(200)["tokens"]["prompt"].as_u64().unwrap();

    let changed = world.change("words-gru", "unload").await.expect(200);
    assert_eq!((&changed["change"], &changed["identity"]), (&json!("unloaded"), &json!(null)));
    assert_eq!((&changed["sessions_ended"], &changed["models"]), (&json!(1), &json!(["letters", "words"])));
    world.server.until(|| world.requests_max() == free).await;
    let (_, message) = world.get("/v1/sessions/s").await.refused(410, "model_changed");
    assert!(message.contains("`words-gru` is no longer served"), "{message}");
    world.get("/v1/models/words-gru").await.refused(404, "model_not_found");
    world.post("/v1/next", mixture).await.refused(404, "model_not_found");
    world.post("/v1/completions", completion).await.refused(404, "model_not_found");
    assert_eq!(world.metric("rnnlm_models_loaded").await, 2.0);
    assert_eq!(world.metric("rnnlm_model_changes_total{change=\"unload\",result=\"ok\"}").await, 1.0);
    let stats = world.get("/v1/stats").await.expect(200);
    assert!(stats["tokens"]["prompt"].as_u64().unwrap() >= prompts, "a total never falls: {stats}");
}

#[tokio::test]
async fn a_stored_session_of_changed_weights_waits_for_a_server_that_has_them() {
    const MODELS: [&str; 3] = ["words", "letters", "words-gru"];
    let store = tempfile::tempdir().unwrap();
    let stored = |config: &mut Config| {
        config.sessions.session_store = SessionStore::File(store.path().to_owned());
        config.sessions.store_flush = Duration::ZERO;
    };
    let world = World::configured(stored).await;
    world.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    world.post("/v1/sessions", json!({"id": "letters", "model": "letters", "text": "ab"})).await.expect(201);
    let state = world.state("s").await;
    world.alter("words");
    world.change("words", "reload").await.expect(200);
    world.get("/v1/sessions/s").await.refused(410, "model_changed");
    // Sessions of a model that was loaded later are stored too.
    world.change("words-gru", "load").await.expect(200);
    let new = json!({"id": "new", "model": "words-gru", "text": "the sea"});
    world.post("/v1/sessions", new).await.expect(201);
    let new = world.state("new").await;

    let World { server, root } = world;
    server.close().await;
    let world = World::over(root, &MODELS, stored).await;
    world.get("/v1/sessions/s").await.refused(410, "model_changed");
    let World { server, root } = world;
    server.close().await;
    alter(&root, "words");
    let world = World::over(root, &MODELS, stored).await;
    assert_eq!(world.state("s").await, state);
    world.get("/v1/sessions/letters").await.expect(200);
    assert_eq!(world.state("new").await, new);
}
