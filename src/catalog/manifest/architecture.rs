//! `architecture`: the network of a manifest, in full for a safetensors file, in part for an ONNX graph.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::norms::{NormKind, Norms};
use super::{cell, gate_activation};
use crate::error::{Error, Result};
use crate::lm::Cell;
use crate::rnn::{self, GateActivation, GruForm};

/// The keys of `architecture` that were found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct KnownArchitecture {
    /// The cell of every layer.
    #[serde(default, deserialize_with = "cell")]
    pub cell: Option<Cell>,
    /// Number of tokens.
    pub vocab_size: Option<NonZeroU32>,
    /// Width of the embedding.
    pub embedding_size: Option<NonZeroU32>,
    /// Units of each layer, the first layer first.
    pub hidden_sizes: Option<Vec<NonZeroU32>>,
    /// Width of an LSTM's projected h.
    pub proj_size: Option<NonZeroU32>,
    /// Whether the output layer's weights are the embedding.
    pub tie_weights: Option<bool>,
    /// Where the reset gate of a GRU acts.
    pub gru_linear_before_reset: Option<bool>,
    /// The function of the gates of a GRU or an LSTM.
    #[serde(default, deserialize_with = "gate_activation")]
    pub gate_activation: Option<GateActivation>,
    /// The normalisation before each layer, and last before the output layer.
    pub norms: Option<Vec<NormKind>>,
    /// What their variances are increased by.
    pub norm_epsilon: Option<f32>,
}

/// The network of a safetensors file.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredNetwork {
    /// Sizes, cell and form.
    pub architecture: rnn::Architecture,
    /// Whether the output layer's weights are the embedding, `encoder.weight` (Press & Wolf 2017), and not a tensor of
    /// their own, `decoder.weight`.
    pub tie_weights: bool,
    /// What stands before the layers.
    pub norms: Norms,
}

impl KnownArchitecture {
    /// Units of each layer.
    pub fn hidden_sizes(&self) -> Option<Vec<usize>> {
        self.hidden_sizes.as_deref().map(sizes)
    }

    /// The first key that was found besides those of `known`.
    pub(in crate::catalog) fn found_beside(&self, known: &[&str]) -> Option<&'static str> {
        [
            ("cell", self.cell.is_some()),
            ("vocab_size", self.vocab_size.is_some()),
            ("embedding_size", self.embedding_size.is_some()),
            ("hidden_sizes", self.hidden_sizes.is_some()),
            ("proj_size", self.proj_size.is_some()),
            ("tie_weights", self.tie_weights.is_some()),
            ("gru_linear_before_reset", self.gru_linear_before_reset.is_some()),
            ("gate_activation", self.gate_activation.is_some()),
            ("norms", self.norms.is_some()),
            ("norm_epsilon", self.norm_epsilon.is_some()),
        ]
        .into_iter()
        .find_map(|(key, was_found)| (was_found && !known.contains(&key)).then_some(key))
    }

    /// The network, where the manifest describes all of it.
    pub(super) fn declared(self) -> Result<DeclaredNetwork> {
        let cell = required("cell", self.cell)?;
        let vocab_size = size(required("vocab_size", self.vocab_size)?);
        let embedding_size = size(required("embedding_size", self.embedding_size)?);
        let hidden_sizes = sizes(&required("hidden_sizes", self.hidden_sizes)?);
        let Some(&last) = hidden_sizes.last() else {
            return Err(Error::load(
                "`architecture.hidden_sizes` is empty, expected the number of units of each layer",
            ));
        };
        let proj_size = self.proj_size.map(size);
        check_proj_size(proj_size, cell, &hidden_sizes)?;
        let tie_weights = self.tie_weights.unwrap_or(false);
        let (width, key) =
            proj_size.map_or((last, "the last of `hidden_sizes`"), |width| (width, "`proj_size`"));
        if tie_weights && embedding_size != width {
            let message = format!(
                "`architecture.tie_weights` is true and `embedding_size` is {embedding_size}, expected {width}, {key}"
            );
            return Err(Error::load(message));
        }
        let norms = Norms::declared(self.norms, self.norm_epsilon, hidden_sizes.len())?;
        let gru_form = match self.gru_linear_before_reset {
            None | Some(true) => GruForm::ResetAfter,
            Some(false) => GruForm::ResetBefore,
        };
        let gate_activation = self.gate_activation.unwrap_or_default();
        let architecture = rnn::Architecture {
            cell,
            vocab_size,
            embedding_size,
            hidden_sizes,
            proj_size,
            gru_form,
            gate_activation,
        };
        Ok(DeclaredNetwork { architecture, tie_weights, norms })
    }
}

fn check_proj_size(proj_size: Option<usize>, cell: Cell, hidden_sizes: &[usize]) -> Result<()> {
    let Some(proj_size) = proj_size else { return Ok(()) };
    let key = "`architecture.proj_size`";
    if cell != Cell::Lstm {
        let cell = cell.name();
        return Err(Error::load(format!("{key} was found with the cell `{cell}`; only `lstm` has it")));
    }
    match hidden_sizes.iter().min().filter(|&&least| proj_size > least) {
        Some(least) => Err(Error::load(format!(
            "{key} is {proj_size}, expected at most {least}, the smallest of `hidden_sizes`"
        ))),
        None => Ok(()),
    }
}

fn required<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| {
        Error::load(format!(
            "`architecture.{key}` is missing; a `.safetensors` file does not describe its network"
        ))
    })
}

fn size(size: NonZeroU32) -> usize {
    size.get() as usize
}

fn sizes(sizes: &[NonZeroU32]) -> Vec<usize> {
    sizes.iter().copied().map(size).collect()
}
