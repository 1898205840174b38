//! Affine layers on embeddings, without recurrence: what reads the last N tokens, or one, through layers of its own.

use std::sync::Arc;

use super::Known;
use super::affine::{Matrix, product_room, scaled_rows, transposed};
use super::axes::{Along, Part};
use super::glue::named_axes;
use super::value::{Content, Flow, Position, Value};
use crate::lm::math::{sigmoid, tanh};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::scores::Scores;
use crate::onnx::tensor::Tensor;
use crate::rnn::{Activation, WindowInput};

/// Affine layers on the embeddings of one token, or of a window of them.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Dense {
    /// `[vocab, features]`.
    pub(in crate::onnx) table: Arc<Tensor>,
    /// `None` for one token.
    pub(in crate::onnx) window: Option<FoundWindow>,
    /// The first layer first.
    pub(in crate::onnx) layers: Vec<DenseLayer>,
    /// What the last layer's numbers are, if they are the output.
    pub(in crate::onnx) scores: Scores,
}

/// The tokens that are read at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::onnx) struct FoundWindow {
    /// The axis of the input along them.
    pub(super) along: Along,
    /// Their number; `None` where callers choose it.
    pub(in crate::onnx) len: Option<usize>,
    pub(in crate::onnx) input: WindowInput,
}

/// A layer, `activation(weights x + bias)`.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct DenseLayer {
    /// `[out, in]`.
    pub(in crate::onnx) weights: Arc<Tensor>,
    /// `[out]`.
    pub(in crate::onnx) bias: Option<Vec<f32>>,
    pub(in crate::onnx) activation: Option<Activation>,
}

impl Dense {
    /// The embeddings `table` of one token, or of a window.
    pub(super) fn of(table: &Arc<Tensor>, window: Option<FoundWindow>) -> Self {
        Self { table: table.clone(), window, layers: Vec::new(), scores: Scores::Logits }
    }

    /// Elements of its weights.
    pub(super) fn table_len(&self) -> usize {
        self.table.len() + self.layers.iter().map(|layer| layer.weights.len()).sum::<usize>()
    }

    /// With one more layer.
    pub(super) fn times(&self, weights: Arc<Tensor>) -> Result<Content, Why> {
        const LAYERS_MAX: usize = 16;

        if self.scores != Scores::Logits || self.layers.len() == LAYERS_MAX {
            return Err(format!(
                "it multiplies {}, or is one of more than {LAYERS_MAX} layers",
                self.describe()
            ));
        }
        let mut dense = self.clone();
        dense.layers.push(DenseLayer { weights, bias: None, activation: None });
        Ok(Content::Dense(Arc::new(dense)))
    }

    /// With a bias added to the last layer.
    pub(super) fn plus(&self, shift: &[f32]) -> Result<Content, Why> {
        let mut dense = self.clone();
        let layer = dense.affine_end().ok_or_else(|| format!("it adds to {}", self.describe()))?;
        layer.bias = Some(match &layer.bias {
            Some(bias) => bias.iter().zip(shift).map(|(bias, shift)| bias + shift).collect(),
            None => shift.to_vec(),
        });
        Ok(Content::Dense(Arc::new(dense)))
    }

    /// With the last layer's numbers multiplied or divided, each by its own.
    pub(super) fn scaled(&self, numbers: &[f32], apply: impl Fn(f32, f32) -> f32) -> Result<Content, Why> {
        let mut dense = self.clone();
        let layer = dense.affine_end().ok_or_else(|| format!("it multiplies {}", self.describe()))?;
        layer.weights = Arc::new(scaled_rows(&layer.weights, numbers, &apply)?);
        let biases = layer.bias.iter_mut().flatten().zip(numbers);
        biases.for_each(|(bias, &number)| *bias = apply(*bias, number));
        Ok(Content::Dense(Arc::new(dense)))
    }

    /// Whether its last layer is affine and not yet an output.
    pub(super) fn is_affine(&self) -> bool {
        let is_open = self.scores == Scores::Logits;
        is_open && self.layers.last().is_some_and(|layer| layer.activation.is_none())
    }

    /// With the last layer's numbers as `scores`.
    pub(super) fn scored(&self, scores: Scores) -> Result<Content, Why> {
        let mut dense = self.clone();
        dense.affine_end().ok_or_else(|| format!("it is of {}, expected logits", self.describe()))?;
        dense.scores = scores;
        Ok(Content::Dense(Arc::new(dense)))
    }

    /// The last layer, while it is affine and not yet an output.
    fn affine_end(&mut self) -> Option<&mut DenseLayer> {
        if self.is_affine() { self.layers.last_mut() } else { None }
    }

    pub(super) fn describe(&self) -> String {
        let count = self.layers.len();
        let of = if self.window.is_some() { "a window of embeddings" } else { "an embedding" };
        match self.scores {
            Scores::Logits => format!("{count} layers on {of}"),
            scores => scores.name().into(),
        }
    }

