//! A lowered network as a model: how it reads its tokens, as its manifest says and its graph allows.
//!
//! A graph without an input and an output for its state can only have been called on whole texts, or on windows of them that are
//! padded on the left. Carrying a state from window to window would serve a model that was never trained.

use std::sync::Arc;

use super::hints::WindowHint;
use super::lower::Lowered;
use super::recognise::Usage;
use super::{Hints, Reads};
use crate::error::{Error, Result};
use crate::lm::{LoadOptions, Model, Window};
use crate::rnn::{Rnn, WindowedRnn};

/// How a network reads its tokens.
pub(super) struct Reading {
    /// The last ids, each time from the zero state; `None` where the state is carried from token to token.
    pub(super) window: Option<Window>,
    /// The same, in a word.
    pub(super) reads: Reads,
    /// What its owner should know.
    pub(super) warning: Option<String>,
}

impl Reading {
    /// Decides by what the manifest says, and else by how the graph can be called.
    ///
    /// # Errors
    /// `Load` when the graph contradicts the manifest, or leaves open what the manifest does not say.
    pub(super) fn choose(usage: Usage, hints: &Hints) -> Result<Self> {
        match hints.window {
            Some(WindowHint::Len(len)) => Self::windowed(usage, len, hints),
            Some(WindowHint::Unlimited) if hints.pad.is_some() => Err(Error::load(
                "`onnx.pad` is given, but `onnx.window` is \"none\"; only a window is padded",
            )),
            Some(WindowHint::Unlimited) => Ok(Self::carried(usage, None)),
            None => Self::by_the_graph(usage, hints),
        }
    }

    /// The state goes from token to token.
    fn carried(usage: Usage, warning: Option<String>) -> Self {
        let reads = if usage.keeps_state { Reads::State } else { Reads::LostState };
        Self { window: None, reads, warning }
    }

    fn windowed(usage: Usage, len: usize, hints: &Hints) -> Result<Self> {
        if let Some(fixed) = usage.fixed_len.filter(|&fixed| fixed != len) {
            return Err(Error::load(format!(
                "`onnx.window` is {len}, but the file fixes the number of token ids to {fixed}"
            )));
        }
        match hints.pad {
            Some(pad) => {
                let window = Some(Window { len, pad });
                Ok(Self { window, reads: Reads::Window(len), warning: None })
            }
            None => Err(Error::load(format!(
                "`onnx.window` is {len}, but `onnx.pad`, the entry that stands before the first token, is missing"
            ))),
        }
    }

    fn by_the_graph(usage: Usage, hints: &Hints) -> Result<Self> {
        let advice = "score a text with each (`rnnlm-server score`) to see which is right";
        let warning = match usage {
            Usage { keeps_state: true, .. } => None,
            Usage { fixed_len: Some(len), .. } => {
                return Err(Error::load(format!(
                    "the file fixes the number of token ids to {len} and has no input and output for the state, so it was most likely trained on windows of {len} ids; set `\"onnx\": {{\"window\": {len}, \"pad\": \"<entry>\"}}` in config.json to read the last {len} ids at every position, padded on the left, or `\"onnx\": {{\"window\": \"none\"}}` to carry the state from token to token; {advice}"
                )));
            }
            Usage { fixed_len: None, .. } => Some(format!(
                "the graph has no input and output for the state, which the exporter lost; it is carried from token to token all the same; if the model was trained on windows of N ids, set `\"onnx\": {{\"window\": N, \"pad\": \"<entry>\"}}` in config.json, else set `\"onnx\": {{\"window\": \"none\"}}`; {advice}"
            )),
        };
        match hints.pad {
            None => Ok(Self::carried(usage, warning)),
            Some(_) => Err(Error::load(
                "`onnx.pad` is given without `onnx.window`, the number of ids that are read at every position",
            )),
        }
    }

    /// Packs the network as `options` say.
    ///
    /// # Errors
    /// `Load` when its weights cannot be served.
    pub(super) fn model(&self, lowered: Lowered, options: LoadOptions) -> Result<Arc<dyn Model>> {
        let Lowered { architecture, weights, .. } = lowered;
        let vocab_size = architecture.vocab_size;
        let network = Rnn::new(&architecture, weights, options)?;
        match self.window {
            None => Ok(Arc::new(network)),
            Some(Window { pad, .. }) if pad as usize >= vocab_size => {
                Err(Error::load(format!("`onnx.pad` is the id {pad}, expected one below {vocab_size}")))
            }
            Some(Window { len, .. }) if len > Window::LEN_MAX => {
                Err(Error::load(format!("`onnx.window` is {len}; the maximum is {}", Window::LEN_MAX)))
            }
            Some(window) => Ok(Arc::new(WindowedRnn::new(network, window))),
        }
    }
}
