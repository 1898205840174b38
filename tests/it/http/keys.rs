//! Keys over a real socket: what a change of the file does to a stream, how many requests are worked on at once.

use rnnlm_server::config::Config;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::events::{Event, Events};
use super::gate::gated;
use crate::harness::client::{Answer, Request};
use crate::harness::models::scripted;
use crate::harness::server::{Server, Setup};

/// A server with keys, and their file.
struct Keyed {
    server: Server,
    file: NamedTempFile,
}

impl Keyed {
    /// Starts `setup` with the keys `text`.
    async fn start(mut setup: Setup, text: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        setup.config.keys.api_keys = Some(file.path().into());
        Self { server: setup.start().await, file }
    }

    /// Replaces the keys, as a signal does.
    fn replace(&self, text: &str) {
        std::fs::write(self.file.path(), text).unwrap();
        self.server.app.keys.as_ref().unwrap().reload();
    }

    async fn post(&self, key: &str, target: &str, body: Value) -> Answer {
        self.server.send(with(key, Request::new("POST", target).json(&body))).await
    }

    async fn get(&self, key: &str, target: &str) -> Answer {
        self.server.send(with(key, Request::new("GET", target))).await
    }

    /// The requests of a name that are worked on.
    fn jobs(&self, name: &str) -> usize {
        let holdings = self.server.app.keys.as_ref().unwrap().holdings();
        holdings.iter().find(|holding| *holding.name == *name).map_or(0, |holding| holding.jobs)
    }
}

fn with(key: &str, request: Request) -> Request {
    request.header("authorization", format!("Bearer {key}"))
}

/// A request for a stream that does not end by itself.
fn endless(target: &str) -> Request {
    Request::new("POST", target).json(&json!({"max_tokens": 1_000_000, "seed": 1, "stream": true}))
}

fn setup(change: impl FnOnce(&mut Config)) -> Setup {
    let mut setup = Setup::over(vec![scripted(|fake| fake)]);
    setup.config.limits.max_tokens = 1_000_000;
    change(&mut setup.config);
    setup
}

#[tokio::test]
async fn a_stream_whose_key_is_revoked_ends_and_its_session_stays() {
    let keyed = Keyed::start(setup(|_| {}), "alice:one\nbob:two\n").await;
    keyed.post("one", "/v1/sessions", json!({"id": "s", "text": "b c d"})).await.expect(201);
    let opened = keyed.server.open(with("one", endless("/v1/sessions/s/generate"))).await;
    let mut events = Events::new(opened);
    let mut seen: Vec<Event> = Vec::new();
    while seen.len() < 5 {
        seen.push(events.next().await.unwrap());
    }
    keyed.replace("bob:two\n");
    seen.extend(events.rest().await);
    let last = seen.last().unwrap();
    assert_eq!((last.name.as_str(), &last.data["error"]["code"]), ("error", &json!("unauthorized")));
    assert_eq!(last.data["error"]["type"], "authentication_error");
    let drawn = seen.iter().filter(|event| event.name == "token").count() as u64;
    keyed.get("one", "/v1/sessions/s").await.refused(401, "unauthorized");
    keyed.get("two", "/v1/sessions/s").await.refused(404, "session_not_found");

    keyed.server.until_jobs(0).await;
    keyed.replace("alice:three\nbob:two\n");
    let session = keyed.get("three", "/v1/sessions/s").await.expect(200);
    assert_eq!(session["busy"], json!(false));
    assert!(session["position"].as_u64() >= Some(3 + drawn), "{session}, and {drawn} tokens were seen");
    keyed.get("one", "/v1/sessions/s").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn an_answer_in_one_piece_fails_when_its_key_is_revoked() {
    let (model, mut gate) = gated();
    let keyed = Keyed::start(Setup::over(vec![model]), "alice:one\n").await;
    let body = json!({"max_tokens": 10, "seed": 1});
    let (answer, ()) = tokio::join!(keyed.post("one", "/v1/generate", body), async {
        gate.let_through().await;
        gate.entered().await;
        keyed.replace("alice:two\n");
        drop(gate);
    });
    let (_, message) = answer.refused(401, "unauthorized");
    assert!(message.contains("`alice`") && message.contains("revoked"), "{message}");
}

#[tokio::test]
async fn the_requests_of_a_key_that_are_worked_on_are_bounded() {
    let keyed =
        Keyed::start(setup(|config| config.keys.key_jobs_max = Some(1)), "alice:one\nbob:two\n").await;
    let mut stream = Events::new(keyed.server.open(with("one", endless("/v1/generate"))).await);
    stream.next().await.unwrap();
    let refused = keyed.post("one", "/v1/next", json!({"text": "a"})).await;
    let (_, message) = refused.refused(429, "rate_limited");
    assert!(message.contains("the maximum is 1 (`--key-jobs-max`)"), "{message}");
    let headers = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert_eq!(headers.map(|name| refused.header(name)), ["1", "1", "0", "1"]);
    keyed.get("one", "/v1/models").await.expect(200);
    keyed.post("two", "/v1/next", json!({"text": "a"})).await.expect(200);
    drop(stream);
    keyed.server.until(|| keyed.jobs("alice") == 0).await;
    keyed.post("one", "/v1/next", json!({"text": "a"})).await.expect(200);
}

#[tokio::test]
async fn a_request_counts_once_however_many_jobs_it_becomes() {
    let keyed = Keyed::start(setup(|config| config.keys.key_jobs_max = Some(1)), "alice:one\n").await;
    let question = json!({"text": "a", "top_k": 1});
    let batch = keyed.post("one", "/v1/next", json!({"requests": vec![question; 5]})).await.expect(200);
    let answers = batch["responses"].as_array().unwrap();
    assert!(answers.iter().all(|answer| answer.get("error").is_none()), "{batch}");
    let prompts = json!({"prompt": ["a", "b", "c"], "max_tokens": 2, "seed": 1});
    keyed.post("one", "/v1/completions", prompts).await.expect(200);
    keyed.server.until(|| keyed.jobs("alice") == 0).await;
}

#[tokio::test]
async fn a_client_may_ask_again_as_soon_as_it_has_its_answer() {
    let keyed = Keyed::start(setup(|config| config.keys.key_jobs_max = Some(1)), "alice:one\n").await;
    for _ in 0..20 {
        keyed.post("one", "/v1/next", json!({"text": "a"})).await.expect(200);
        let request = json!({"max_tokens": 2, "seed": 1, "stream": true});
        let opened = with("one", Request::new("POST", "/v1/generate").json(&request));
        let mut events = Events::new(keyed.server.open(opened).await);
        while events.next().await.is_some_and(|event| event.name != "done") {}
    }
}