    /// Room for the tables that [`folded`](Self::folded) makes.
    pub(super) fn folded_room(&self) -> usize {
        let rows = self.table.shape[0];
        let rooms = self.layers.iter().map(|layer| match *layer.weights.shape.as_slice() {
            [size, depth] => product_room([rows, depth, size]),
            _ => 0,
        });
        rooms.fold(self.table.len(), usize::saturating_add)
    }

    /// The table of one token's vectors after all layers.
    pub(super) fn folded(&self) -> Result<Tensor, Why> {
        if self.window.is_some() || self.scores != Scores::Logits {
            return Err(format!("it reads {}, expected an embedding or a layer", self.describe()));
        }
        let mut table = self.table.as_floats().ok_or("its embedding is no table of floats")?.to_vec();
        let rows = self.table.shape[0];
        for layer in &self.layers {
            table = layer.applied(&table, rows)?;
        }
        let width = table.len() / rows.max(1);
        Ok(Tensor::floats(vec![rows, width], table))
    }
}

impl DenseLayer {
    /// `[rows, out]` of `[rows, in]`.
    fn applied(&self, table: &[f32], rows: usize) -> Result<Vec<f32>, Why> {
        let &[size, depth] = self.weights.shape.as_slice() else {
            return Err("its matrix is no matrix".into());
        };
        let turned = transposed(&self.weights, depth)?;
        let weights = turned.as_floats().ok_or("its matrix is no matrix of floats")?;
        let mut all = Vec::with_capacity(rows * size);
        let mut sums = vec![0.0; size];
        for row in table.chunks_exact(depth) {
            match &self.bias {
                Some(bias) => sums.copy_from_slice(bias),
                None => sums.fill(0.0),
            }
            for (value, weights) in row.iter().zip(weights.chunks_exact(size)) {
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            all.extend(sums.iter().map(|&sum| self.activated(sum)));
        }
        Ok(all)
    }

    fn activated(&self, value: f32) -> f32 {
        match self.activation {
            None => value,
            Some(Activation::Tanh) => tanh(value),
            Some(Activation::Relu) => value.max(0.0),
            Some(Activation::Sigmoid) => sigmoid(value),
        }
    }
}

/// The mean of a window of embeddings (`ReduceMean`).
pub(super) fn mean(known: &Known<'_>) -> Result<Value, Why> {
    let Value::Flow(Flow { axes, content: Content::Row(table), position: Position::All }) = known.value(0)?
    else {
        return Err(format!("it is of {}, expected embeddings", known.value(0)?.describe()));
    };
    let axis = match named_axes(known)?.as_deref() {
        Some(&[axis]) => axis_of(axis, axes.len())?,
        other => return Err(format!("its axes are {other:?}, expected one")),
    };
    let &[Part { along: along @ Along::Input { .. }, size: len }] = axes[axis].as_slice() else {
        return Err(format!("axis {axis} is not that of the token ids"));
    };
    let mut axes = axes.clone();
    match known.node.int("keepdims")?.unwrap_or(1) {
        0 => drop(axes.remove(axis)),
        _ => axes[axis].clear(),
    }
    let window = FoundWindow { along, len, input: WindowInput::Mean };
    let content = Content::Dense(Arc::new(Dense::of(table, Some(window))));
    Ok(Value::Flow(Flow { axes, content, position: Position::All }))
}

/// An activation of a hidden layer.
pub(super) fn activated(known: &Known<'_>, activation: Activation) -> Result<Value, Why> {
    let Value::Flow(flow) = known.value(0)? else {
        let found = known.value(0)?.describe();
        return Err(format!("it is of {found}, which is no part of a known network"));
    };
    with_activation(flow, activation).map(Value::Flow)
}

/// `flow`, the sums of a hidden layer, after an activation.
pub(super) fn with_activation(flow: &Flow, activation: Activation) -> Result<Flow, Why> {
    let Content::Dense(dense) = &flow.content else {
        let found = flow.content.describe();
        return Err(format!("it is of {found}, which is no part of a known network"));
    };
    let mut dense = Dense::clone(dense);
    let layer = dense.affine_end().ok_or("it is of what is no sum of products")?;
    layer.activation = Some(activation);
    Ok(Flow { content: Content::Dense(Arc::new(dense)), ..flow.clone() })
}

/// `table` rows times `matrix` `[depth, columns]`, where `last` runs along the features that are multiplied: those of one embedding,
/// or of all in a window.
pub(super) fn product(table: &Arc<Tensor>, last: &[Part], matrix: Matrix) -> Result<Content, Why> {
    let [_, columns] = matrix.sizes()?;
    let window = match last {
        [_] => None,
        &[Part { along, size: len @ Some(_) }, _] => {
            Some(FoundWindow { along, len, input: WindowInput::Concatenated })
        }
        _ => return Err("it multiplies more than the features of a window".into()),
    };
    Dense::of(table, window).times(matrix.out_in(columns)?)
}
