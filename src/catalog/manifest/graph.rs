//! `onnx`: what a manifest says about a graph where detection is not enough.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::KnownArchitecture;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::{Hints, WindowHint};

/// What the manifest says about a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphSpec {
    /// Must agree with the graph, except for `gru_linear_before_reset`, which overrides it.
    pub architecture: KnownArchitecture,
    /// See [`Hints::tokens`].
    pub tokens: Option<String>,
    /// See [`Hints::state`].
    pub state: Vec<(String, String)>,
    /// See [`Hints::inputs`].
    pub inputs: Vec<(String, serde_json::Value)>,
    /// See [`Hints::logits`].
    pub logits: Option<String>,
    /// See [`Hints::window`].
    pub window: Option<WindowHint>,
    /// The vocabulary entry for [`Hints::pad`].
    pub pad: Option<String>,
}

impl GraphSpec {
    /// The hints for the reader, with `pad` as an id.
    pub fn hints(&self, pad: Option<TokenId>) -> Hints {
        let Self { architecture, tokens, state, inputs, logits, window, .. } = self.clone();
        let gru_linear_before_reset = architecture.gru_linear_before_reset;
        Hints { tokens, state, inputs, logits, window, pad, gru_linear_before_reset }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Onnx {
    tokens: Option<String>,
    #[serde(default, deserialize_with = "super::pairs")]
    state: Vec<(String, String)>,
    #[serde(default, deserialize_with = "super::pairs")]
    inputs: Vec<(String, serde_json::Value)>,
    logits: Option<String>,
    #[serde(default, deserialize_with = "window")]
    window: Option<WindowHint>,
    pad: Option<String>,
}

impl Onnx {
    pub(super) fn check(self, architecture: KnownArchitecture) -> Result<GraphSpec> {
        let Self { tokens, state, inputs, logits, window, pad } = self;
        let mut fed = BTreeMap::new();
        for (input, output) in &state {
            if let Some(first) = fed.insert(input, output) {
                let message =
                    format!("`onnx.state` has the key `{input}` twice, with `{first}` and `{output}`");
                return Err(Error::load(message));
            }
        }
        for (at, (input, _)) in inputs.iter().enumerate() {
            if inputs[..at].iter().any(|(before, _)| before == input) {
                return Err(Error::load(format!("`onnx.inputs` has the key `{input}` twice")));
            }
        }
        if matches!(window, Some(WindowHint::Len(_))) && !state.is_empty() {
            return Err(Error::load(
                "`onnx.window` and `onnx.state` exclude each other: a window is read from the zero state at every position",
            ));
        }
        Ok(GraphSpec { architecture, tokens, state, inputs, logits, window, pad })
    }
}

/// A number of ids, or `"none"`.
fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WindowHint>, D::Error> {
    struct Window;

    impl Visitor<'_> for Window {
        type Value = WindowHint;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of ids, at least 1, or \"none\"")
        }

        fn visit_u64<E: serde::de::Error>(self, len: u64) -> Result<WindowHint, E> {
            let len = usize::try_from(len).ok().filter(|&len| len > 0);
            len.map(WindowHint::Len).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(0), &self))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WindowHint, E> {
            match text {
                "none" => Ok(WindowHint::Unlimited),
                other => Err(E::invalid_value(Unexpected::Str(other), &self)),
            }
        }
    }

    deserializer.deserialize_any(Window).map(Some)
}
