//! How an ONNX graph was understood, as `GET /v1/models/{model}` and `inspect` show it.

use serde::Serialize;
use utoipa::ToSchema;

/// How an ONNX graph was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxGraph {
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// The version of the standard operators.
    pub opset: i64,
    /// The inputs of the graph.
    pub inputs: Vec<OnnxPort>,
    /// The outputs of the graph.
    pub outputs: Vec<OnnxPort>,
    /// The recurrent layers, first layer first.
    pub layers: Vec<OnnxLayer>,
    /// The recurrent network that the native engine runs; null if the graph is run as it is, or has no recurrent layer.
    pub network: Option<OnnxNetwork>,
    /// The feed-forward network that the native engine runs on the last tokens; null for any other graph.
    pub feed_forward: Option<OnnxFeedForward>,
    /// Why the native engine does not run the graph; null if it does.
    pub not_lowered: Option<String>,
    /// Warnings for the model's owner, such as a known fault of the exporter.
    pub warnings: Vec<String>,
    /// The matrices that the file has in integers, from the embedding to the output layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantised: Vec<OnnxQuantised>,
    /// Whether the file has scales of its own for what its layers read. They are not used, because answers would depend on other requests:
    /// with weights in int8, each vector is quantised by its own largest value.
    pub activation_scales_unused: bool,
    /// Files beside the graph that hold weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_files: Vec<String>,
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxPort {
    /// The name of the input or output.
    pub name: String,
    /// The type of its elements.
    pub element: String,
    /// Its dimensions: a size, the name of a size that the caller chooses, or `?`; null if the file gives no shape.
    pub shape: Option<Vec<String>>,
    /// What it is used for.
    pub role: String,
}

/// A recurrent layer of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxLayer {
    /// The node's name.
    pub node: String,
    /// The node's operator.
    pub op: String,
    /// The number of units.
    pub hidden_size: usize,
}

/// A matrix that a graph has in integers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxQuantised {
    /// Its name in a model folder, such as `decoder.weight`.
    pub matrix: String,
    /// Why the server takes the numbers that the integers stand for; null if it keeps the integers and their scales, as int8, unless
    /// `--weights` or the manifest asks for another type.
    pub dequantised: Option<&'static str>,
}

/// The network of a graph, under the keys of `architecture` in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxNetwork {
    /// The recurrent cell.
    pub cell: &'static str,
    /// The number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The number of columns of the embedding.
    pub embedding_size: usize,
    /// The number of units in each layer, first layer first.
    pub hidden_sizes: Vec<usize>,
    /// The width of an LSTM's h where it is a projection of the cell's output; null where h has a value for each unit.
    pub proj_size: Option<usize>,
    /// The normalisations before each layer, first layer first, and last before the output layer: `none`, `layer`, `scale` (a batch
    /// normalisation, or another scale and shift) or several; null where there is none. Those before the first layer are part of the embedding.
    pub norms: Option<Vec<String>>,
    /// Whether sessions start from a state that the file holds, and not from zeros.
    pub learned_start: bool,
    /// How many tokens have probability 0 in every answer, because their bias in the output layer is negative infinity.
    pub ruled_out_count: usize,
    /// Whether the output layer uses the weights of the embedding.
    pub tie_weights: bool,
    /// Whether the reset gate of a GRU acts after the matrix product; null for other cells.
    pub gru_linear_before_reset: Option<bool>,
    /// The function of the gates of a GRU or an LSTM: `sigmoid`, `hard_sigmoid` or `hard_sigmoid_sixth`; null for other cells.
    pub gate_activation: Option<&'static str>,
}

/// The feed-forward network of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxFeedForward {
    /// The number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The number of columns of the embedding.
    pub embedding_size: usize,
    /// The number of tokens that it reads at once; null if the manifest must still say it.
    pub window: Option<usize>,
    /// What the first layer reads of their embeddings: `mean`, or `concatenated`, the oldest first.
    pub input: &'static str,
    /// The hidden layers, first layer first.
    pub hidden: Vec<OnnxHiddenLayer>,
    /// Whether the output layer uses the weights of the embedding.
    pub tie_weights: bool,
}

/// A hidden layer of a feed-forward network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnnxHiddenLayer {
    /// The number of units.
    pub size: usize,
    /// The function of each unit: `tanh`, `relu` or `sigmoid`; null for an affine layer.
    pub activation: Option<&'static str>,
}
