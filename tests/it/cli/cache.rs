//! `--cache`, and a cache that moves to a server in another process.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::client::{Answer, Request};
use crate::harness::program::{Serving, program};
use crate::harness::server::Server;
use crate::http::state::{export, put_into};

const TEXT: &str = "the old man and the sea sings of a ship and the old";

const OPTIONS: &str = "window=20,theta=0.6,lambda=0.4";

fn cache() -> Value {
    json!({"window": 20, "theta": 0.6, "lambda": 0.4})
}

/// What the program prints with `--cache`, which must differ from what it prints without.
fn run(folders: &Folders, args: &[&str]) -> Value {
    let bare = folders.run(args.iter().copied().chain(["--json"])).json();
    let cached = folders.run(args.iter().copied().chain(["--cache", OPTIONS, "--json"])).json();
    assert_ne!(bare, cached, "{args:?}");
    cached
}

#[tokio::test]
async fn every_command_with_probabilities_mixes_the_cache_of_the_routes() {
    let folders = Folders::new();
    let server = Server::start().await;
    let post = async |route: &str, mut body: Value| {
        body["cache"] = cache();
        server.post(&format!("/v1/{route}"), body).await.expect(200)
    };
    let next = run(&folders, &["next", "--model", "words", TEXT, "--top-k", "4"]);
    assert_eq!(next, post("next", json!({"text": TEXT, "top_k": 4})).await);

    let generated =
        run(&folders, &["generate", "--model", "words", TEXT, "--max-tokens", "12", "--seed", "7"]);
    assert_eq!(generated, post("generate", json!({"text": TEXT, "max_tokens": 12, "seed": 7})).await);

    let suggested = run(&folders, &["suggest", "--model", "words", &format!("{TEXT} m")]);
    assert_eq!(suggested, post("suggest", json!({"text": format!("{TEXT} m")})).await);

    let file = folders.file("text", TEXT);
    let scored = run(&folders, &["score", "--model", "words", &file]);
    assert_eq!(scored, post("score", json!({"text": TEXT})).await);
    let lines = folders.file("lines", format!("{TEXT}\n{TEXT}\n"));
    let scored = run(&folders, &["score", "--model", "words", &lines, "--lines"]);
    assert_eq!(scored["results"], post("score", json!({"texts": [TEXT, TEXT]})).await["results"]);
}

#[test]
fn options_of_a_cache_that_are_out_of_range_are_wrong_usage() {
    let folders = Folders::new();
    for (options, found) in [
        ("window=0", "window"),
        ("window=2001", "--cache-window-max"),
        ("lambda=1", "lambda"),
        ("size=5", "size"),
    ] {
        let message = folders.run(["next", "--model", "words", "the", "--cache", options]).failed(64);
        assert!(message.contains(found), "{options}: {message}");
    }
}

async fn post(address: SocketAddr, target: &str, body: Value) -> Answer {
    Request::new("POST", target).json(&body).open(address).await.whole().await
}

#[tokio::test]
async fn a_forked_and_exported_cache_continues_bit_for_bit_in_another_process() {
    let here = Server::start().await;
    let folders = Folders::new();
    let there = Serving::start(program().args(["--models", "."]).current_dir(folders.path()));
    let create = json!({"id": "s", "model": "words", "text": TEXT, "cache": cache(), "rewind_tokens": 20});
    here.post("/v1/sessions", create.clone()).await.expect(201);
    here.post("/v1/sessions/s/fork", json!({"id": "f"})).await.expect(201);
    here.post("/v1/sessions/f/append", json!({"text": "man and"})).await.expect(200);
    let state = export(&here, "f").await;
    // The session there can go back behind nothing but the state that was put into it.
    post(there.address, "/v1/sessions", json!({"id": "f", "model": "words", "rewind_tokens": 20}))
        .await
        .expect(201);
    put_into(there.address, "f/state", &state).await.expect(200);

    let steps = [
        ("next", json!({"full": true})),
        ("generate", json!({"max_tokens": 15, "seed": 4, "token_logprobs": true})),
        ("append", json!({"text": "the sea", "token_logprobs": true})),
        ("rewind", json!({"position": 20, "next": {"full": true}})),
        ("next", json!({"full": true})),
        ("rewind", json!({"position": 16, "next": {"full": true}})),
        ("score", json!({"continuations": ["sea sings", "old man"], "token_logprobs": true})),
        ("suggest", json!({"prefix": "s", "top_k": 3})),
    ];
    for (route, body) in steps {
        let target = format!("/v1/sessions/f/{route}");
        let expected = here.post(&target, body.clone()).await.expect(200);
        let found = post(there.address, &target, body).await.expect(200);
        assert_eq!(found, expected, "{route}");
    }
    assert_eq!(
        Request::new("GET", "/v1/sessions/f/state").open(there.address).await.whole().await.body.len(),
        export(&here, "f").await.len()
    );
}
