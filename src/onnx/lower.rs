//! Converts a network from ONNX's conventions to the engine's: gate orders, biases, types.

use std::sync::Arc;

use super::Hints;
use super::fold::Why;
use super::recognise::{FoundLayer, FoundNetwork, LayerInput, Usage};
use super::stored::Stored;
use super::tensor::Tensor;
use super::understanding::{GraphLayer, GraphNetwork, QuantisedMatrix};
use crate::lm::Cell;
use crate::rnn::{Architecture, GateActivation, GruForm, LayerWeights, Values, Weights};

/// What the engine is created from.
pub(super) struct Lowered {
    pub(super) architecture: Architecture,
    pub(super) weights: Weights,
    pub(super) usage: Usage,
    /// The nodes that its layers are, the first layer first.
    pub(super) layers: Vec<GraphLayer>,
    /// The matrices that the file has in integers.
    pub(super) quantised: Vec<QuantisedMatrix>,
}

impl Lowered {
    /// What it was understood as.
    pub(super) fn described(&self) -> GraphNetwork {
        let Weights { layers, output, output_bias, output_norms, .. } = &self.weights;
        let ruled_out_count = match output_bias {
            Some(Values::F32(bias)) => bias.iter().filter(|&&value| value == f32::NEG_INFINITY).count(),
            _ => 0,
        };
        let norms = layers.iter().map(|layer| &layer.norms).chain([output_norms]);
        GraphNetwork {
            architecture: self.architecture.clone(),
            tie_weights: output.is_none(),
            norms: norms.map(|norms| norms.iter().map(|norm| norm.form.name()).collect()).collect(),
            has_learned_start: layers.iter().any(|layer| layer.h0.is_some() || layer.c0.is_some()),
            ruled_out_count,
        }
    }
}

/// `network` in the engine's terms.
///
/// # Errors
/// What the engine has no such network for.
pub(super) fn lower(network: &FoundNetwork, hints: &Hints) -> Result<Lowered, Why> {
    let (Some(first), Some(last)) = (network.layers.first(), network.layers.last()) else {
        return Err("it has no recurrent layer".into());
    };
    let gru_form = gru_form(network, first, hints)?;
    let embedding = embedding(network)?;
    let vocab_size = network.output.shape[0];
    if embedding.len() != vocab_size * first.input_size {
        let found = embedding.len() / first.input_size.max(1);
        return Err(format!("its embedding has {found} tokens, and its output {vocab_size}"));
    }
    if network.output.shape[1] != last.width() {
        return Err(format!(
            "its output reads {} features, expected {}",
            network.output.shape[1],
            last.width()
        ));
    }
    // Weights that are the same numbers twice were tied before they were exported.
    let is_tied = first.input_size == last.width() && same_bits(floats(&network.output), floats(&embedding));
    let mut stored = Stored::default();
    let embedding = stored.matrix("encoder.weight".into(), &embedding, &[0]);
    let layers = network.layers.iter().enumerate();
    let layers = layers.map(|(k, layer)| layer_weights(layer, k, &mut stored)).collect();
    let output = (!is_tied).then(|| stored.matrix("decoder.weight".into(), &network.output, &[0]));
    Ok(Lowered {
        architecture: Architecture {
            cell: first.cell,
            vocab_size,
            embedding_size: first.input_size,
            hidden_sizes: network.layers.iter().map(|layer| layer.hidden_size).collect(),
            proj_size: proj_size(network, first)?,
            gru_form,
            gate_activation: gate_activation(network, first)?,
        },
        weights: Weights {
            embedding,
            layers,
            output,
            output_bias: network.output_bias.clone().map(Values::from),
            output_norms: network.output_norms.clone(),
        },
        usage: network.usage,
        layers: network.layers.iter().map(graph_layer).collect(),
        quantised: stored.quantised,
    })
}

fn graph_layer(layer: &FoundLayer) -> GraphLayer {
    GraphLayer { node: layer.node.clone(), op: layer.op.clone(), hidden_size: layer.hidden_size }
}

/// Where all reset gates act; the one cell of all layers is checked on the way.
fn gru_form(network: &FoundNetwork, first: &FoundLayer, hints: &Hints) -> Result<GruForm, Why> {
    for layer in &network.layers {
        if layer.cell != first.cell {
            let a = first.cell.name();
            let b = layer.cell.name();
            return Err(format!(
                "node `{}` is {b}, and node `{}` {a}: expected one cell in all layers",
                layer.node, first.node
            ));
        }
    }
    let is_gru = first.cell == Cell::Gru;
    if let Some(is_after) = hints.gru_linear_before_reset.filter(|_| is_gru) {
        return Ok(if is_after { GruForm::ResetAfter } else { GruForm::ResetBefore });
    }
    if let Some(other) = network.layers.iter().find(|layer| is_gru && layer.gru_form != first.gru_form) {
        return Err(format!("nodes `{}` and `{}` differ in `linear_before_reset`", first.node, other.node));
    }
    Ok(if is_gru { first.gru_form } else { GruForm::default() })
}

