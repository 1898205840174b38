//! RNN, GRU and LSTM nodes: the layers of a network.

use std::sync::Arc;

use super::affine::{composed, product_room};
use super::axes::{Along, Axis, Part, Size};
use super::network::{FoundLayer, LayerInput};
use super::tokens::along_features;
use super::value::{Carried, Content, Flow, Head, Position, Sizes, Value, Vector};
use super::weight_shapes::consistent;
use super::{Found, Known};
use crate::lm::Cell;
use crate::onnx::allow::{Activation, Recurrent, gates, input, refusal};
use crate::onnx::fold::{Why, dequantise};
use crate::onnx::graph::some;
use crate::onnx::scores::Scores;
use crate::onnx::tensor::Tensor;
use crate::rnn::{GateActivation, GruForm};

/// Where `DynamicQuantizeLSTM` has scales and zero points.
const W_SCALE: usize = 8;
const R_SCALE: usize = 10;

/// What runs along the input of a recurrent node `[T, B, features]`, or `[B, T, features]`.
pub(super) struct Inputs<'f> {
    pub(super) flow: &'f Flow,
    pub(super) time: Axis,
    pub(super) rows: Axis,
    pub(super) features: usize,
    pub(super) is_batch_first: bool,
}

impl Found<'_> {
    /// A recurrent node: a layer, if all of its weights are constants and it reads what follows from the token ids.
    pub(super) fn recurrent(&mut self, known: &Known<'_>, kind: Recurrent) -> Result<Vec<Value>, Why> {
        let inputs = inputs(known);
        let features = inputs.as_ref().ok().map(|inputs| inputs.features);
        if let Err(found) = consistent(known, kind, features) {
            self.refused = Some(refusal(known.node, &found, "the file is damaged: export the model again"));
        }
        let time = inputs.as_ref().ok().map(|inputs| &inputs.time);
        if let Some(lengths) = known.optional(input::SEQUENCE_LENS)
            && !covers(lengths, time)
        {
            let found = match lengths {
                Value::Constant(tensor) => some(tensor.as_ints().unwrap_or_default()),
                other => other.describe(),
            };
            let found = format!("its input `sequence_lens` is {found}, expected none, or T for every row");
            self.refused = Some(refusal(known.node, &found, "export without lengths"));
        }
        let unknown = known.inputs.iter().flatten().find(|value| matches!(value, Value::Unknown(_)));
        if let Some(unknown) = unknown {
            return Ok(vec![unknown.clone(); known.node.outputs.len()]);
        }
        let inputs = inputs?;
        let mut layer = self.layer(known, kind, &inputs)?;
        let hidden = layer.hidden_size;
        self.set_time(&inputs)?;
        let at = self.layers.len();
        let initial_h = Carried { layer: at, vector: Vector::H };
        layer.h0 = self.start(known.optional(input::INITIAL_H), initial_h, hidden)?;
        let initial_c = Carried { layer: at, vector: Vector::C };
        layer.c0 = self.start(known.optional(input::INITIAL_C), initial_c, hidden)?;
        let values = outputs(&inputs, at, layer.hidden_size);
        self.layers.push(layer);
        Ok(values)
    }

    /// What a layer reads that is fed with vectors of this content.
    pub(super) fn layer_input(&mut self, content: &Content, features: usize) -> Result<LayerInput, Why> {
        match content {
            Content::OneHot => Ok(LayerInput::OneHot { vocab_size: features }),
            Content::Row(table) => Ok(LayerInput::Table(table.clone())),
            Content::Dense(dense) => {
                self.folder.room(dense.folded_room())?;
                Ok(LayerInput::Table(Arc::new(dense.folded()?)))
            }
            Content::Hidden(place) => Ok(LayerInput::Layer { place: *place, norms: Vec::new() }),
            Content::Normed(normed) => {
                Ok(LayerInput::Layer { place: normed.layer, norms: normed.norms.clone() })
            }
            Content::Output(head, Scores::Logits) => {
                Ok(LayerInput::Layer { place: head.layer, norms: head.norms.clone() })
            }
            other => Err(format!("it reads {}, expected an embedding or a layer", other.describe())),
        }
    }

    /// `layer`, which reads vectors of this content: where an affine layer makes them of another layer's h, its matrix becomes part of the
    /// layer's own.
    pub(super) fn joined_below(&mut self, content: &Content, layer: FoundLayer) -> Result<FoundLayer, Why> {
        let Content::Output(head, Scores::Logits) = content else { return Ok(layer) };
        let (&[features, depth], &[_, rows, _]) = (head.weights.shape.as_slice(), layer.w.shape.as_slice())
        else {
            return Err(format!("its `W` is {:?} after {:?}", layer.w.shape, head.weights.shape));
        };
        self.folder.room(product_room([rows, features, depth]))?;
        let w = Tensor { shape: vec![rows, features], ..Tensor::clone(&layer.w) };
        let Head { weights, bias, .. } = composed(head, &w)?;
        let w = Arc::new(Tensor { shape: vec![1, rows, depth], ..Tensor::clone(&weights) });
        let b = match bias {
            None => layer.b.clone(),
            Some(bias) => Some(Arc::new(with_input_bias(layer.b.as_deref(), &bias))),
        };
        Ok(FoundLayer { w, b, input_size: depth, ..layer })
    }

    /// The layer with its weights.
    fn layer(&mut self, known: &Known<'_>, kind: Recurrent, inputs: &Inputs<'_>) -> Result<FoundLayer, Why> {
        let node = known.node;
        let source = self.layer_input(&inputs.flow.content, inputs.features)?;
        let cell = match kind {
            Recurrent::Rnn => match Activation::of(node) {
                Some(Activation::Tanh) => Cell::RnnTanh,
                Some(Activation::Relu) => Cell::RnnRelu,
                Some(Activation::Sigmoid) => Cell::RnnSigmoid,
                None => return Err("its activation is none that the engine has".into()),
            },
            Recurrent::Gru => Cell::Gru,
            Recurrent::Lstm | Recurrent::QuantisedLstm => Cell::Lstm,
        };
        let gru_form = match node.int("linear_before_reset")? {
            Some(1) => GruForm::ResetAfter,
            _ => GruForm::ResetBefore,
        };
        let gate_activation = match kind {
            Recurrent::Rnn => GateActivation::default(),
            _ => gates(node).ok_or("its gates have a function that the engine lacks")?,
        };
        let is_quantised = kind == Recurrent::QuantisedLstm;
        let (w, r) = match is_quantised {
            true => (self.quantised_weights(known, 1, W_SCALE)?, self.quantised_weights(known, 2, R_SCALE)?),
            false => (constant(known, 1, "W")?, constant(known, 2, "R")?),
        };
        let b = known.optional(3).map(|_| constant(known, 3, "B")).transpose()?;
        let floats = [&w, &r].into_iter().chain(&b).all(|tensor| tensor.as_floats().is_some());
        let &[1, rows, hidden] = r.shape.as_slice() else { return Err(format!("its `R` is {:?}", r.shape)) };
        if !floats || w.shape != [1, rows, inputs.features] {
            let found = &w.shape;
            let features = inputs.features;
            return Err(format!("its `W` is {found:?}, expected floats [1, {rows}, {features}]"));
        }
        // Nodes may share weights; the engine packs them for each.
        self.folder.room(w.len() + r.len())?;
        let layer = FoundLayer {
            node: node.name.clone(),
            op: node.op.clone(),
            cell,
            gru_form,
            gate_activation,
            hidden_size: hidden,
            input_size: inputs.features,
            source,
            w,
            r,
            b,
            projection: None,
            h0: None,
            c0: None,
        };
        self.joined_below(&inputs.flow.content, layer)
    }

    /// Weights of 8 bits `[1, in, gates * hidden]`, as floats in the standard operator's shape.
    fn quantised_weights(
        &mut self,
        known: &Known<'_>,
        index: usize,
        scale: usize,
    ) -> Result<Arc<Tensor>, Why> {
        let name = if index == 1 { "W" } else { "R" };
        let zero = known.optional(scale + 1).map(|_| constant(known, scale + 1, "zero point")).transpose()?;
        let weights = constant(known, index, name)?;
        let scale = constant(known, scale, "scale")?;
        let &[1, depth, columns] = weights.shape.as_slice() else {
            return Err(format!("its `{name}` is {:?}, expected [1, in, gates * hidden]", weights.shape));
        };
        self.folder.room(2 * weights.len())?;
        let flat = Tensor { shape: vec![depth, columns], ..(*weights).clone() };
        // One scale for all is `[1]`, one for each column `[1, columns]`.
        let flat = dequantise(&flat, &scale, zero.as_deref(), 1)?;
        let transposed = super::affine::transposed(&flat, columns)?;
        Ok(Arc::new(Tensor { shape: vec![1, columns, depth], ..transposed }))
    }

    /// All layers recur along the same axis.
    pub(super) fn set_time(&mut self, inputs: &Inputs<'_>) -> Result<(), Why> {
        let along = match inputs.time.as_slice() {
            [] => None,
            [part] if part.along != Along::Features => Some(part.along),
            _ => return Err("it recurs along more than the positions".into()),
        };
        if inputs.rows.iter().any(|part| Some(part.along) == along || part.along == Along::Features) {
            return Err("its rows are positions".into());
        }
        if *self.time.get_or_insert(along) != along {
            return Err("it recurs along another axis than the layer before".into());
        }
        if inputs.flow.position != Position::All {
            return Err("it reads one position of the layer before, expected all".into());
        }
        Ok(())
    }
}

