//! A server ends in order, and another continues with its sessions.

use std::path::Path;
use std::time::Duration;

use rnnlm_server::catalog::Served;
use rnnlm_server::clock::Clock;
use rnnlm_server::config::SessionStore;
use rnnlm_server::error::ErrorKind;
use rnnlm_server::store::{Change, FileStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{state_of, stored};
use crate::harness::models::{letters, words};
use crate::harness::program::{Ended, program};
use crate::harness::server::{Server, Setup};

/// A folder for a store, and what servers over it have in common.
struct World {
    folder: TempDir,
    clock: Clock,
    flush: Duration,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Clock::manual(), flush: Duration::from_millis(1) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn serve(&self) -> Server {
        self.serve_models(vec![words(), letters()]).await
    }

    async fn serve_models(&self, models: Vec<Served>) -> Server {
        let mut setup = Setup { clock: self.clock.clone(), ..Setup::over(models) };
        setup.config.sessions.session_store = SessionStore::File(self.path().to_owned());
        setup.config.sessions.store_flush = self.flush;
        setup.start().await
    }

    /// Creates sessions on a server, which then ends.
    async fn create(&self, requests: &[Value]) {
        let server = self.serve().await;
        for request in requests {
            server.post("/v1/sessions", request.clone()).await.expect(201);
        }
        server.close().await;
    }
}

/// Everything that a client can see of a session.
async fn seen(server: &Server, id: &str) -> Vec<Value> {
    let path = format!("/v1/sessions/{id}");
    let state = state_of(&server.get(&format!("{path}/state")).await);
    vec![
        server.get(&path).await.expect(200),
        state,
        server.post(&format!("{path}/next"), json!({"full": true, "text": "the"})).await.expect(200),
        server.post(&format!("{path}/suggest"), json!({"prefix": "s", "top_k": 9})).await.expect(200),
    ]
}

#[tokio::test]
async fn sessions_live_on_as_they_were() {
    let world = World::new();
    let server = world.serve().await;
    let extra = json!([{"text": "submarine", "weight": 3}, {"text": "seal"}]);
    for request in [
        json!({"id": "plain", "text": "the old "}),
        json!({"id": "words", "text": "a ship", "extra_words": extra, "ttl_seconds": 1800}),
        json!({"id": "cache", "text": "the sea and the ship", "cache": {"window": 3}}),
        json!({"id": "letters", "model": "letters"}),
    ] {
        server.post("/v1/sessions", request).await.expect(201);
    }
    // A use that only reads is stored with the creation if that waits for it, and else after an eighth of the time to live.
    stored(&server).await;
    world.clock.advance(Duration::from_secs(60));
    server.post("/v1/sessions/plain/append", json!({"text": "man"})).await.expect(200);
    let asked = json!({"max_tokens": 9, "seed": 4, "stream": true});
    assert_eq!(server.post("/v1/sessions/words/generate", asked).await.status, 200);
    let mut before = Vec::new();
    for id in ["plain", "words", "cache"] {
        before.push(seen(&server, id).await);
    }
    server.close().await;
    let server = world.serve().await;
    for (id, before) in ["plain", "words", "cache"].into_iter().zip(before) {
        assert_eq!(seen(&server, id).await, before, "{id}");
    }
    assert_eq!(server.get("/v1/sessions").await.expect(200)["data"].as_array().unwrap().len(), 4);
    server.close().await;
}

#[tokio::test]
async fn a_session_can_go_back_as_far_as_it_has_read_since_the_restart() {
    let world = World::new();
    world.create(&[json!({"id": "s", "text": "the old man", "rewind_tokens": 8})]).await;
    let server = world.serve().await;
    server.post("/v1/sessions/s/append", json!({"text": "and the"})).await.expect(200);
    let rewind =
        async |position: u64| server.post("/v1/sessions/s/rewind", json!({"position": position})).await;
    assert_eq!(rewind(4).await.expect(200)["position"], 4);
    let (_, message) = rewind(2).await.refused(422, "invalid_value");
    assert!(message.contains("oldest position kept is 3"), "{message}");
    server.close().await;
}

#[tokio::test]
async fn what_has_ended_does_not_come_back() {
    let world = World::new();
    let server = world.serve().await;
    for request in
        [json!({"id": "deleted"}), json!({"id": "brief", "ttl_seconds": 10}), json!({"id": "kept"})]
    {
        server.post("/v1/sessions", request).await.expect(201);
    }
    server.delete("/v1/sessions/deleted").await.expect(204);
    server.close().await;
    // Time passes without a server, too.
    world.clock.advance(Duration::from_secs(11));
    let server = world.serve().await;
    for id in ["deleted", "brief"] {
        server.get(&format!("/v1/sessions/{id}")).await.refused(404, "session_not_found");
    }
    server.get("/v1/sessions/kept").await.expect(200);
    server.close().await;
    assert_eq!(keys(world.path()), ["kept"]);
}

#[tokio::test]
async fn a_session_that_is_only_read_lives_on_too() {
    let world = World::new();
    world.create(&[json!({"id": "s", "text": "the"})]).await;
    for _ in 0..4 {
        let server = world.serve().await;
        server.post("/v1/sessions/s/next", json!({})).await.expect(200);
        server.close().await;
        world.clock.advance(Duration::from_secs(3000));
    }
    let server = world.serve().await;
    server.get("/v1/sessions/s").await.expect(200);
    server.close().await;
}

#[tokio::test]
async fn a_session_of_other_weights_is_refused_and_kept_until_they_are_back() {
    let world = World::new();
    world.create(&[json!({"id": "s", "text": "the"}), json!({"id": "t", "text": "a"})]).await;
    let mut changed = words();
    changed.identity = "another".into();
    let server = world.serve_models(vec![changed, letters()]).await;
    let (_, why) = server.post("/v1/sessions/s/next", json!({})).await.refused(410, "model_changed");
    assert!(why.contains("`words`") && why.contains("`another`"), "{why}");
    let completion = json!({"session_id": "s", "prompt": "the"});
    server.post("/v1/completions", completion).await.refused(410, "model_changed");
    // Its name can be used again, and it can be deleted.
    server.delete("/v1/sessions/t").await.expect(204);
    server.get("/v1/sessions/t").await.refused(404, "session_not_found");
    server.close().await;
    let server = world.serve_models(vec![letters()]).await;
    let (_, why) = server.get("/v1/sessions/s").await.refused(410, "model_changed");
    assert!(why.contains("no longer served"), "{why}");
    server.close().await;
    let server = world.serve().await;
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 1);
    server.close().await;
}

