//! The models that ship: `rnnlm-server score` gives the perplexity that PyTorch gives in float64.
//!
//! `tests/data/perplexity.json` has what `training/evaluate.py models/NAME tests/data/TEXT` printed for each model. A reference
//! with `lines` is for that many first lines of the text, because a graph reads one token at a time and the whole text would take
//! too long.

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
        let found = score(name, &text(reference));
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

/// The text of a reference: a whole file, or its first `lines`.
fn text(reference: &Value) -> PathBuf {
    let name = reference["text"].as_str().unwrap();
    let whole = root().join("tests/data").join(name);
    let Some(lines) = reference["lines"].as_u64() else { return whole };
    let content = std::fs::read_to_string(whole).unwrap();
    let first: String = content.split_inclusive('\n').take(usize::try_from(lines).unwrap()).collect();
    let part = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("first-{lines}-lines-of-{name}"));
    std::fs::write(&part, first).unwrap();
    part
}

fn score(model: &str, text: &Path) -> Value {
    let model = format!("models/{model}");
    let mut command = program();
    command.current_dir(root()).args(["score", "--json", "--model", &model]).arg(text);
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
