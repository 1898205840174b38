//! What was understood of a model: one structure, printed as JSON or for people. Keys are those of manifests and of `GET /v1/models`.

use std::fmt;

use serde::Serialize;

use crate::catalog::{Fitting, Inspection, Manifest, OutputWeights, Served, TensorHead};
use crate::lm::Cell;

/// All that there is to say. What could not be read is absent.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Why the folder cannot be served.
    pub(super) error: Option<String>,
    model: Option<Model>,
    manifest: Option<ManifestSays>,
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
    architecture: Architecture,
    tokenizer: Tokenizer,
    initial_tokens: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Architecture {
    cell: &'static str,
    vocab_size: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    tie_weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gru_linear_before_reset: Option<bool>,
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
    tie_weights: bool,
}

#[derive(Debug, Serialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

impl Report {
    pub(super) fn new(inspection: Inspection) -> Self {
        let Inspection { manifest, tensors, served } = inspection;
        let bare = manifest.is_none() && served.is_none();
        let fitting = if bare { Fitting::of(&tensors).map(FittingArchitecture::from) } else { None };
        let (model, error) = match served {
            Some(Ok(served)) => (Some(Model::from(&served)), None),
            Some(Err(error)) => (None, Some(error.message)),
            None => (None, None),
        };
        let tensors = tensors.into_iter().map(Tensor::from).collect();
        Self { error, model, manifest: manifest.map(ManifestSays::from), fitting, tensors }
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
            identity: served.identity.clone(),
            tokenizer_kind: served.tokenizer.kind().name(),
            tokenizer_sha256: served.tokenizer.sha256().to_owned(),
            tokenizer_vocab_size: served.tokenizer.vocab_size(),
            initial_token_ids: served.initial_tokens.clone(),
        }
    }
}

impl From<Manifest> for ManifestSays {
    fn from(manifest: Manifest) -> Self {
        let gru_linear_before_reset = manifest.gru_linear_before_reset();
        let Manifest { weights, architecture, output_weights, tokenizer_file, tokenizer, initial_tokens } =
            manifest;
        Self {
            weights,
            architecture: Architecture {
                cell: architecture.cell.name(),
                vocab_size: architecture.vocab_size,
                embedding_size: architecture.embedding_size,
                hidden_sizes: architecture.hidden_sizes,
                tie_weights: output_weights == OutputWeights::Tied,
                gru_linear_before_reset,
            },
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

impl From<Fitting> for FittingArchitecture {
    fn from(fitting: Fitting) -> Self {
        let Fitting { cells, vocab_size, embedding_size, hidden_sizes, output_weights } = fitting;
        let tie_weights = output_weights == OutputWeights::Tied;
        let cells = cells.into_iter().map(Cell::name).collect();
        Self { cells, vocab_size, embedding_size, hidden_sizes, tie_weights }
    }
}

impl From<TensorHead> for Tensor {
    fn from(TensorHead { name, dtype, shape }: TensorHead) -> Self {
        Self { name, dtype, shape }
    }
}

const TIED: &str = "tied to the embedding";
const OWN: &str = "weights of its own";

/// A page for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(model) = &self.model {
            write!(f, "{model}")?;
        }
        if let Some(manifest) = &self.manifest {
            write!(f, "{manifest}")?;
        }
        if let Some(fitting) = &self.fitting {
            write!(f, "{fitting}")?;
        }
        let width = self.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        if width > 0 {
            writeln!(f, "\n{:<width$}  type  shape", "tensor")?;
        }
        for Tensor { name, dtype, shape } in &self.tensors {
            writeln!(f, "{name:<width$}  {dtype:<4}  {shape:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "model", &self.id)?;
        line(f, "identity", &self.identity)?;
        line(f, "parameters", self.parameter_count)?;
        line(f, "state", format!("{} bytes", self.state_bytes))?;
        line(f, "run by", self.backend)?;
        line(
            f,
            "vocabulary",
            format!("{} entries, sha256 {}", self.tokenizer_vocab_size, self.tokenizer_sha256),
        )
    }
}

impl fmt::Display for ManifestSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, architecture, tokenizer, initial_tokens } = self;
        line(f, "weights", weights)?;
        line(f, "cell", architecture.cell)?;
        if let Some(linear) = architecture.gru_linear_before_reset {
            line(f, "reset", if linear { "after the product" } else { "before the product" })?;
        }
        line(
            f,
            "sizes",
            sizes(architecture.vocab_size, architecture.embedding_size, &architecture.hidden_sizes),
        )?;
        line(f, "output", if architecture.tie_weights { TIED } else { OWN })?;
        line(f, "tokenizer", format!("{}, {}", tokenizer.kind, tokenizer.file))?;
        for (name, entry) in
            [("unk", &tokenizer.unk), ("eos", &tokenizer.eos), ("newline", &tokenizer.newline)]
        {
            line(f, name, entry.as_deref().map_or("-".into(), |entry| entry.escape_debug().to_string()))?;
        }
        let initial: Vec<String> =
            initial_tokens.iter().map(|entry| entry.escape_debug().to_string()).collect();
        line(f, "starts after", if initial.is_empty() { "-".to_owned() } else { initial.join(" ") })
    }
}

impl fmt::Display for FittingArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "cell", self.cells.join(" or "))?;
        line(f, "sizes", sizes(self.vocab_size, self.embedding_size, &self.hidden_sizes))?;
        line(f, "output", if self.tie_weights { TIED } else { OWN })
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<14}{value}")
}

/// From the input of the network to its output.
fn sizes(vocab_size: usize, embedding_size: usize, hidden_sizes: &[usize]) -> String {
    let hidden: Vec<String> = hidden_sizes.iter().map(ToString::to_string).collect();
    format!("{vocab_size} tokens, embedding {embedding_size}, hidden {}", hidden.join(" "))
}