/// The function of all gates.
fn gate_activation(network: &FoundNetwork, first: &FoundLayer) -> Result<GateActivation, Why> {
    match network.layers.iter().find(|layer| layer.gate_activation != first.gate_activation) {
        Some(other) => {
            Err(format!("nodes `{}` and `{}` differ in the function of their gates", first.node, other.node))
        }
        None => Ok(first.gate_activation),
    }
}

/// The width of the projections of all layers.
fn proj_size(network: &FoundNetwork, first: &FoundLayer) -> Result<Option<usize>, Why> {
    let size = |layer: &FoundLayer| layer.projection.as_ref().map(|_| layer.width());
    match network.layers.iter().find(|layer| size(layer) != size(first)) {
        Some(other) => {
            Err(format!("nodes `{}` and `{}` differ in the projection of h", first.node, other.node))
        }
        None => Ok(size(first)),
    }
}

/// The table `[vocab, features]`; one-hot inputs are the rows of an identity, which no file stores and is exact in any type.
fn embedding(network: &FoundNetwork) -> Result<Arc<Tensor>, Why> {
    /// 64 MB of `f32`: one-hot inputs are for small vocabularies.
    const ONE_HOT_MAX: usize = 1 << 12;

    match &network.embedding {
        LayerInput::Table(table) => match table.as_floats() {
            Some(_) => Ok(table.clone()),
            None => Err(format!("its embedding is {}, expected floats", table.element)),
        },
        &LayerInput::OneHot { vocab_size } if vocab_size <= ONE_HOT_MAX => {
            let mut table = vec![0.0; vocab_size * vocab_size];
            table.iter_mut().step_by(vocab_size + 1).for_each(|value| *value = 1.0);
            let stored = network.output.stored;
            Ok(Arc::new(Tensor { stored, ..Tensor::floats(vec![vocab_size, vocab_size], table) }))
        }
        LayerInput::OneHot { vocab_size } => Err(format!(
            "its first layer reads one-hot vectors of {vocab_size}, expected at most {ONE_HOT_MAX}"
        )),
        LayerInput::Layer { .. } => Err("its first layer reads another".into()),
    }
}

/// The weights of layer `k`.
fn layer_weights(layer: &FoundLayer, k: usize, stored: &mut Stored) -> LayerWeights {
    // Where each of PyTorch's gates stands in ONNX's: i, f, g, o among i, o, f, c; r, z, n among z, r, h.
    let order: &[usize] = match layer.cell {
        Cell::Lstm => &[0, 2, 3, 1],
        Cell::Gru => &[1, 0, 2],
        Cell::RnnTanh | Cell::RnnRelu | Cell::RnnSigmoid => &[0],
    };
    let gates = |values: &[f32]| -> Vec<f32> {
        let len = values.len() / order.len();
        order.iter().flat_map(|gate| &values[gate * len..][..len]).copied().collect()
    };
    let biases = layer.b.as_ref().map(|b| floats(b).split_at(b.len() / 2));
    let w_ih = stored.matrix(format!("rnn.weight_ih_l{k}"), &layer.w, order);
    let w_hh = stored.matrix(format!("rnn.weight_hh_l{k}"), &layer.r, order);
    let projection = layer.projection.as_ref();
    LayerWeights {
        b_ih: biases.map(|(b_ih, _)| gates(b_ih).into()),
        b_hh: biases.map(|(_, b_hh)| gates(b_hh).into()),
        w_hr: projection.map(|weights| stored.matrix(format!("rnn.weight_hr_l{k}"), weights, &[0])),
        h0: layer.h0.clone().map(Values::from),
        c0: layer.c0.clone().map(Values::from),
        norms: match &layer.source {
            LayerInput::Layer { norms, .. } => norms.clone(),
            LayerInput::Table(_) | LayerInput::OneHot { .. } => Vec::new(),
        },
        ..LayerWeights::new(w_ih, w_hh)
    }
}

pub(super) fn floats(tensor: &Tensor) -> &[f32] {
    tensor.as_floats().expect("the pass has checked that weights are floats: a bug")
}

pub(super) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
