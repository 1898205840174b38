//! From a manifest to what computes the model, and the identity of its numbers.

use std::path::Path;
use std::sync::Arc;

use super::folder::{load_tokenizer, read};
use super::manifest::{GraphSpec, KnownArchitecture, Manifest, Network, OutputWeights};
use super::weights::read_weights;
use crate::error::{Error, Result};
use crate::lm::{Cell, Dtype, Model};
use crate::onnx::{self, Hints, Understanding, WindowHint};
use crate::rnn::{Architecture, GruForm, Kernel, Rnn};
use crate::text::{Digest, Tokenizer, visible};

/// A model, before its name and its first state are known.
pub(super) struct Computed {
    pub(super) model: Arc<dyn Model>,
    /// See [`Served::identity`](super::Served::identity).
    pub(super) identity: String,
    /// How its graph was understood.
    pub(super) understanding: Option<Understanding>,
}

/// Loads the weights that `manifest` names, to run on `kernel`.
///
/// # Errors
/// `Load` naming the file and what in it is at fault.
pub(super) fn load(
    folder: &Path,
    manifest: &Manifest,
    tokenizer: &Tokenizer,
    kernel: Kernel,
) -> Result<Computed> {
    let computed = match &manifest.network {
        Network::Declared { architecture, output_weights } => {
            let file = read(folder, &manifest.weights)?;
            declared(&file, (architecture, *output_weights), kernel)
        }
        Network::Graph(spec) => {
            let hints = hints(spec, tokenizer)?;
            onnx::load(&folder.join(&manifest.weights), &hints, kernel).and_then(|loaded| {
                let onnx::Loaded { model, understanding } = loaded;
                agree(&spec.architecture, &understanding, model.info().vocab_size)?;
                let identity = graph_identity(folder, manifest, (&understanding, &hints))?;
                Ok(Computed { model, identity, understanding: Some(understanding) })
            })
        }
    };
    computed.map_err(|error| error.within(format!("`{}`", manifest.weights)))
}

/// What the manifest says of a graph, its padding as an id.
///
/// # Errors
/// `Load` when the vocabulary has no such entry.
fn hints(spec: &GraphSpec, tokenizer: &Tokenizer) -> Result<Hints> {
    let id = |entry: &String| {
        let unknown = || {
            let entry = visible(entry);
            Error::load(format!("`onnx.pad` is `{entry}`, which the vocabulary does not have"))
        };
        tokenizer.id_of(entry).ok_or_else(unknown)
    };
    Ok(spec.hints(spec.pad.as_ref().map(id).transpose()?))
}

/// The same for a folder that may be wrong elsewhere: a padding that cannot be known is left out.
pub(super) fn hints_of_folder(folder: &Path, manifest: &Manifest, spec: &GraphSpec) -> Hints {
    let known = load_tokenizer(folder, manifest).and_then(|tokenizer| hints(spec, &tokenizer));
    known.unwrap_or_else(|_| spec.hints(None))
}

fn declared(
    file: &[u8],
    (architecture, output): (&Architecture, OutputWeights),
    kernel: Kernel,
) -> Result<Computed> {
    let (weights, stored) = read_weights(file, architecture, output)?;
    let model = Arc::new(Rnn::new(architecture, weights, stored, kernel)?);
    Ok(Computed { model, identity: declared_identity(file, architecture, output), understanding: None })
}

