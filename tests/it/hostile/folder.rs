//! Model folders around a hostile file, and a probe that is the program itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rnnlm_server::kernels::Kernel;
use rnnlm_server::probe::{Loading, Probe};
use serde_json::{Value, json};

use crate::harness::models::GRAPH_VOCABULARY;
use crate::harness::program::PROGRAM;
use crate::harness::root;

/// The hostile file `name` of `tests/data/hostile`, with what its committed form leaves out.
pub(crate) fn hostile(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(root().join("tests/data/hostile").join(name)).expect(name);
    if name == "lstm-200000-constant-steps.part" {
        bytes.splice(744..744, std::iter::repeat_n(0, 3_200_000));
    }
    bytes
}

/// Loads what a child process of the program loads first, within `timeout`.
pub(crate) fn probing(timeout: Duration) -> Loading {
    let probe = Probe { program: PathBuf::from(PROGRAM), memory_max: MEMORY_MAX, timeout };
    let kernel = Kernel::choose(None).expect("a kernel for every processor");
    Loading { probe: Some(probe), ..kernel.into() }
}

/// What a child may have: enough for every good file of the tests.
pub(crate) const MEMORY_MAX: u64 = 1 << 30;

/// Writes the folder `name` over a graph into `root`.
pub(crate) fn write_graph(root: &Path, name: &str, graph: &[u8]) {
    let manifest = json!({"weights": "model.onnx", "tokenizer": {"kind": "whitespace", "file": "vocab.txt"}});
    let vocabulary = GRAPH_VOCABULARY.join("\n");
    write(root, name, manifest, &[("model.onnx", graph), ("vocab.txt", vocabulary.as_bytes())]);
}

/// Writes the folder `name` over a `tokenizer.json` into `root`, with weights that are never reached.
pub(crate) fn write_tokenizer(root: &Path, name: &str, tokenizer: &[u8]) {
    let architecture = json!({"cell": "lstm", "vocab_size": 26, "embedding_size": 2, "hidden_sizes": [2]});
    let manifest = json!({
        "weights": "model.safetensors",
        "architecture": architecture,
        "tokenizer": {"kind": "huggingface", "file": "tokenizer.json"},
    });
    write(root, name, manifest, &[("tokenizer.json", tokenizer), ("model.safetensors", b"")]);
}

fn write(root: &Path, name: &str, mut manifest: Value, files: &[(&str, &[u8])]) {
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    manifest["format_version"] = json!(1);
    std::fs::write(folder.join("config.json"), manifest.to_string()).unwrap();
    for (file, content) in files {
        std::fs::write(folder.join(file), content).unwrap();
    }
}
