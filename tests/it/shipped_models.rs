//! The models that ship: `rnnlm-server score` gives the perplexity that PyTorch gives in float64.
//!
//! `tests/data/perplexity.json` has what `training/evaluate.py models/NAME tests/data/TEXT` printed for each model. A reference
//! with `lines` is for that many first lines of the text, because the whole text would take too long.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::program::{Ended, program};
use crate::harness::root;

/// The largest relative error.
const TOLERANCE: f64 = 5e-7;

#[test]
fn the_perplexity_of_each_shipped_model_is_that_of_pytorch() {
    let references = std::fs::read(root().join("tests/data/perplexity.json")).unwrap();
    let references: Vec<Value> = serde_json::from_slice(&references).unwrap();
    let named: Vec<&str> = references.iter().map(|reference| reference["model"].as_str().unwrap()).collect();
    assert_eq!(named, shipped(), "every model that ships has a reference");
    for reference in &references {
        let name = reference["model"].as_str().unwrap();
        let found = score(name, &text(reference), "as-stored");
        for count in ["scored_count", "unknown_count", "char_count"] {
            assert_eq!(found[count], reference[count], "{name}: {count}");
        }
        for figure in ["logprob", "perplexity", "bits_per_char"] {
            let found = found[figure].as_f64().unwrap();
            let expected = reference[figure].as_f64().unwrap();
            let error = (found / expected - 1.0).abs();
            assert!(
                error <= TOLERANCE,
                "{name}: {figure} is {found}, expected {expected} as PyTorch gives (relative error {error:e})"
            );
        }
    }
}

/// `benches/perplexity.py` prints the same for whole texts; docs/numbers.md has its table.
#[test]
fn other_types_of_weights_hardly_change_the_perplexity() {
    for model in shipped().iter().filter(|model| has_safetensors(model)) {
        let text =
            if model.starts_with("shakespeare") { "shakespeare-test.txt" } else { "classics-test.txt" };
        let text = first_lines(text, 40);
        let perplexity = |weights| score(model, &text, weights)["perplexity"].as_f64().unwrap();
        let exact = perplexity("f32");
        for (weights, bound) in [("bf16", 0.0005), ("int8", 0.005)] {
            let change = (perplexity(weights) / exact - 1.0).abs();
            assert!(change < bound, "{model}: `{weights}` changes the perplexity by {change}");
        }
    }
}

fn has_safetensors(model: &str) -> bool {
    root().join("models").join(model).join("model.safetensors").exists()
}

/// The text of a reference: a whole file, or its first `lines`.
fn text(reference: &Value) -> PathBuf {
    let name = reference["text"].as_str().unwrap();
    match reference["lines"].as_u64() {
        Some(lines) => first_lines(name, lines),
        None => root().join("tests/data").join(name),
    }
}

/// A file with the first lines of a text in tests/data.
fn first_lines(name: &str, lines: u64) -> PathBuf {
    let whole = root().join("tests/data").join(name);
    let content = std::fs::read_to_string(whole).unwrap();
    let first: String = content.split_inclusive('\n').take(usize::try_from(lines).unwrap()).collect();
    let part = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("first-{lines}-lines-of-{name}"));
    std::fs::write(&part, first).unwrap();
    part
}

fn score(model: &str, text: &Path, weights: &str) -> Value {
    let model = format!("models/{model}");
    let mut command = program();
    command
        .env("RNNLM_WEIGHTS", weights)
        .current_dir(root())
        .args(["score", "--json", "--model", &model])
        .arg(text);
    Ended::run(&mut command).json()["total"].take()
}

/// The names of the model folders, in order.
fn shipped() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("models")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
