//! Mutants of good files, each loaded by the program as a child process: it may refuse them, but neither panic nor abort, nor take more
//! memory or processor time than the limits that a shell sets it.
//!
//! Every mutant follows from one number, so that a failure is replayed by its number alone:
//!
//! ```sh
//! FUZZ_SEED=1234 FUZZ_MUTANTS=1 cargo test --release --test it hostile::fuzz
//! ```
//!
//! `FUZZ_MUTANTS=1000000` searches for hours. A file that was found is fixed, and goes to `tests/data/hostile`.

mod bytes;
mod corpus;
mod json;
mod protobuf;
mod random;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::tempdir;

use crate::harness::program::{Ended, PROGRAM};
use crate::harness::server::Server;
use crate::http::state::{export, put};
use corpus::{Corpus, Mutant};
use random::Random;

/// How many mutants each test loads, unless `FUZZ_MUTANTS` says otherwise.
const MUTANTS: u64 = 120;

/// The number of the first mutant, unless `FUZZ_SEED` says otherwise.
const SEED: u64 = 0;

/// What the program may have for a mutant of a file of at most a few hundred kilobytes.
const MEMORY_KIB_MAX: u64 = 1 << 20;
const CPU_SECONDS_MAX: u64 = 60;

#[test]
fn mutants_of_graphs_are_served_or_refused() {
    search(Corpus::graphs());
}

#[test]
fn mutants_of_safetensors_are_served_or_refused() {
    search(Corpus::tensors());
}

#[test]
fn mutants_of_manifests_are_served_or_refused() {
    search(Corpus::manifests());
}

#[test]
fn mutants_of_vocabularies_are_served_or_refused() {
    search(Corpus::vocabularies());
}

#[test]
fn mutants_of_tokenizers_are_served_or_refused() {
    search(Corpus::tokenizers());
}

/// Nothing is loaded here, so that the mutants go to one server, which must refuse them, or take them for what they were.
#[tokio::test]
async fn mutants_of_states_are_refused_or_mean_the_same() {
    let server = Server::start().await;
    server.post("/v1/sessions", json!({"id": "s", "text": "the old man and the sea"})).await.expect(201);
    let state = export(&server, "s").await;
    let first = number("FUZZ_SEED").unwrap_or(SEED);
    // A mutant costs a request, not a process.
    let count = 10 * number("FUZZ_MUTANTS").unwrap_or(MUTANTS);
    let mut refused = 0;
    for seed in first..first + count {
        let mut random = Random::new(seed);
        let mut mutant = state.clone();
        for _ in 0..1 + random.below(4) {
            match random.below(3) {
                0 => bytes::mutate(&mut mutant, &mut random),
                _ => bytes::mutate_safetensors(&mut mutant, &mut random),
            }
        }
        let answer = put(&server, "s/state", &mutant).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["position"], 6, "FUZZ_SEED={seed}");
        } else {
            answer.refused(422, "state_mismatch");
            refused += 1;
        }
    }
    assert!(refused > count / 2, "{refused} of {count} mutants were refused");
}

/// What was good must still be served, or the mutants of it say nothing.
#[test]
fn the_corpus_is_served() {
    for corpus in Corpus::all() {
        for index in 0..corpus.len() {
            let mutant = corpus.original(index);
            let ended = load(&mutant);
            assert_eq!(ended.code, Some(0), "{}: {}", mutant.name, ended.stderr);
        }
    }
}

fn search(corpus: Corpus) {
    let first = number("FUZZ_SEED").unwrap_or(SEED);
    let mut served = 0;
    let mut refused = 0;
    for seed in first..first + number("FUZZ_MUTANTS").unwrap_or(MUTANTS) {
        let mutant = corpus.mutant(&mut Random::new(seed));
        let ended = load(&mutant);
        match ended.code {
            Some(0) => served += 1,
            Some(1) => refused += 1,
            code => panic!(
                "the mutant FUZZ_SEED={seed} of {} ended the program with {code:?}: {}",
                mutant.name, ended.stderr
            ),
        }
        assert!(!ended.stderr.contains("panicked at"), "FUZZ_SEED={seed}, {}: {}", mutant.name, ended.stderr);
    }
    println!("{}: {served} mutants were served, {refused} refused", corpus.name());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is `{value}`")))
}

/// Inspects the folder of `mutant`, which loads it as `serve` does.
fn load(mutant: &Mutant) -> Ended {
    let root = tempdir().unwrap();
    let folder = root.path().join("model");
    mutant.write(&folder);
    Ended::run(&mut limited(&folder))
}

/// The program under limits: 1 is the memory, 2 the time, the rest the command.
fn limited(folder: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("RNNLM_ONNX_PROBE_MEMORY", "512MiB").env("RNNLM_ONNX_PROBE_TIMEOUT", "10s");
    let script = "ulimit -c 0; ulimit -v $1; ulimit -t $2; shift 2; exec \"$@\"";
    command.args(["-c", script, "sh", &MEMORY_KIB_MAX.to_string(), &CPU_SECONDS_MAX.to_string()]);
    command.args([PROGRAM, "inspect", "--json"]).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
