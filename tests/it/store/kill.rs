//! `kill -9` at any moment: what was acknowledged is there, and what follows is what would have followed.
//!
//! A server in a process of its own is killed while clients append, stream, create and delete. After each kill, another is started on the
//! same folder. `KILL_ROUNDS` changes the number of kills, `KILL_SEED` where they begin.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::state_of;
use crate::harness::client::{Answer, Request, metric};
use crate::harness::models::write_words;
use crate::harness::network::mix;
use crate::harness::patience::until;
use crate::harness::program::{Serving, program};
use crate::harness::server::Server;

/// Clients that write to one session each.
const WRITERS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_wait_nothing_that_was_acknowledged_is_lost() {
    let mut world = World::new("0s").await;
    for round in 0..rounds() {
        world.round(round, End::Amid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_wait_a_session_is_where_it_once_was_and_what_was_written_is_not_lost() {
    let mut world = World::new("20ms").await;
    for round in 0..rounds() {
        let end = if round % 2 == 0 { End::AmidUnsure } else { End::Settled };
        world.round(round, end).await;
    }
}

/// When the process is killed, and what is then certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Amid requests, whose answers were sent after the write.
    Amid,
    /// Amid requests, whose answers did not wait for the write.
    AmidUnsure,
    /// When everything is written.
    Settled,
}

fn rounds() -> u64 {
    number("KILL_ROUNDS").unwrap_or(12)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A model, a store, and what clients know.
struct World {
    folder: tempfile::TempDir,
    flush: &'static str,
    seed: u64,
    known: Arc<Mutex<Known>>,
    /// A server that is not killed, with the same sessions. They read what the others have read.
    reference: Server,
    /// Where they stand.
    read: Vec<u64>,
}

/// What clients know.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Where each session stands, by the last answer or event.
    positions: Vec<u64>,
    /// Answers and events so far.
    acknowledged: u64,
    /// Sessions whose deletion was answered.
    deleted: BTreeSet<String>,
}

impl World {
    async fn new(flush: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        write_words(&folder.path().join("models"));
        let reference = Server::start().await;
        for writer in 0..WRITERS {
            post(reference.address, "/v1/sessions", &json!({"id": name(writer)})).await.expect(201);
        }
        let seed = number("KILL_SEED").unwrap_or(1);
        let read = vec![0; WRITERS as usize];
        Self { folder, flush, seed, known: Arc::default(), reference, read }
    }

    fn start(&self) -> Serving {
        let path = |name: &str| self.folder.path().join(name);
        let store = format!("file:{}", path("store").display());
        let mut command = program();
        command.args(["serve", "--engine-threads", "1", "--session-store", &store]);
        command.args(["--store-flush", self.flush]).arg("--models").arg::<&Path>(&path("models"));
        Serving::start(&mut command)
    }

    /// Lets clients write until a random number of answers has come, and then kills the server.
    async fn round(&mut self, round: u64, end: End) {
        let mut serving = self.start();
        let before = self.check(&serving, round).await;
        *self.known.lock().unwrap() = before;
        let mut clients = JoinSet::new();
        for writer in 0..WRITERS {
            clients.spawn(write(serving.address, writer, self.known.clone()));
        }
        clients.spawn(create_and_delete(serving.address, round, self.known.clone()));
        let enough = 20 + mix(self.seed ^ round << 20) % 200;
        let known = self.known.clone();
        until(async || known.lock().unwrap().acknowledged >= enough).await;
        if end == End::Settled {
            clients.shutdown().await;
            let address = serving.address;
            until(async || metric(address, "rnnlm_store_queue").await == 0.0).await;
        }
        assert!(clients.try_join_next().is_none(), "a client has failed");
        serving.kill();
        // They see the end of their connections; some panic over it.
        clients.abort_all();
        while clients.join_next().await.is_some() {}
        if end == End::AmidUnsure {
            let mut known = self.known.lock().unwrap();
            known.positions.fill(0);
            known.deleted.clear();
        }
    }

    /// Checks what a new process has against what clients know, and returns what it has.
    async fn check(&mut self, serving: &Serving, round: u64) -> Known {
        let known = self.known.lock().unwrap().clone();
        let mut found = Known::default();
        for writer in 0..WRITERS {
            let path = format!("/v1/sessions/{}", name(writer));
            let session = get(serving.address, &path).await;
            let is_there = session.status != 404;
            let position = if is_there { session.expect(200)["position"].as_u64().unwrap() } else { 0 };
            let least = known.positions.get(writer as usize).copied().unwrap_or_default();
            assert!(
                position >= least,
                "round {round}: `{path}` stands at {position}, and {least} was acknowledged"
            );
            if is_there {
                let state = state_of(&get(serving.address, &format!("{path}/state")).await);
                let expected = self.undisturbed(writer, position).await;
                assert!(state == expected, "round {round}: the state of `{path}` at {position} differs");
            }
            found.positions.push(position);
        }
        for id in &known.deleted {
            let session = get(serving.address, &format!("/v1/sessions/{id}")).await;
            assert_eq!(session.status, 404, "round {round}: session `{id}` was deleted: {}", session.text());
        }
        found
    }

    /// The state of a session at `position` that was never disturbed.
    async fn undisturbed(&mut self, writer: u64, position: u64) -> Value {
        let address = self.reference.address;
        let id = name(writer);
        let read = &mut self.read[writer as usize];
        while *read < position {
            let write = Write::of(writer, *read - *read % WRITE_LEN);
            let answer = write.request(&id, *read, position - *read).open(address).await.whole().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            *read = (*read + WRITE_LEN - *read % WRITE_LEN).min(position);
        }
        assert_eq!(*read, position);
        state_of(&get(address, &format!("/v1/sessions/{id}/state")).await)
    }
}

/// The session of a writer.
fn name(writer: u64) -> String {
    format!("w{writer}")
}

/// The next write of a session at a position: every session reads the same, whoever was killed in between.
enum Write {
    Append([u64; 3]),
    Generate { seed: u64, tokens: u64 },
}

/// Tokens that a write adds.
const WRITE_LEN: u64 = 3;

impl Write {
    /// The write that adds the tokens from `begin`, a multiple of [`WRITE_LEN`].
    fn of(writer: u64, begin: u64) -> Self {
        let random = mix(writer << 40 ^ begin);
        match begin / WRITE_LEN % 2 {
            0 => Self::Append([0, 20, 40].map(|shift| (random >> shift) % 12)),
            _ => Self::Generate { seed: random % 1000, tokens: WRITE_LEN },
        }
    }

    /// The request for what is left of it at `position`, and at most `tokens_max` of that.
    fn request(&self, id: &str, position: u64, tokens_max: u64) -> Request {
        let read = position % WRITE_LEN;
        let left = (WRITE_LEN - read).min(tokens_max);
        match self {
            Self::Append(tokens) => {
                let tokens = &tokens[read as usize..][..left as usize];
                let body = json!({"tokens": tokens, "expected_position": position});
                Request::new("POST", format!("/v1/sessions/{id}/append")).json(&body)
            }
            Self::Generate { seed, tokens } => {
                assert_eq!(*tokens, WRITE_LEN);
                let body = json!({"max_tokens": left, "seed": seed, "stop_at_eos": false, "stream": true,
                    "expected_position": position});
                Request::new("POST", format!("/v1/sessions/{id}/generate")).json(&body)
            }
        }
    }
}

/// Creates a session, if it is not there, and goes on from where it stands until the server ends.
async fn write(address: SocketAddr, writer: u64, known: Arc<Mutex<Known>>) {
    let id = name(writer);
    let mut position = known.lock().unwrap().positions[writer as usize];
    if get(address, &format!("/v1/sessions/{id}")).await.status == 404 {
        post(address, "/v1/sessions", &json!({"id": id})).await.expect(201);
    }
    loop {
        let write = Write::of(writer, position - position % WRITE_LEN);
        let mut reply = write.request(&id, position, WRITE_LEN).open(address).await;
        assert_eq!(reply.status, 200);
        if reply.header("content-type") == "text/event-stream" {
            while let Some(events) = reply.chunk().await {
                let tokens = String::from_utf8(events).unwrap().matches("event: token").count() as u64;
                position += tokens;
                acknowledge(&known, writer, position);
            }
        } else {
            position = reply.whole().await.expect(200)["position"].as_u64().unwrap();
            acknowledge(&known, writer, position);
        }
    }
}

fn acknowledge(known: &Mutex<Known>, writer: u64, position: u64) {
    let mut known = known.lock().unwrap();
    known.positions[writer as usize] = position;
    known.acknowledged += 1;
}

/// Creates sessions and deletes them.
async fn create_and_delete(address: SocketAddr, round: u64, known: Arc<Mutex<Known>>) {
    for number in 0u64.. {
        let id = format!("brief-{round}-{number}");
        post(address, "/v1/sessions", &json!({"id": id, "text": "the"})).await.expect(201);
        Request::new("DELETE", format!("/v1/sessions/{id}")).open(address).await.whole().await.expect(204);
        known.lock().unwrap().deleted.insert(id);
    }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    Request::new("GET", path).open(address).await.whole().await
}

async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    Request::new("POST", path).json(body).open(address).await.whole().await
}