/// Refuses a manifest that says of a graph what is not so.
fn agree(known: &KnownArchitecture, understanding: &Understanding, vocab_size: usize) -> Result<()> {
    let differs = |key: &str, found: String, expected: String| {
        Err(Error::load(format!("`architecture.{key}` is {found}, expected {expected}, as the graph has it")))
    };
    if let Some(found) = known.vocab_size.filter(|found| found.get() as usize != vocab_size) {
        return differs("vocab_size", found.to_string(), vocab_size.to_string());
    }
    let Some(onnx::GraphNetwork { architecture, tie_weights }) = &understanding.network else {
        return match known.beyond_vocab_size() {
            None => Ok(()),
            Some(key) => Err(Error::load(format!(
                "`architecture.{key}` is there, but the graph is run as it is, its network unknown; expected `architecture` without it"
            ))),
        };
    };
    if let Some(found) = known.cell.filter(|&found| found != architecture.cell) {
        return differs("cell", format!("`{}`", found.name()), format!("`{}`", architecture.cell.name()));
    }
    if let Some(found) =
        known.embedding_size.filter(|found| found.get() as usize != architecture.embedding_size)
    {
        return differs("embedding_size", found.to_string(), architecture.embedding_size.to_string());
    }
    if let Some(found) = known.hidden_sizes().filter(|found| *found != architecture.hidden_sizes) {
        return differs("hidden_sizes", format!("{found:?}"), format!("{:?}", architecture.hidden_sizes));
    }
    if let Some(found) = known.tie_weights.filter(|found| found != tie_weights) {
        return differs("tie_weights", found.to_string(), tie_weights.to_string());
    }
    if known.gru_linear_before_reset.is_some() && architecture.cell != Cell::Gru {
        let cell = architecture.cell.name();
        return Err(Error::load(format!(
            "`architecture.gru_linear_before_reset` is there, but the graph's cell is `{cell}`, expected it with `gru` only"
        )));
    }
    Ok(())
}

/// What the weights are multiplied as, whatever the file stores: see [`ModelInfo::weights_dtype`](crate::lm::ModelInfo::weights_dtype).
const EFFECTIVE: Dtype = Dtype::F32;

/// The digest over all that decides the numbers of a safetensors file.
fn declared_identity(weights: &[u8], architecture: &Architecture, output: OutputWeights) -> String {
    let gru_form = match (architecture.cell, architecture.gru_form) {
        (Cell::Gru, GruForm::ResetAfter) => "reset_after",
        (Cell::Gru, GruForm::ResetBefore) => "reset_before",
        _ => "none",
    };
    let mut digest = Digest::default();
    digest.field(weights);
    digest.field(architecture.cell.name().as_bytes());
    digest.field(gru_form.as_bytes());
    digest.field(output.name().as_bytes());
    for size in
        [architecture.vocab_size, architecture.embedding_size].iter().chain(&architecture.hidden_sizes)
    {
        digest.field(size.to_string().as_bytes());
    }
    digest.field(EFFECTIVE.name().as_bytes());
    digest.finish()
}

/// The digest over all that decides a graph's numbers: its files, and what the manifest overrides or names.
fn graph_identity(
    folder: &Path,
    manifest: &Manifest,
    (understanding, hints): (&Understanding, &Hints),
) -> Result<String> {
    let mut digest = Digest::default();
    digest.field(&read(folder, &manifest.weights)?);
    for file in &understanding.external_files {
        digest.field(file.as_bytes());
        digest.field(&read(folder, file)?);
    }
    let Hints { tokens, state, logits, window, pad, gru_linear_before_reset } = hints;
    let optional =
        |value: Option<String>| value.map_or("absent".to_owned(), |value| format!("given {value}"));
    let pad = optional(pad.map(|pad| pad.to_string()));
    // A state that is carried on is the same, whether the manifest says so or not.
    let window = optional(window.and_then(|window| match window {
        WindowHint::Len(len) => Some(len.to_string()),
        WindowHint::Unlimited => None,
    }));
    let reset = optional(gru_linear_before_reset.map(|reset| reset.to_string()));
    for field in [optional(tokens.clone()), optional(logits.clone()), window, pad, reset] {
        digest.field(field.as_bytes());
    }
    for (input, output) in state {
        digest.field(input.as_bytes());
        digest.field(output.as_bytes());
    }
    digest.field(EFFECTIVE.name().as_bytes());
    Ok(digest.finish())
}
