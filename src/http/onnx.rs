//! How an ONNX graph was understood, as `GET /v1/models/{model}` and `inspect` show it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{GraphLayer, GraphNetwork, GraphPort, Understanding};

/// How an ONNX graph was understood.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnnxGraph {
    /// The program that wrote the file, with its version.
    pub(crate) producer: String,
    /// The version of the standard operators.
    pub(crate) opset: i64,
    pub(crate) inputs: Vec<OnnxPort>,
    pub(crate) outputs: Vec<OnnxPort>,
    /// The recurrent layers that were found, the first layer first.
    pub(crate) layers: Vec<OnnxLayer>,
    /// The network that the native engine runs; null where the graph is run as it is.
    pub(crate) network: Option<OnnxNetwork>,
    /// Why the native engine does not run it; null where it does.
    pub(crate) not_lowered: Option<String>,
    /// What its owner should know, such as a known fault of the exporter.
    pub(crate) warnings: Vec<String>,
    /// Files beside it that hold weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) external_files: Vec<String>,
}

/// An input or output of a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnnxPort {
    pub(crate) name: String,
    /// The type of its elements.
    pub(crate) element: String,
    /// Sizes, names of sizes that callers choose, `?` where the file does not tell; null where it has no shape.
    pub(crate) shape: Option<Vec<String>>,
    /// What it is taken for.
    pub(crate) role: String,
}

/// A recurrent layer of a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnnxLayer {
    /// The node.
    pub(crate) node: String,
    /// Its operator.
    pub(crate) op: String,
    /// Units.
    pub(crate) hidden_size: usize,
}

/// The network of a graph, under the keys of a manifest's `architecture`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnnxNetwork {
    pub(crate) cell: &'static str,
    pub(crate) vocab_size: usize,
    pub(crate) embedding_size: usize,
    pub(crate) hidden_sizes: Vec<usize>,
    pub(crate) tie_weights: bool,
    /// Where the reset gate acts; null for other cells than `gru`.
    pub(crate) gru_linear_before_reset: Option<bool>,
}

impl From<&Understanding> for OnnxGraph {
    fn from(understanding: &Understanding) -> Self {
        let ports = |ports: &[GraphPort]| ports.iter().map(OnnxPort::from).collect();
        Self {
            producer: understanding.producer.clone(),
            opset: understanding.opset,
            inputs: ports(&understanding.inputs),
            outputs: ports(&understanding.outputs),
            layers: understanding.layers.iter().map(OnnxLayer::from).collect(),
            network: understanding.network.as_ref().map(OnnxNetwork::from),
            not_lowered: understanding.not_lowered.clone(),
            warnings: understanding.warnings.clone(),
            external_files: understanding.external_files.clone(),
        }
    }
}

impl From<&GraphPort> for OnnxPort {
    fn from(GraphPort { port, role }: &GraphPort) -> Self {
        let shape = port.shape.as_ref().map(|shape| shape.iter().map(ToString::to_string).collect());
        Self { name: port.name.clone(), element: port.element.to_string(), shape, role: role.clone() }
    }
}

impl From<&GraphLayer> for OnnxLayer {
    fn from(GraphLayer { node, op, hidden_size }: &GraphLayer) -> Self {
        Self { node: node.clone(), op: op.clone(), hidden_size: *hidden_size }
    }
}

impl From<&GraphNetwork> for OnnxNetwork {
    fn from(network: &GraphNetwork) -> Self {
        let architecture = &network.architecture;
        Self {
            cell: architecture.cell.name(),
            vocab_size: architecture.vocab_size,
            embedding_size: architecture.embedding_size,
            hidden_sizes: architecture.hidden_sizes.clone(),
            tie_weights: network.tie_weights,
            gru_linear_before_reset: architecture.gru_linear_before_reset(),
        }
    }
}
