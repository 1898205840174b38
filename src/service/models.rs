//! Use case: what there is to know about the models.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::Service;
use crate::api::models::{Model, ModelList};
use crate::api::onnx::{
    OnnxFeedForward, OnnxGraph, OnnxHiddenLayer, OnnxLayer, OnnxNetwork, OnnxPort, OnnxQuantised,
};
use crate::catalog::{Catalog, Served};
use crate::error::Result;
use crate::lm::Cell;
use crate::onnx::{GraphFeedForward, PortUse, Understanding};

impl Service {
    /// All models, in the order of their names.
    pub fn models(&self) -> ModelList {
        let catalog = self.catalog();
        ModelList { object: "list", data: catalog.iter().map(|served| described(&catalog, served)).collect() }
    }

    /// The model `name`.
    ///
    /// # Errors
    /// `ModelNotFound`.
    pub fn model(&self, name: &str) -> Result<Model> {
        let catalog = self.catalog();
        Ok(described(&catalog, catalog.get(Some(name))?))
    }
}

fn described(catalog: &Catalog, served: &Arc<Served>) -> Model {
    let info = served.model.info();
    Model {
        id: served.name.to_string(),
        object: "model",
        // A clock that was wrong when the file was written is no reason to fail.
        created: served.created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        owned_by: "rnnlm-server",
        default: Arc::ptr_eq(served, catalog.default()),
        cell: info.cell.map(Cell::name),
        vocab_size: info.vocab_size,
        hidden_sizes: info.hidden_sizes.clone(),
        parameter_count: info.parameter_count,
        weights_dtype: info.weights_dtype.name(),
        state_bytes: info.state_len * size_of::<f32>(),
        backend: info.backend.name(),
        identity: served.identity.to_string(),
        tokenizer_kind: served.tokenizer.kind().name(),
        tokenizer_sha256: served.tokenizer.sha256().to_owned(),
        onnx: served.understanding.as_deref().map(onnx_graph),
    }
}

/// How an ONNX graph was understood, as a client sees it.
pub fn onnx_graph(understanding: &Understanding) -> OnnxGraph {
    let inputs = understanding.inputs.iter();
    let outputs = understanding.outputs.iter();
    let layers = understanding.layers.iter();
    let quantised = understanding.quantised.iter();
    OnnxGraph {
        producer: understanding.producer.clone(),
        opset: understanding.opset,
        inputs: inputs.map(onnx_port).collect(),
        outputs: outputs.map(onnx_port).collect(),
        layers: layers
            .map(|layer| OnnxLayer {
                node: layer.node.clone(),
                op: layer.op.clone(),
                hidden_size: layer.hidden_size,
            })
            .collect(),
        network: understanding.network.as_ref().map(|network| {
            let architecture = &network.architecture;
            OnnxNetwork {
                cell: architecture.cell.name(),
                vocab_size: architecture.vocab_size,
                embedding_size: architecture.embedding_size,
                hidden_sizes: architecture.hidden_sizes.clone(),
                proj_size: architecture.proj_size,
                norms: network.norm_names(),
                learned_start: network.has_learned_start,
                ruled_out_count: network.ruled_out_count,
                tie_weights: network.tie_weights,
                gru_linear_before_reset: architecture.gru_linear_before_reset(),
                gate_activation: architecture.gate_activation_name(),
            }
        }),
        feed_forward: understanding.feed_forward.as_ref().map(onnx_feed_forward),
        not_lowered: understanding.not_lowered.clone(),
        warnings: understanding.warnings.clone(),
        quantised: quantised
            .map(|matrix| OnnxQuantised { matrix: matrix.name.clone(), dequantised: matrix.dequantised })
            .collect(),
        activation_scales_unused: understanding.has_activation_scales,
        external_files: understanding.external_files.clone(),
    }
}

fn onnx_feed_forward(network: &GraphFeedForward) -> OnnxFeedForward {
    let hidden = network.hidden.iter();
    OnnxFeedForward {
        vocab_size: network.vocab_size,
        embedding_size: network.embedding_size,
        window: network.window,
        input: network.input.name(),
        hidden: hidden
            .map(|layer| OnnxHiddenLayer { size: layer.size, activation: layer.activation_name() })
            .collect(),
        tie_weights: network.tie_weights,
    }
}

fn onnx_port(used: &PortUse) -> OnnxPort {
    OnnxPort {
        name: used.port.name.clone(),
        element: used.port.element.to_string(),
        shape: used.port.shape.as_ref().map(|shape| shape.iter().map(ToString::to_string).collect()),
        role: used.role.clone(),
    }
}
