//! `onnx`: what a manifest says about a graph where detection is not enough.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::KnownArchitecture;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::Hints;

/// What the manifest says about a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphSpec {
    /// Must agree with the graph, except for `gru_linear_before_reset`, which overrides it.
    pub architecture: KnownArchitecture,
    /// See [`Hints::tokens`].
    pub tokens: Option<String>,
    /// See [`Hints::state`].
    pub state: Vec<(String, String)>,
    /// See [`Hints::logits`].
    pub logits: Option<String>,
    /// See [`Hints::window`].
    pub window: Option<usize>,
    /// The vocabulary entry for [`Hints::pad`].
    pub pad: Option<String>,
}

impl GraphSpec {
    /// The hints for the reader, with `pad` as an id.
    pub fn hints(&self, pad: Option<TokenId>) -> Hints {
        let Self { architecture, tokens, state, logits, window, .. } = self.clone();
        let gru_linear_before_reset = architecture.gru_linear_before_reset;
        Hints { tokens, state, logits, window, pad, gru_linear_before_reset }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Onnx {
    tokens: Option<String>,
    #[serde(default, deserialize_with = "super::pairs")]
    state: Vec<(String, String)>,
    logits: Option<String>,
    window: Option<NonZeroU32>,
    pad: Option<String>,
}

impl Onnx {
    pub(super) fn check(self, architecture: KnownArchitecture) -> Result<GraphSpec> {
        let Self { tokens, state, logits, window, pad } = self;
        let mut inputs = BTreeMap::new();
        for (input, output) in &state {
            if let Some(first) = inputs.insert(input, output) {
                let message =
                    format!("`onnx.state` has the key `{input}` twice, with `{first}` and `{output}`");
                return Err(Error::load(message));
            }
        }
        if window.is_some() && !state.is_empty() {
            return Err(Error::load(
                "`onnx.window` and `onnx.state` were both found; a window is for graphs without state",
            ));
        }
        let window = window.map(|window| window.get() as usize);
        Ok(GraphSpec { architecture, tokens, state, logits, window, pad })
    }
}