/// The biases `[1, 2 * rows]` of a layer, with `bias` added to those beside its input.
fn with_input_bias(biases: Option<&Tensor>, bias: &[f32]) -> Tensor {
    let rows = bias.len();
    let mut values = biases.and_then(Tensor::as_floats).map_or_else(|| vec![0.0; 2 * rows], <[f32]>::to_vec);
    values.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    Tensor::floats(vec![1, 2 * rows], values)
}

/// Y, the last h and, of an LSTM, the last c.
fn outputs(inputs: &Inputs<'_>, layer: usize, hidden: usize) -> Vec<Value> {
    let Inputs { time, rows, is_batch_first, .. } = inputs;
    let features = vec![along_features(hidden)];
    let time = time.clone();
    let rows = rows.clone();
    let directions = Vec::new();
    let content = Content::Hidden(layer);
    // With a single position the last is all there is, and the next layer may read it.
    let position = if time.is_empty() { Position::All } else { Position::Last };
    let (all, last) = match is_batch_first {
        true => {
            (vec![rows.clone(), time, directions.clone(), features.clone()], vec![rows, directions, features])
        }
        false => {
            (vec![time, directions.clone(), rows.clone(), features.clone()], vec![directions, rows, features])
        }
    };
    vec![
        Value::Flow(Flow { axes: all, content: content.clone(), position: Position::All }),
        Value::Flow(Flow { axes: last, content, position }),
        Value::Final([Carried { layer, vector: Vector::C }].into()),
    ]
}

