//! `suggest`, from a model folder and in a session of a running server.

use serde_json::json;

use super::folders::Folders;
use crate::harness::client::Request;
use crate::harness::program::Ended;
use crate::harness::server::{Server, Setup};

/// Runs the program on a thread of its own: the server answers on this one.
async fn run(args: Vec<String>) -> Ended {
    tokio::task::spawn_blocking(move || Folders::new().run(args)).await.unwrap()
}

fn args(url: &str, more: &[&str]) -> Vec<String> {
    ["suggest", "--session", url].iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

#[tokio::test]
async fn a_session_is_asked_and_does_not_move() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old man and"})).await.expect(201);
    let url = format!("http://{}/v1/sessions/s", server.address);
    let more = ["the s", "--top-k", "2", "--next-words", "2"];
    let body = json!({"text": "the s", "top_k": 2, "next_words": 2});
    let expected = server.post("/v1/sessions/s/suggest", body).await.expect(200);
    let answer = run(args(&url, &[&more[..], &["--json"]].concat())).await.json();
    assert_eq!(answer, expected);
    let words: Vec<&str> =
        expected["suggestions"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(words.len(), 2);
    assert_eq!(run(args(&url, &more)).await.succeeded(), words.join("\n") + "\n");
    assert_eq!(run(args(&url, &["", "--top-k", "2"])).await.succeeded().lines().count(), 2);
    assert_eq!(server.get("/v1/sessions/s").await.expect(200)["position"], 4);
}

#[tokio::test]
async fn a_session_that_cannot_be_asked_is_a_failure_with_its_reason() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the"})).await.expect(201);
    let address = server.address;
    let message = run(args(&format!("http://{address}/v1/sessions/none"), &["a"])).await.failed(1);
    assert!(message.contains("answers 404: ") && message.contains("`none`"), "{message}");
    let url = format!("http://{address}/v1/sessions/s");
    let message = run(args(&url, &["a", "--top-k", "0"])).await.failed(64);
    assert!(message.contains("`top_k` is 0"), "{message}");
    let message = run(args(&url, &["a", "--model", "words"])).await.failed(64);
    assert!(message.contains("`--model` is given beside `--session`"), "{message}");
    for url in ["https://host/v1/sessions/s", "http://host/", "s"] {
        let message = run(args(url, &["a"])).await.failed(64);
        assert!(message.contains("must be like `http://127.0.0.1:8080/v1/sessions/ID`"), "{message}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = run(args(&format!("http://{free}/v1/sessions/s"), &["a"])).await.failed(1);
    assert!(message.contains("no answer from"), "{message}");
}

#[tokio::test]
async fn a_server_with_keys_is_asked_with_one() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "alice:one\n").unwrap();
    let server = Setup::configured(|config| config.keys.api_keys = Some(keys.path().into())).start().await;
    let request = Request::new("POST", "/v1/sessions").json(&json!({"id": "s", "text": "the old"}));
    server.send(request.header("authorization", "Bearer one")).await.expect(201);
    let url = format!("http://{}/v1/sessions/s", server.address);
    assert!(run(args(&url, &["a"])).await.failed(1).contains("answers 401"));
    run(args(&url, &["", "--key", "one"])).await.succeeded();
    run(args(&url, &["", "--key", "o ne"])).await.failed(64);
}
