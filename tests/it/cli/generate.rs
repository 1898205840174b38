//! `generate`: each option means what the field of the request means.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::harness::server::Server;

/// The answer of the command with `--json`, and that of the route to `body`.
async fn both(options: &[&str], body: Value) -> [Value; 2] {
    let folders = Folders::new();
    let args = ["generate", "--model", "words", "the sea", "--json"];
    let printed = folders.run(args.iter().chain(options)).json();
    [printed, Server::start().await.post("/v1/generate", body).await.expect(200)]
}

#[tokio::test]
async fn options_of_the_draws_are_fields_of_the_request() {
    let options = [
        "--n=2",
        "--seed=5",
        "--max-tokens=9",
        "--typical-p=0.9",
        "--top-p=0.95",
        "--min-p=0.01",
        "--top-k=11",
        "--repetition-penalty=1.2",
        "--presence-penalty=-0.5",
        "--frequency-penalty=0.25",
        "--logit-bias=3=1.5",
        "--logit-bias=4=-2",
        "--ban=old",
        "--temperature=1.3",
        "--echo",
        "--top-logprobs=1",
        "--stop-at-eos=true",
        "--timeout-ms=50000",
    ];
    let body = json!({"text": "the sea", "n": 2, "seed": 5, "max_tokens": 9, "typical_p": 0.9, "top_p": 0.95, "min_p": 0.01,
        "top_k": 11, "repetition_penalty": 1.2, "presence_penalty": -0.5, "frequency_penalty": 0.25,
        "logit_bias": {"3": 1.5, "4": -2}, "banned": ["old"], "temperature": 1.3, "echo": true, "top_logprobs": 1,
        "stop_at_eos": true});
    let [printed, served] = both(&options, body).await;
    assert_eq!(printed, served);
}

#[tokio::test]
async fn a_beam_is_two_options() {
    let options =
        ["--beam=3", "--length-penalty=0.5", "--n=2", "--max-tokens=6", "--token-logprobs", "--seed=0"];
    let body = json!({"text": "the sea", "beam": {"width": 3, "length_penalty": 0.5}, "n": 2, "max_tokens": 6,
        "token_logprobs": true, "seed": 0});
    let [printed, served] = both(&options, body).await;
    assert_eq!(printed, served);
}

#[test]
fn several_texts_are_printed_with_a_line_between_them() {
    let folders = Folders::new();
    let run = |options: &[&str]| {
        let args = ["generate", "--model", "words", "the sea", "--max-tokens", "5", "--echo"];
        folders.run(args.iter().chain(options))
    };
    let beam = run(&["--beam", "3", "--n", "2"]);
    assert_eq!(beam.stderr, "", "a search has no seed: {beam:?}");
    let texts: Vec<&str> = beam.stdout.strip_suffix('\n').unwrap().split("\n---\n").collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|text| text.starts_with("the sea ")), "{texts:?}");
    assert_eq!(run(&["--beam", "3"]).stdout, texts[0]);
}

#[test]
fn what_is_wrong_with_an_option_is_wrong_usage() {
    let folders = Folders::new();
    for options in [
        &["--n", "17"][..],
        &["--beam", "17"],
        &["--length-penalty", "1"],
        &["--beam", "2", "--top-k", "5"],
        &["--logit-bias", "sea=1"],
        &["--typical-p", "0"],
        &["--ban", "submarine"],
    ] {
        let args = ["generate", "--model", "words", "the"];
        folders.run(args.iter().chain(options)).failed(64);
    }
}