fn inputs<'k>(known: &'k Known<'_>) -> Result<Inputs<'k>, Why> {
    let flow = match known.value(0)? {
        Value::Flow(flow) => flow,
        other => return Err(format!("it reads {}, expected an embedding or a layer", other.describe())),
    };
    let is_batch_first = known.node.int("layout")?.unwrap_or(0) == 1;
    let [first, second, features] = flow.axes.as_slice() else {
        return Err(format!("its input has {} dimensions, expected 3", flow.axes.len()));
    };
    let (time, rows) = if is_batch_first { (second, first) } else { (first, second) };
    let &[Part { along: Along::Features, size: Some(features) }] = features.as_slice() else {
        return Err("the last dimension of its input is not that of the features".into());
    };
    Ok(Inputs { flow, time: time.clone(), rows: rows.clone(), features, is_batch_first })
}

fn constant(known: &Known<'_>, index: usize, name: &str) -> Result<Arc<Tensor>, Why> {
    match known.value(index)? {
        Value::Constant(tensor) => Ok(tensor.clone()),
        other => Err(format!("its `{name}` is {}, expected a constant", other.describe())),
    }
}

/// Whether `lengths` let every row run to its last position.
fn covers(lengths: &Value, time: Option<&Axis>) -> bool {
    let Some(time) = time.map(|time| Size::of(time)) else { return false };
    let is_all = |length: &Option<Size>| {
        length.as_ref().is_some_and(|length| match (length.number(), time.number()) {
            (Some(length), Some(time)) => length == time,
            (None, None) => *length == time,
            _ => false,
        })
    };
    match lengths.as_sizes() {
        Some(Sizes::List(lengths)) => lengths.iter().all(is_all),
        Some(Sizes::Repeated(length)) => is_all(&Some(length)),
        Some(Sizes::One(_)) | None => false,
    }
}
