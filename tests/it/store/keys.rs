//! Keys and a store: each name finds its own sessions again, whatever has happened to the server and to the file of keys.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::{Answer, Request, metric};
use crate::harness::models::write_words;
use crate::harness::program::{Serving, program};

/// A folder with a model, a file of keys and a store.
struct World {
    folder: TempDir,
}

/// A server in a process of its own.
struct Running {
    serving: Serving,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        write_words(&folder.path().join("models"));
        Self { folder }
    }

    /// Starts a server with these keys; without any if `keys` is empty. What it has answered is stored.
    fn serve(&self, keys: &str, options: &[&str]) -> Running {
        let path = |name: &str| self.folder.path().join(name);
        let store = format!("file:{}", path("store").display());
        let mut command = program();
        command.args(["serve", "--engine-threads", "1", "--store-flush", "0s", "--session-store", &store]);
        command.arg("--models").arg::<&Path>(&path("models"));
        if !keys.is_empty() {
            std::fs::write(path("keys"), keys).unwrap();
            command.arg("--api-keys").arg::<&Path>(&path("keys"));
        }
        Running { serving: Serving::start(command.args(options)) }
    }
}

impl Running {
    fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// Sends a request with a key; without one if `key` is empty.
    async fn send(&self, key: &str, request: Request) -> Answer {
        let request = match key {
            "" => request,
            key => request.header("authorization", format!("Bearer {key}")),
        };
        request.open(self.address()).await.whole().await
    }

    async fn get(&self, key: &str, target: &str) -> Answer {
        self.send(key, Request::new("GET", target)).await
    }

    async fn create(&self, key: &str, text: &str) -> Answer {
        self.send(key, Request::new("POST", "/v1/sessions").json(&json!({"id": "s", "text": text}))).await
    }

    /// Where the session `s` of a key stands; `None` if it has none.
    async fn position(&self, key: &str) -> Option<u64> {
        let answer = self.get(key, "/v1/sessions/s").await;
        match answer.status {
            404 => {
                answer.refused(404, "session_not_found");
                None
            }
            _ => answer.expect(200)["position"].as_u64(),
        }
    }

    /// The ids that a key lists.
    async fn listed(&self, key: &str) -> Vec<Value> {
        let list = self.get(key, "/v1/sessions").await.expect(200);
        list["data"].as_array().unwrap().iter().map(|session| session["id"].clone()).collect()
    }

    fn kill(mut self) {
        self.serving.kill();
    }
}

#[tokio::test]
async fn each_key_finds_its_own_session_after_a_kill() {
    let world = World::new();
    let server = world.serve("alice:one\nbob:two\n", &[]);
    server.create("one", "the").await.expect(201);
    server.create("two", "the old man").await.expect(201);
    assert_eq!(
        [server.position("one").await, server.position("two").await],
        [Some(1), Some(3)],
        "the texts differ"
    );
    server.kill();

    // In another order, with another secret, and with a name more before them.
    let server = world.serve("aaron:four\nbob:two\nalice:three\n", &[]);
    assert_eq!(server.position("three").await, Some(1));
    assert_eq!(server.position("two").await, Some(3));
    assert_eq!(server.position("four").await, None);
    assert!(server.listed("four").await.is_empty());
    assert_eq!(server.listed("two").await, ["s"]);
    assert_eq!(metric(server.serving.address, r#"rnnlm_key_sessions{key="alice"}"#).await, 1.0);
    let append = json!({"text": "and", "expected_position": 3});
    let request = Request::new("POST", "/v1/sessions/s/append").json(&append);
    server.send("two", request).await.expect(200);
    server.send("three", Request::new("DELETE", "/v1/sessions/s")).await.expect(204);
    server.kill();

    let server = world.serve("alice:one\nbob:two\n", &[]);
    assert_eq!([server.position("one").await, server.position("two").await], [None, Some(4)]);
}

#[tokio::test]
async fn sessions_of_a_name_that_is_not_in_the_file_wait_for_it_and_nobody_finds_them() {
    let world = World::new();
    let server = world.serve("alice:one\nbob:two\n", &[]);
    server.create("one", "the").await.expect(201);
    server.create("two", "the old man").await.expect(201);
    server.kill();

    let server = world.serve("bob:two\n", &[]);
    server.get("one", "/v1/sessions/s").await.refused(401, "unauthorized");
    assert_eq!(server.position("two").await, Some(3));
    server.kill();

    // Without keys, the sessions are those of anyone.
    let server = world.serve("", &[]);
    assert_eq!(server.position("").await, None);
    assert!(server.listed("").await.is_empty());
    server.create("", "a ship").await.expect(201);
    server.kill();

    let server = world.serve("alice:one\nbob:two\n", &[]);
    assert_eq!([server.position("one").await, server.position("two").await], [Some(1), Some(3)]);
    server.kill();

    let server = world.serve("", &[]);
    assert_eq!(server.position("").await, Some(2));
}

#[tokio::test]
async fn a_key_keeps_what_it_has_under_a_lower_limit_and_can_create_no_more() {
    let world = World::new();
    let server = world.serve("alice:one\nbob:two\n", &[]);
    let create = |id: &str| Request::new("POST", "/v1/sessions").json(&json!({"id": id, "text": "the"}));
    for id in ["a", "b"] {
        server.send("one", create(id)).await.expect(201);
    }
    server.kill();

    let server = world.serve("alice:one\nbob:two\n", &["--key-sessions-max", "1"]);
    assert_eq!(server.listed("one").await.len(), 2);
    let (_, message) = server.send("one", create("c")).await.refused(429, "rate_limited");
    assert!(message.contains("the key has 2 sessions; the maximum is 1"), "{message}");
    server.send("two", create("c")).await.expect(201);
    for id in ["a", "b"] {
        server.send("one", Request::new("DELETE", format!("/v1/sessions/{id}"))).await.expect(204);
    }
    server.send("one", create("c")).await.expect(201);
}