#[tokio::test]
async fn a_session_of_other_weights_is_kept_no_longer_than_it_would_have_lived() {
    let world = World::new();
    world.create(&[json!({"id": "s"})]).await;
    let server = world.serve_models(vec![letters()]).await;
    world.clock.advance(Duration::from_secs(3601));
    let service = server.app.service().unwrap().clone();
    while service.sessions().expire() {}
    server.get("/v1/sessions/s").await.refused(404, "session_not_found");
    server.close().await;
    assert!(keys(world.path()).is_empty());
}

#[tokio::test]
async fn a_damaged_session_is_dropped_and_counted_and_the_others_live_on() {
    let world = World::new();
    world.create(&[json!({"id": "damaged", "text": "the"}), json!({"id": "whole", "text": "the"})]).await;
    let mut store = FileStore::open(world.path()).unwrap();
    let mut group = Vec::new();
    store
        .load(&mut |key, bytes| {
            let mut bytes = bytes.to_vec();
            // The last byte is one of the state.
            *bytes.last_mut().unwrap() ^= u8::from(key == "damaged");
            group.push(Change::Put { key: key.to_owned(), bytes });
        })
        .unwrap();
    store.write(&group).unwrap();
    drop(store);
    let server = world.serve().await;
    server.get("/v1/sessions/damaged").await.refused(404, "session_not_found");
    server.get("/v1/sessions/whole").await.expect(200);
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("\nrnnlm_store_damaged_total 1\n"), "{metrics}");
    server.close().await;
    assert_eq!(keys(world.path()), ["whole"]);
}

#[tokio::test]
async fn a_folder_serves_one_server_and_the_other_says_so() {
    let world = World::new();
    let server = world.serve().await;
    let folder = tempfile::tempdir().unwrap();
    crate::harness::models::write_words(folder.path());
    let store = format!("file:{}", world.path().display());
    let models = folder.path().to_str().unwrap();
    let args = ["serve", "--models", models, "--listen", "127.0.0.1:0", "--session-store", &store];
    let ended = Ended::run(program().env("RUST_LOG", "off").args(args));
    let message = ended.failed(64);
    assert!(message.contains("in use by another server"), "{message}");
    server.close().await;
}

#[tokio::test]
async fn fewer_sessions_than_are_stored_are_refused_if_none_may_be_evicted() {
    let world = World::new();
    world.create(&[json!({"id": "a"}), json!({"id": "b"})]).await;
    let mut setup = Setup::default();
    setup.config.sessions.session_store = SessionStore::File(world.path().to_owned());
    setup.config.sessions.sessions_max = 1;
    setup.config.sessions.evict = rnnlm_server::config::Evict::None;
    let error = setup.try_start().err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(
        error.message.contains("holds 2 sessions") && error.message.contains("--sessions-max"),
        "{error}"
    );
    assert_eq!(keys(world.path()), ["a", "b"], "nothing is lost");
}

#[tokio::test]
async fn without_a_wait_an_answer_says_what_is_stored() {
    let world = World { flush: Duration::ZERO, ..World::new() };
    let server = world.serve().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let waiting = async || {
        let metrics = server.get("/metrics").await.text();
        metrics.lines().find_map(|line| line.strip_prefix("rnnlm_store_queue ")).unwrap().to_owned()
    };
    assert_eq!(waiting().await, "0");
    let asked = json!({"max_tokens": 20, "seed": 1, "stream": true});
    let events = server.post("/v1/sessions/s/generate", asked).await.text();
    assert_eq!(events.matches("event: token").count(), 20);
    assert_eq!(waiting().await, "0");
    server.post("/v1/sessions/s/fork", json!({"id": "t"})).await.expect(201);
    server.post("/v1/sessions/s/reset", json!({})).await.expect(200);
    assert_eq!(waiting().await, "0");
    server.delete("/v1/sessions/t").await.expect(204);
    assert_eq!(waiting().await, "0");
    server.close().await;
}

/// The keys of the entries in a folder.
fn keys(folder: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    FileStore::open(folder).unwrap().load(&mut |key, _| keys.push(key.to_owned())).unwrap();
    keys
}
