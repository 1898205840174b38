//! How a graph was understood: what `inspect` prints and `GET /v1/models/{model}` answers.

use super::{Hints, Port};
use crate::rnn::{self, Activation, WindowInput};

/// How a graph was understood, whether or not it can be served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Understanding {
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// The version of the standard operators.
    pub opset: i64,
    /// The inputs, in the file's order.
    pub inputs: Vec<PortUse>,
    /// The outputs, in the file's order.
    pub outputs: Vec<PortUse>,
    /// The recurrent layers that were found, the first layer first.
    pub layers: Vec<GraphLayer>,
    /// The network that it was lowered to.
    pub network: Option<GraphNetwork>,
    /// The feed-forward network that it was lowered to.
    pub feed_forward: Option<GraphFeedForward>,
    /// Why the native engine does not run it; `None` when it does.
    pub not_lowered: Option<String>,
    /// What the manifest could say of tokens, state, logits and window, where the graph alone does not settle it.
    pub interface: Option<Hints>,
    /// How it reads its tokens, as far as that is settled.
    pub reads: Option<Reads>,
    /// The matrices that the file has in integers, from the embedding to the output layer.
    pub quantised: Vec<QuantisedMatrix>,
    /// Whether the file has scales of its own for what its layers read, which are not used.
    pub has_activation_scales: bool,
    /// Files beside it that hold weights, sorted by name.
    pub external_files: Vec<String>,
    /// The metadata that the exporter wrote, as pairs of key and value.
    pub metadata: Vec<(String, String)>,
    /// What its owner should know, such as a known fault of the exporter.
    pub warnings: Vec<String>,
}

/// How a graph reads its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// One after the other, with a state that the graph takes and gives back.
    State,
    /// The same, with a state that the graph does not show: the exporter has lost it.
    LostState,
    /// The last ones, so many at every position.
    Window(usize),
}

impl Understanding {
    /// What precedes the reason why a graph that is not lowered cannot run either.
    pub(super) fn cannot_run(&self) -> String {
        let why = self.not_lowered.as_deref().unwrap_or_default();
        format!("the native engine does not run this graph ({why}), and it cannot run as it is")
    }
}

/// An input or output and what it is taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortUse {
    /// Name, type and shape.
    pub port: Port,
    /// A few words: "token ids, [T, B]", "state h of layer 0, from `hn`", "log-probabilities", "not used".
    pub role: String,
}

/// A recurrent layer of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphLayer {
    /// The node's name, or its first output's where it has none; of steps that are written out, the last.
    pub node: String,
    /// The operator: `RNN`, `GRU`, `LSTM`, `DynamicQuantizeLSTM`, `Loop`, `Scan`, or the cell whose steps the graph writes out.
    pub op: String,
    /// Units.
    pub hidden_size: usize,
}

/// A matrix that a file has in integers with scales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantisedMatrix {
    /// Its name in a model folder.
    pub name: String,
    /// Why the numbers that the integers stand for are taken; `None` where the integers and their scales are.
    pub dequantised: Option<&'static str>,
}

/// A known network that a graph turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNetwork {
    /// Sizes, cell and form.
    pub architecture: rnn::Architecture,
    /// Whether the output layer's weights are the embedding.
    pub tie_weights: bool,
    /// The names of the normalisations before each layer, and last before the output layer. What stands before the first layer is
    /// part of the embedding.
    pub norms: Vec<Vec<&'static str>>,
    /// Whether a layer starts from a state that the file holds.
    pub has_learned_start: bool,
    /// How many tokens never come: their bias in the output layer is negative infinity.
    pub ruled_out_count: usize,
}

impl GraphNetwork {
    /// [`norms`](Self::norms), a word for each place; `None` where there is none at all.
    pub fn norm_names(&self) -> Option<Vec<String>> {
        let name = |norms: &Vec<&str>| if norms.is_empty() { "none".to_owned() } else { norms.join(" + ") };
        let is_any = self.norms.iter().any(|norms| !norms.is_empty());
        is_any.then(|| self.norms.iter().map(name).collect())
    }
}

/// A feed-forward network that a graph turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphFeedForward {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the embedding.
    pub embedding_size: usize,
    /// How many ids it reads at once; `None` where neither the graph nor the manifest says it.
    pub window: Option<usize>,
    /// What the first layer reads of their embeddings.
    pub input: WindowInput,
    /// The hidden layers, the first layer first.
    pub hidden: Vec<GraphHidden>,
    /// Whether the output layer's weights are the embedding.
    pub tie_weights: bool,
}

/// A hidden layer of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphHidden {
    /// Units.
    pub size: usize,
    /// What is applied to each sum; `None` for an affine layer.
    pub activation: Option<Activation>,
}

impl GraphHidden {
    /// The name of [`activation`](Self::activation).
    pub fn activation_name(&self) -> Option<&'static str> {
        self.activation.map(Activation::name)
    }
}
