//! What goes into loading a graph, and what comes out.

use std::path::Path;
use std::sync::Arc;

use super::Understanding;
use crate::error::Result;
use crate::kernels::Kernel;
use crate::lm::{Model, TokenId};

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

/// A graph that can be served, or not.
pub struct Examined {
    /// What computes it, or why it cannot be served.
    pub model: Result<Arc<dyn Model>>,
    /// How it was understood.
    pub understanding: Understanding,
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
pub fn load(path: &Path, hints: &Hints, kernel: Kernel) -> Result<Loaded> {
    let Examined { model, understanding } = super::examine(path, hints, kernel)?;
    Ok(Loaded { model: model?, understanding })
}
