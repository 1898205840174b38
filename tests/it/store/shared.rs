//! Two servers over one Redis: sessions of either are those of both, and a Redis that is lost costs no request.

use std::time::Duration;

use rnnlm_server::config::SessionStore;
use serde_json::{Value, json};

use super::{state_of, stored};
use crate::harness::client::{Answer, Request, metric};
use crate::harness::patience::until;
use crate::harness::redis::Redis;
use crate::harness::server::{Server, Setup};

/// A Redis, and the servers that share it.
struct World {
    redis: Redis,
    a: Server,
    b: Server,
}

impl World {
    /// `None`, and the test is skipped, on a machine without Redis.
    async fn start(flush: Duration) -> Option<Self> {
        let redis = Redis::start()?;
        let a = server(redis.url(), flush).await;
        let b = server(redis.url(), flush).await;
        Some(Self { redis, a, b })
    }
}

async fn server(url: &str, flush: Duration) -> Server {
    let mut setup = Setup::configured(|config| {
        config.sessions.session_store = SessionStore::Redis(url.to_owned().into());
        config.sessions.store_flush = flush;
        config.sessions.store_timeout = Duration::from_secs(5);
        config.sessions.store_claim = Duration::from_secs(600);
        config.engine.stream_buffer = 4;
    });
    setup.models.truncate(1);
    let server = setup.start().await;
    // Its thread has connected, or it would serve from memory at first.
    until(async || server.get("/v1/sessions/nobody").await.status == 404).await;
    server
}

async fn append(server: &Server, text: &str) -> Answer {
    server.post("/v1/sessions/s/append", json!({"text": text})).await
}

/// Appends until no other server writes to the session.
async fn append_when_idle(server: &Server, text: &str) -> Value {
    until(async || server.post("/v1/sessions/s/next", json!({})).await.status == 200).await;
    loop {
        let answer = append(server, text).await;
        if answer.status != 409 {
            return answer.expect(200);
        }
        answer.refused(409, "session_busy");
        assert_eq!(answer.header("x-should-retry"), "true");
    }
}

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test]
async fn a_session_of_one_server_continues_on_the_other_as_if_there_were_one() {
    let Some(World { a, b, redis: _redis }) = World::start(AT_ONCE).await else { return };
    let alone = Server::start().await;
    for server in [&a, &alone] {
        let request = json!({"id": "s", "text": "the old man", "ttl_seconds": 1800, "cache": {"window": 3}});
        server.post("/v1/sessions", request).await.expect(201);
    }
    for (server, text) in [(&b, "and the"), (&a, "sea"), (&a, "and"), (&b, "the ship")] {
        append(&alone, text).await.expect(200);
        append(server, text).await.expect(200);
    }
    let state = state_of(&alone.get("/v1/sessions/s/state").await);
    for server in [&a, &b] {
        assert_eq!(state_of(&server.get("/v1/sessions/s/state").await), state);
        let asked = json!({"full": true, "text": "the"});
        let next = server.post("/v1/sessions/s/next", asked.clone()).await.expect(200);
        assert_eq!(next, alone.post("/v1/sessions/s/next", asked).await.expect(200));
    }
    let batch = json!({"requests": [{"session": "s"}]});
    b.post("/v1/sessions", json!({"id": "t"})).await.expect(201);
    a.post("/v1/next", json!({"requests": [{"session": "t"}]})).await.expect(200);
    assert_eq!(
        a.post("/v1/next", batch.clone()).await.expect(200),
        alone.post("/v1/next", batch).await.expect(200)
    );
}

