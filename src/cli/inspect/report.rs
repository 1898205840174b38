//! What was understood of a model: one structure, printed as JSON or for people. Keys are those of manifests and of `GET /v1/models`.

mod page;

use serde::Serialize;

use crate::api::onnx::OnnxGraph;
use crate::catalog::{
    Draft, Fitting, GraphSpec, Inspection, Manifest, NetworkSpec, NormKind, Served, TensorHead,
};
use crate::lm::{Backend, Cell, WeightsType};
use crate::onnx::WindowHint;
use crate::service::onnx_graph;

/// All that there is to say. What could not be read is absent.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was found, what runs it, whether its state is kept, and what to do next.
    summary: String,
    /// Why the folder or the graph cannot be served.
    pub(super) error: Option<String>,
    /// What runs the model.
    backend: Option<&'static str>,
    model: Option<Model>,
    manifest: Option<ManifestSays>,
    /// How an ONNX graph was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    onnx: Option<OnnxGraph>,
    /// A manifest to start from, for an ONNX file without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<Draft>,
    /// What a manifest could say of a file without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fitting: Option<FittingArchitecture>,
    tensors: Vec<Tensor>,
}

/// What follows from a folder that can be served.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    parameter_count: u64,
    weights_dtype: &'static str,
    state_bytes: usize,
    backend: &'static str,
    identity: String,
    tokenizer_kind: &'static str,
    tokenizer_sha256: String,
    tokenizer_vocab_size: usize,
    initial_token_ids: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct ManifestSays {
    weights: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_dtype: Option<&'static str>,
    /// Of a safetensors file. That of a graph is in the graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<Architecture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    onnx: Option<Onnx>,
    tokenizer: Tokenizer,
    initial_tokens: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Architecture {
    cell: &'static str,
    vocab_size: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proj_size: Option<usize>,
    tie_weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gru_linear_before_reset: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    norms: Option<Vec<String>>,
}

/// What the manifest says of a graph's inputs and outputs.
#[derive(Debug, Serialize)]
struct Onnx {
    tokens: Option<String>,
    state: Vec<(String, String)>,
    logits: Option<String>,
    window: Option<Window>,
    pad: Option<String>,
}

/// A number of ids, or `none`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Window {
    Len(usize),
    Unlimited(&'static str),
}

#[derive(Debug, Serialize)]
struct Tokenizer {
    kind: &'static str,
    file: String,
    unk: Option<String>,
    eos: Option<String>,
    newline: Option<String>,
    lowercase: bool,
    replace: Vec<(String, String)>,
    pattern: Option<String>,
}

#[derive(Debug, Serialize)]
struct FittingArchitecture {
    cells: Vec<&'static str>,
    vocab_size: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proj_size: Option<usize>,
    tie_weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    norms: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

impl Report {
    pub(super) fn new(inspection: Inspection, summary: String) -> Self {
        let Inspection { manifest, tensors, understanding, draft, served, backend, error } = inspection;
        let bare = manifest.is_none() && served.is_none() && error.is_none();
        let fitting = if bare { Fitting::of(&tensors).map(FittingArchitecture::from) } else { None };
        Self {
            summary,
            error: error.map(|error| error.message),
            backend: backend.map(Backend::name),
            model: served.as_ref().map(Model::from),
            manifest: manifest.map(ManifestSays::from),
            onnx: understanding.as_ref().map(onnx_graph),
            draft,
            fitting,
            tensors: tensors.into_iter().map(Tensor::from).collect(),
        }
    }
}

impl From<&Served> for Model {
    fn from(served: &Served) -> Self {
        let info = served.model.info();
        Self {
            id: served.name.to_string(),
            parameter_count: info.parameter_count,
            weights_dtype: info.weights_dtype.name(),
            state_bytes: served.start.bytes(),
            backend: info.backend.name(),
            identity: served.identity.to_string(),
            tokenizer_kind: served.tokenizer.kind().name(),
            tokenizer_sha256: served.tokenizer.sha256().to_owned(),
            tokenizer_vocab_size: served.tokenizer.vocab_size(),
            initial_token_ids: served.initial_tokens.clone(),
        }
    }
}

impl From<Manifest> for ManifestSays {
    fn from(manifest: Manifest) -> Self {
        let Manifest { weights, weights_type, network, tokenizer_file, tokenizer, initial_tokens } = manifest;
        let (architecture, onnx) = match network {
            NetworkSpec::Declared(network) => {
                let architecture = network.architecture;
                let gru_linear_before_reset = architecture.gru_linear_before_reset();
                let architecture = Architecture {
                    cell: architecture.cell.name(),
                    vocab_size: architecture.vocab_size,
                    embedding_size: architecture.embedding_size,
                    hidden_sizes: architecture.hidden_sizes,
                    proj_size: architecture.proj_size,
                    tie_weights: network.tie_weights,
                    gru_linear_before_reset,
                    norms: norm_names(&network.norms.kinds),
                };
                (Some(architecture), None)
            }
            NetworkSpec::Graph(spec) => (None, Some(Onnx::from(spec))),
        };
        Self {
            weights,
            weights_dtype: weights_type.map(WeightsType::name),
            architecture,
            onnx,
            tokenizer: Tokenizer {
                kind: tokenizer.kind.name(),
                file: tokenizer_file,
                unk: tokenizer.unk,
                eos: tokenizer.eos,
                newline: tokenizer.newline,
                lowercase: tokenizer.lowercase,
                replace: tokenizer.replace,
                pattern: tokenizer.pattern,
            },
            initial_tokens,
        }
    }
}

impl From<GraphSpec> for Onnx {
    fn from(spec: GraphSpec) -> Self {
        let GraphSpec { tokens, state, logits, window, pad, .. } = spec;
        let window = window.map(|window| match window {
            WindowHint::Len(len) => Window::Len(len),
            WindowHint::Unlimited => Window::Unlimited("none"),
        });
        Self { tokens, state, logits, window, pad }
    }
}

impl From<Fitting> for FittingArchitecture {
    fn from(fitting: Fitting) -> Self {
        let Fitting { cells, vocab_size, embedding_size, hidden_sizes, proj_size, tie_weights, norms } =
            fitting;
        let cells = cells.into_iter().map(Cell::name).collect();
        let norms = norm_names(&norms);
        Self { cells, vocab_size, embedding_size, hidden_sizes, proj_size, tie_weights, norms }
    }
}

/// The names of normalisations; `None` where there is none at all.
fn norm_names(kinds: &[NormKind]) -> Option<Vec<String>> {
    let is_any = kinds.iter().any(|&kind| kind != NormKind::None);
    is_any.then(|| kinds.iter().map(|kind| kind.name().to_owned()).collect())
}

impl From<TensorHead> for Tensor {
    fn from(TensorHead { name, dtype, shape }: TensorHead) -> Self {
        Self { name, dtype, shape }
    }
}
