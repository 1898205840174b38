//! From a manifest to what computes the model, and the identity of its numbers.

use std::path::Path;
use std::sync::Arc;

use super::agree::agree;
use super::files::{Limit, check, read};
use super::folder::load_tokenizer;
use super::manifest::{DeclaredNetwork, GraphSpec, Manifest, NetworkSpec, NormKind};
use super::parallel::{Both, both};
use super::weights::read_weights;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lm::{Backend, Cell, Dtype, LoadOptions, Model};
use crate::onnx::{self, Hints, Understanding, WindowHint};
use crate::probe::{Loading, Probe};
use crate::rnn::{GateActivation, GruForm, Rnn};
use crate::text::{Tokenizer, escape_invisible};

/// A model, before its name and its first state are known.
pub(super) struct Computed {
    pub(super) model: Arc<dyn Model>,
    /// See [`Served::identity`](super::Served::identity).
    pub(super) identity: String,
    /// How its graph was understood.
    pub(super) understanding: Option<Understanding>,
}

/// A model folder, as far as its network depends on it.
pub(super) struct Source<'a> {
    pub(super) folder: &'a Path,
    pub(super) manifest: &'a Manifest,
    pub(super) tokenizer: &'a Tokenizer,
}

impl Source<'_> {
    /// Loads the weights that the manifest names. What `loading` leaves open, the manifest decides.
    ///
    /// # Errors
    /// `Load` naming the file and what in it is at fault.
    pub(super) fn load(&self, loading: &Loading) -> Result<Computed> {
        let weights = loading.native.weights.or(self.manifest.weights_type);
        let native = LoadOptions { weights, ..loading.native };
        let limit = Limit::Weights(loading.weights_bytes_max);
        let computed = match &self.manifest.network {
            NetworkSpec::Declared(network) => {
                let file = read(self.folder, &self.manifest.weights, limit)?;
                declared(file, network, native)
            }
            NetworkSpec::Graph(spec) => {
                check(self.folder, &self.manifest.weights, limit)?;
                let hints = hints(spec, self.tokenizer)?;
                self.graph(spec, &hints, &Loading { native, ..loading.clone() })
            }
        };
        computed.map_err(|error| error.within(format!("`{}`", self.manifest.weights)))
    }

    fn graph(&self, spec: &GraphSpec, hints: &Hints, loading: &Loading) -> Result<Computed> {
        let limit = Limit::Weights(loading.weights_bytes_max);
        // By its own name: files beside it are those of the folder.
        let path = self.folder.join(&self.manifest.weights);
        let onnx::Loaded { model, understanding } = onnx::load(&path, hints, loading.clone())?;
        agree(&spec.architecture, &understanding, model.info().vocab_size)?;
        self.check_weights_type(model.info().backend)?;
        let mut digest = Digest::default();
        digest.field(&read(self.folder, &self.manifest.weights, limit)?);
        for file in &understanding.external_files {
            digest.field(file.as_bytes());
            digest.field(&read(self.folder, file, limit)?);
        }
        let identity = graph_identity(digest, hints, model.info().effective_dtype);
        Ok(Computed { model, identity, understanding: Some(understanding) })
    }

    /// Refuses a type of weights for a graph whose weights are tract's.
    fn check_weights_type(&self, backend: Backend) -> Result<()> {
        match (self.manifest.weights_type, backend) {
            (Some(_), Backend::Tract) => Err(Error::load(
                "`weights_dtype` was found, but the graph's network is not recognised and runs as it is; expected a manifest without this key",
            )),
            _ => Ok(()),
        }
    }
}

/// What the manifest says about a graph, its padding as an id.
///
/// # Errors
/// `Load` when the vocabulary has no such entry.
fn hints(spec: &GraphSpec, tokenizer: &Tokenizer) -> Result<Hints> {
    let id = |entry: &String| {
        let unknown = || {
            let entry = escape_invisible(entry);
            Error::load(format!("`onnx.pad` is `{entry}`, which the vocabulary does not have"))
        };
        tokenizer.id_of(entry).ok_or_else(unknown)
    };
    Ok(spec.hints(spec.pad.as_ref().map(id).transpose()?))
}

/// The same for a folder that may be wrong elsewhere: padding that cannot be resolved is left out.
pub(super) fn hints_of_folder(
    folder: &Path,
    manifest: &Manifest,
    spec: &GraphSpec,
    probe: Option<&Probe>,
) -> Hints {
    let known = load_tokenizer(folder, manifest, probe).and_then(|tokenizer| hints(spec, &tokenizer));
    known.unwrap_or_else(|_| spec.hints(None))
}

/// The file is hashed while its tensors are read, and given up before they are packed.
fn declared(file: Vec<u8>, network: &DeclaredNetwork, options: LoadOptions) -> Result<Computed> {
    let hash = || {
        let mut digest = Digest::default();
        digest.field(&file);
        digest
    };
    let Both { beside: digest, here: weights } = both(hash, || read_weights(&file, network));
    drop(file);
    let model = Arc::new(Rnn::new(&network.architecture, weights?, options)?);
    let identity = declared_identity(digest, network, model.info().effective_dtype);
    Ok(Computed { model, identity, understanding: None })
}

/// The digest over all that determines the numbers of a network: its safetensors file, which `digest` has already, and the rest.
fn declared_identity(mut digest: Digest, network: &DeclaredNetwork, effective: Dtype) -> String {
    let architecture = &network.architecture;
    let gru_form = match (architecture.cell, architecture.gru_form) {
        (Cell::Gru, GruForm::ResetAfter) => "reset_after",
        (Cell::Gru, GruForm::ResetBefore) => "reset_before",
        _ => "none",
    };
    digest.field(architecture.cell.name().as_bytes());
    digest.field(gru_form.as_bytes());
    digest.field(if network.tie_weights { b"tied" } else { b"own" });
    for size in
        [architecture.vocab_size, architecture.embedding_size].iter().chain(&architecture.hidden_sizes)
    {
        digest.field(size.to_string().as_bytes());
    }
    digest.field(effective.name().as_bytes());
    if let Some(gates) = architecture.gate_activation().filter(|&gates| gates != GateActivation::Sigmoid) {
        digest.field(gates.name().as_bytes());
    }
    if let Some(size) = architecture.proj_size {
        digest.field(format!("proj_size {size}").as_bytes());
    }
    if network.norms.is_any() {
        let kinds: Vec<&str> = network.norms.kinds.iter().copied().map(NormKind::name).collect();
        let epsilon = network.norms.epsilon.to_bits();
        digest.field(format!("norms {} {epsilon}", kinds.join(" ")).as_bytes());
    }
    digest.finish()
}

/// The digest over all that determines a graph's numbers: its files, which `digest` has already, and what the manifest
/// overrides or names.
fn graph_identity(mut digest: Digest, hints: &Hints, effective: Dtype) -> String {
    let Hints { tokens, state, inputs, logits, window, pad, gru_linear_before_reset } = hints;
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
    for (input, value) in inputs {
        digest.field(input.as_bytes());
        digest.field(value.to_string().as_bytes());
    }
    digest.field(effective.name().as_bytes());
    digest.finish()
}
