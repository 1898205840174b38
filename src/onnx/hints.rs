//! What a manifest says about a graph that the graph itself does not.

use serde::{Deserialize, Serialize};

use crate::lm::TokenId;

/// The key `onnx.window` of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowHint {
    /// So many, each time from the zero state.
    Len(usize),
    /// `"none"`: each position reads one, and the state is carried from token to token.
    Unlimited,
}

/// The key `onnx` of a manifest, and what else it says of a graph. It is JSON on the way to a child process that tries the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The input that takes token ids.
    pub tokens: Option<String>,
    /// The state: names of inputs, each with the output that it is fed from.
    pub state: Vec<(String, String)>,
    /// Inputs that are always fed with one value, each with that value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<(String, serde_json::Value)>,
    /// The output with logits, probabilities or their logarithms.
    pub logits: Option<String>,
    /// How many of the last ids the graph reads at every position.
    pub window: Option<WindowHint>,
    /// What stands in a window before the first token.
    pub pad: Option<TokenId>,
    /// In force in place of every GRU node's `linear_before_reset`.
    pub gru_linear_before_reset: Option<bool>,
}

impl Hints {
    /// What a manifest says that only names a window.
    #[cfg(feature = "onnx")]
    pub(super) fn windowed(len: usize) -> Self {
        Self { window: Some(WindowHint::Len(len)), ..Self::default() }
    }
}
