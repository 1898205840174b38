//! ONNX files: read, checked, lowered to the native engine or run as they are.
//!
//! One order: white list, lower, tract. A file with a recurrent node that some run-time would compute wrongly is refused
//! before anything runs it. Most exports are the same network behind different glue: they become a
//! [`Rnn`](crate::rnn::Rnn), whatever they do with the state. What is left, and is safe, runs with tract.

mod graph;
mod understanding;

use std::path::Path;
use std::sync::Arc;

pub use graph::{Dim, Element, Port};
pub use understanding::{Layer, PortUse, Understanding};

use crate::error::{Error, Result};
use crate::lm::{Model, TokenId};
use crate::rnn::Kernel;

/// What the manifest says of a graph, where detection is not enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The input that takes token ids.
    pub tokens: Option<String>,
    /// The state: names of inputs, each with the output that it is fed from.
    pub state: Vec<(String, String)>,
    /// The output with logits, probabilities or their logarithms.
    pub logits: Option<String>,
    /// How many of the last ids a graph without a state reads at once.
    pub window: Option<usize>,
    /// What stands in a window before the first token.
    pub pad: Option<TokenId>,
    /// In force in place of every GRU node's `linear_before_reset`.
    pub gru_linear_before_reset: Option<bool>,
}

/// A graph that can be served.
pub struct Loaded {
    /// What computes it.
    pub model: Arc<dyn Model>,
    /// How it was understood.
    pub understanding: Understanding,
}

/// Loads the ONNX file `path`; weights kept outside of it are read from its folder alone.
///
/// # Errors
/// `Load` naming the node, input or output at fault, what was found and what was expected.
pub fn load(path: &Path, _hints: &Hints, _kernel: Kernel) -> Result<Loaded> {
    Err(Error::load(format!("`{}` is an ONNX file, which this version does not read", path.display())))
}