#[tokio::test]
async fn an_expected_position_and_a_seed_repeat_a_stream_on_the_other_server() {
    let Some(World { a, b, redis: _redis }) = World::start(AT_ONCE).await else { return };
    a.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    a.post("/v1/sessions/s/fork", json!({"id": "copy"})).await.expect(201);
    let request =
        json!({"max_tokens": 12, "seed": 9, "stop_at_eos": false, "stream": true, "expected_position": 3});
    let events = async |server: &Server, id: &str| {
        let answer = server.post(&format!("/v1/sessions/{id}/generate"), request.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().replace(&format!("\"id\":\"{id}\""), "")
    };
    assert_eq!(events(&a, "s").await, events(&b, "copy").await);
    let again = b.post("/v1/sessions/s/generate", request.clone()).await;
    again.refused(412, "position_mismatch");
}

#[tokio::test]
async fn while_one_server_writes_the_other_is_told_to_try_again() {
    let Some(World { a, b, redis: _redis }) = World::start(AT_ONCE).await else { return };
    a.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let generate = json!({"max_tokens": 4000, "stop_at_eos": false, "stream": true});
    let mut stream = a.open(Request::new("POST", "/v1/sessions/s/generate").json(&generate)).await;
    assert!(stream.chunk().await.is_some());
    let busy = append(&b, "sea").await;
    let (_, message) = busy.refused(409, "session_busy");
    assert!(message.contains("another server"), "{message}");
    assert_eq!(busy.header("x-should-retry"), "true");
    // Readers see the session as it is stored.
    b.post("/v1/sessions/s/next", json!({})).await.expect(200);
    drop(stream);
    let position = append_when_idle(&b, "sea").await["position"].as_u64().unwrap();
    assert_eq!(a.get("/v1/sessions/s").await.expect(200)["position"], position);
}

#[tokio::test]
async fn an_id_is_created_once_and_a_deletion_is_everybodys() {
    let Some(World { a, b, redis: _redis }) = World::start(AT_ONCE).await else { return };
    let create = json!({"id": "s", "text": "the"});
    a.post("/v1/sessions", create.clone()).await.expect(201);
    b.post("/v1/sessions", create.clone()).await.refused(409, "session_exists");
    let replace = json!({"id": "s", "text": "a ship", "replace": true});
    b.post("/v1/sessions", replace).await.expect(201);
    assert_eq!(a.get("/v1/sessions/s").await.expect(200)["position"], 2);
    a.delete("/v1/sessions/s").await.expect(204);
    for server in [&a, &b] {
        server.get("/v1/sessions/s").await.refused(404, "session_not_found");
        append(server, "sea").await.refused(404, "session_not_found");
    }
    b.post("/v1/sessions", create).await.expect(201);
    assert_eq!(a.get("/v1/sessions/s").await.expect(200)["position"], 1);
}

#[tokio::test]
async fn what_is_evicted_from_memory_comes_back_from_the_store() {
    let Some(redis) = Redis::start() else { return };
    let server = Setup::configured(|config| {
        config.sessions.session_store = SessionStore::Redis(redis.url().to_owned().into());
        config.sessions.store_flush = AT_ONCE;
        config.sessions.store_timeout = Duration::from_secs(5);
        config.sessions.sessions_max = 2;
    });
    let server = server.start().await;
    until(async || server.get("/v1/sessions/nobody").await.status == 404).await;
    for id in ["a", "b", "c", "d"] {
        server.post("/v1/sessions", json!({"id": id, "text": "the"})).await.expect(201);
        stored(&server).await;
    }
    for id in ["a", "b", "c", "d"] {
        assert_eq!(server.get(&format!("/v1/sessions/{id}")).await.expect(200)["position"], 1);
    }
    assert_eq!(server.get("/v1/sessions").await.expect(200)["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_lost_redis_costs_no_request_and_the_first_to_write_wins() {
    let Some(World { a, b, mut redis }) = World::start(Duration::from_millis(1)).await else { return };
    a.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    a.post("/v1/sessions", json!({"id": "quiet", "text": "the old man"})).await.expect(201);
    stored(&a).await;
    b.get("/v1/sessions/s").await.expect(200);
    redis.kill();
    append_when_idle(&a, "old").await;
    append_when_idle(&b, "sea and the ship").await;
    for server in [&a, &b] {
        server.get("/readyz").await.expect(200);
        assert!(metric(server.address, "rnnlm_store_errors_total").await > 0.0);
    }
    redis.restart();
    // One of them writes first; the other finds out when it writes.
    stored(&a).await;
    stored(&b).await;
    let mut diverged = 0;
    let mut positions = Vec::new();
    for server in [&a, &b] {
        let answer = server.get("/v1/sessions/s").await;
        if answer.status == 410 {
            let (_, message) = answer.refused(410, "session_diverged");
            let position = answer.header("x-session-position").to_owned();
            assert!(message.contains(&format!("position {position}")), "{message}");
            diverged += 1;
        }
        positions.push(server.get("/v1/sessions/s").await.expect(200)["position"].clone());
    }
    assert_eq!(diverged, 1, "one of two writes is lost, and its server says so once");
    assert_eq!(positions[0], positions[1]);
    // What the empty Redis has lost comes back from a copy.
    assert_eq!(a.get("/v1/sessions/quiet").await.expect(200)["position"], 3);
    stored(&a).await;
    assert_eq!(b.get("/v1/sessions/quiet").await.expect(200)["position"], 3);
}

#[tokio::test]
async fn a_server_that_ends_leaves_no_claim_and_nothing_unwritten() {
    let Some(World { a, b, redis: _redis }) = World::start(Duration::from_secs(3600)).await else { return };
    a.post("/v1/sessions", json!({"id": "s", "text": "the old man"})).await.expect(201);
    a.post("/v1/sessions/s/append", json!({"text": "and the sea"})).await.expect(200);
    b.get("/v1/sessions/s").await.refused(404, "session_not_found");
    a.close().await;
    assert_eq!(b.get("/v1/sessions/s").await.expect(200)["position"], 6);
    append(&b, "and").await.expect(200);
}
