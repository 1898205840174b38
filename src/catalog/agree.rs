//! Whether what a manifest says of a network is what its graph has.

use super::manifest::KnownArchitecture;
use crate::error::{Error, Result};
use crate::lm::Cell;
use crate::onnx::{GraphFeedForward, GraphNetwork, Understanding};

/// Refuses a manifest that contradicts its graph, whose logits are `vocab_size` wide.
pub(super) fn agree(
    known: &KnownArchitecture,
    understanding: &Understanding,
    vocab_size: usize,
) -> Result<()> {
    if let Some(found) = known.vocab_size.filter(|found| found.get() as usize != vocab_size) {
        return differs("vocab_size", found.to_string(), vocab_size.to_string());
    }
    match (&understanding.network, &understanding.feed_forward) {
        (Some(network), _) => agree_with_layers(known, network),
        (None, Some(network)) => agree_with_window(known, network),
        (None, None) => match known.found_beside(&["vocab_size"]) {
            None => Ok(()),
            Some(key) => Err(Error::load(format!(
                "`architecture.{key}` was found, but the graph's network is not recognised and runs as it is; expected `architecture` without this key"
            ))),
        },
    }
}

fn differs(key: &str, found: String, expected: String) -> Result<()> {
    Err(Error::load(format!("`architecture.{key}` is {found}, expected {expected}, as in the graph")))
}

/// What every known network has.
struct Sizes {
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    tie_weights: bool,
}

impl Sizes {
    fn agree(&self, known: &KnownArchitecture) -> Result<()> {
        let &Self { embedding_size, ref hidden_sizes, tie_weights } = self;
        if let Some(found) = known.embedding_size.filter(|found| found.get() as usize != embedding_size) {
            return differs("embedding_size", found.to_string(), embedding_size.to_string());
        }
        if let Some(found) = known.hidden_sizes().filter(|found| found != hidden_sizes) {
            return differs("hidden_sizes", format!("{found:?}"), format!("{hidden_sizes:?}"));
        }
        match known.tie_weights.filter(|&found| found != tie_weights) {
            Some(found) => differs("tie_weights", found.to_string(), tie_weights.to_string()),
            None => Ok(()),
        }
    }
}

/// The same for a graph of recurrent layers.
fn agree_with_layers(known: &KnownArchitecture, network: &GraphNetwork) -> Result<()> {
    let GraphNetwork { architecture, tie_weights, .. } = network;
    if let Some(found) = known.cell.filter(|&found| found != architecture.cell) {
        return differs("cell", format!("`{}`", found.name()), format!("`{}`", architecture.cell.name()));
    }
    let sizes = Sizes {
        embedding_size: architecture.embedding_size,
        hidden_sizes: architecture.hidden_sizes.clone(),
        tie_weights: *tie_weights,
    };
    sizes.agree(known)?;
    let proj_size = known.proj_size.map(|size| size.get() as usize);
    if let Some(found) = proj_size.filter(|_| proj_size != architecture.proj_size) {
        let expected = architecture.proj_size.map_or("absent".to_owned(), |size| size.to_string());
        return differs("proj_size", found.to_string(), expected);
    }
    if known.norms.is_some() || known.norm_epsilon.is_some() {
        return Err(Error::load(
            "`architecture.norms` was found, but a graph has its normalisations in itself; expected `architecture` without it",
        ));
    }
    let gates = architecture.gate_activation();
    if let Some(found) = known.gate_activation.filter(|&found| gates != Some(found)) {
        let expected = gates.map_or("absent".to_owned(), |gates| format!("`{}`", gates.name()));
        return differs("gate_activation", format!("`{}`", found.name()), expected);
    }
    if known.gru_linear_before_reset.is_some() && architecture.cell != Cell::Gru {
        let cell = architecture.cell.name();
        return Err(Error::load(format!(
            "`architecture.gru_linear_before_reset` was found, but the graph's cell is `{cell}`; only `gru` has it"
        )));
    }
    Ok(())
}

/// The same for a graph that reads a window of tokens, without recurrence.
fn agree_with_window(known: &KnownArchitecture, network: &GraphFeedForward) -> Result<()> {
    const KEYS: [&str; 4] = ["vocab_size", "embedding_size", "hidden_sizes", "tie_weights"];

    if let Some(key) = known.found_beside(&KEYS) {
        return Err(Error::load(format!(
            "`architecture.{key}` was found, but the graph's network has no recurrent layer; expected `architecture` without this key"
        )));
    }
    let sizes = Sizes {
        embedding_size: network.embedding_size,
        hidden_sizes: network.hidden.iter().map(|layer| layer.size).collect(),
        tie_weights: network.tie_weights,
    };
    sizes.agree(known)
}
