//! Normalisations on the way: the operators `LayerNormalization` and `BatchNormalization`, and layer normalisation written out as older
//! exporters have it (`ReduceMean`, `Sub`, `Pow`, `ReduceMean`, `Add`, `Sqrt`, `Div`); `factored` has the form that Keras gives it, and
//! `squares` the variance as a difference of squares.
//!
//! What stands before the first layer becomes part of the table; what stands after a layer is a step of the engine. Where a scale and a shift
//! follow an affine layer they become part of its weights.

use std::sync::Arc;

use super::axes::{Along, Axis, Part};
use super::glue::named_axes;
use super::value::{Content, Flow, Value};
use super::{Found, Known, affine, factored, squares};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::scores::Scores;
use crate::onnx::tensor::Tensor;
use crate::rnn::{Norm, NormForm, Scaled, Statistics};

/// The h of a layer after normalisations.
#[derive(Clone, Debug)]
pub(super) struct Normed {
    pub(super) layer: usize,
    /// The first one first.
    pub(super) norms: Vec<Norm>,
}

/// An intermediate result of a layer normalisation that is written out.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// What is normalised, x.
    pub(super) of: Flow,
    /// Its name in the graph.
    pub(super) name: Arc<str>,
    pub(super) stage: Stage,
    /// What it has been multiplied with, a number for each feature; `None` is 1.
    pub(super) scale: Option<Vec<f32>>,
    /// What was added to it after that; `None` is 0.
    pub(super) shift: Option<Vec<f32>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// `mean(x)`.
    Mean,
    /// `x - mean(x)`.
    Centred,
    /// `(x - mean(x))^2`.
    Squared,
    /// The mean of the squares, plus epsilon.
    Variance { epsilon: f32 },
    /// Its root.
    Deviation { epsilon: f32 },
    /// The reciprocal of the root.
    Inverse { epsilon: f32 },
    /// `x^2`.
    Squares,
    /// `mean(x^2)`.
    MeanOfSquares,
    /// `mean(x)^2`.
    SquareOfMean,
    /// `-mean(x)`.
    NegatedMean,
    /// The mean times the reciprocal of the root.
    MeanTimes { epsilon: f32, is_negative: bool },
    /// x times the reciprocal of the root.
    Times { epsilon: f32 },
}

impl Moment {
    /// What it is of, as a part of a network.
    pub(super) fn source(&self) -> &Flow {
        &self.of
    }

    pub(super) fn at(&self, stage: Stage) -> Self {
        Self { stage, ..self.clone() }
    }

    /// As a tensor: a number for each vector, or as many as its features.
    pub(super) fn value(self) -> Value {
        let mut axes = self.of.axes.clone();
        let has_features = self.scale.is_some() || self.shift.is_some();
        let is_vector = has_features
            || matches!(self.stage, Stage::Centred | Stage::Squared | Stage::Squares | Stage::Times { .. });
        if !is_vector && let Some(last) = axes.last_mut() {
            last.clear();
        }
        let position = self.of.position;
        Value::Flow(Flow { axes, content: Content::Moment(Arc::new(self)), position })
    }
}

/// A step of a layer normalisation that is written out; `None` for any other node.
pub(super) fn moment(found: &mut Found<'_>, known: &Known<'_>) -> Result<Option<Value>, Why> {
    let a = known.optional(0).and_then(moment_of);
    let b = known.optional(1).and_then(moment_of);
    let is_same = known.node.input(0).is_some() && known.node.input(0) == known.node.input(1);
    let number = |index: usize| known.optional(index).and_then(single);
    let op = known.node.op.as_str();
    if let Some(value) = factored::step(found, known, [a, b])? {
        return Ok(Some(value));
    }
    if let Some(value) = squares::step(known, [a, b])? {
        return Ok(Some(value));
    }
    let next = match (op, a.map(|a| a.stage), b.map(|b| b.stage)) {
        ("ReduceMean", None, None) => return mean(known),
        ("Sub", None, Some(Stage::Mean)) if b.is_some_and(|b| known.node.input(0) == Some(&*b.name)) => {
            Stage::Centred
        }
        ("Pow", Some(Stage::Centred), None) if number(1) == Some(2.0) => Stage::Squared,
        ("Mul", Some(Stage::Centred), Some(Stage::Centred)) if is_same => Stage::Squared,
        ("ReduceMean", Some(Stage::Squared), None) if is_of_features(known)? => {
            Stage::Variance { epsilon: 0.0 }
        }
        ("Add", Some(Stage::Variance { epsilon: 0.0 }), None) => {
            Stage::Variance { epsilon: positive(number(1))? }
        }
        ("Add", None, Some(Stage::Variance { epsilon: 0.0 })) => {
            Stage::Variance { epsilon: positive(number(0))? }
        }
        ("Sqrt", Some(Stage::Variance { epsilon }), None) => Stage::Deviation { epsilon },
        ("Pow", Some(Stage::Variance { epsilon }), None) if number(1) == Some(0.5) => {
            Stage::Deviation { epsilon }
        }
        ("Reciprocal", Some(Stage::Deviation { epsilon }), None) => Stage::Inverse { epsilon },
        ("Div", Some(Stage::Centred), Some(Stage::Deviation { epsilon })) => {
            return standardised(found, [a, b], epsilon);
        }
        ("Mul", Some(Stage::Centred), Some(Stage::Inverse { epsilon }))
        | ("Mul", Some(Stage::Inverse { epsilon }), Some(Stage::Centred)) => {
            return standardised(found, [a, b], epsilon);
        }
        (_, None, None) => return Ok(None),
        ("Cast" | "Identity", ..) => return Ok(None),
        _ => return Err("it is no step of a known normalisation".into()),
    };
    Ok(a.or(b).map(|moment| moment.at(next).value()))
}

fn moment_of(value: &Value) -> Option<&Moment> {
    match value {
        Value::Flow(Flow { content: Content::Moment(moment), .. }) => Some(moment),
        _ => None,
    }
}

/// The only number of a constant.
pub(super) fn single(value: &Value) -> Option<f32> {
    let Value::Constant(tensor) = value else { return None };
    match (tensor.as_floats(), tensor.as_ints()) {
        (Some(&[number]), _) => Some(number),
        (None, Some(&[number])) => Some(number as f32),
        _ => None,
    }
}

fn positive(epsilon: Option<f32>) -> Result<f32, Why> {
    epsilon
        .filter(|epsilon| *epsilon > 0.0 && epsilon.is_finite())
        .ok_or_else(|| "it adds no positive number to a variance".into())
}

/// `ReduceMean` over the features, its axis kept; `None` where it is over something else.
fn mean(known: &Known<'_>) -> Result<Option<Value>, Why> {
    match begun(known, Stage::Mean)? {
        Some(mean) if is_of_features(known)? => Ok(Some(mean.value())),
        _ => Ok(None),
    }
}

/// The first step of a normalisation of input 0; `None` where that is no vector that can be normalised.
pub(super) fn begun(known: &Known<'_>, stage: Stage) -> Result<Option<Moment>, Why> {
    let Some(Value::Flow(of)) = known.optional(0) else { return Ok(None) };
    let is_vector =
        matches!(of.content, Content::Row(_) | Content::Dense(_) | Content::Hidden(_) | Content::Normed(_));
    if !is_vector || features(&of.axes).is_none() {
        return Ok(None);
    }
    let name = known.node.input(0).ok_or("its input has no name")?.into();
    Ok(Some(Moment { of: of.clone(), name, stage, scale: None, shift: None }))
}

/// Whether a `ReduceMean` is over the last axis, and keeps it.
pub(super) fn is_of_features(known: &Known<'_>) -> Result<bool, Why> {
    let Value::Flow(flow) = known.value(0)? else { return Ok(false) };
    let rank = flow.axes.len();
    let is_last = match named_axes(known)?.as_deref() {
        Some(&[axis]) => axis_of(axis, rank)? + 1 == rank,
        _ => false,
    };
    Ok(is_last && known.node.int("keepdims")?.unwrap_or(1) == 1)
}

/// Both being of one vector, the vector minus its mean, over its standard deviation.
fn standardised(
    found: &mut Found<'_>,
    [a, b]: [Option<&Moment>; 2],
    epsilon: f32,
) -> Result<Option<Value>, Why> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    if a.name != b.name {
        return Err(format!("it divides `{}` by the deviation of `{}`", a.name, b.name));
    }
    found.normalised_by(a.scale.as_ref().map_or(b, |_| a), epsilon).map(Some)
}

/// The number of features, where they run along the last axis alone.
fn features(axes: &[Axis]) -> Option<usize> {
    match axes.last()?.as_slice() {
        &[Part { along: Along::Features, size }] => size,
        _ => None,
    }
}

/// A constant vector with a number for each of `width` features.
fn vector(known: &Known<'_>, index: usize, width: usize) -> Result<Vec<f32>, Why> {
    let refused = |found: String| format!("input {index} is {found}, expected {width} constant floats");
    let Value::Constant(tensor) = known.value(index)? else {
        return Err(refused(known.value(index)?.describe()));
    };
    let values = tensor.as_floats().filter(|values| values.len() == width);
    values.map(<[f32]>::to_vec).ok_or_else(|| refused(format!("{} {:?}", tensor.element, tensor.shape)))
}

impl Found<'_> {
    /// The operator `LayerNormalization`, over the features.
    pub(super) fn layer_normalization(&mut self, known: &Known<'_>) -> Result<Value, Why> {
        let Value::Flow(flow) = known.value(0)? else {
            return Err(format!("it normalises {}", known.value(0)?.describe()));
        };
        let rank = flow.axes.len();
        let width = features(&flow.axes).ok_or("the last axis is not that of the features")?;
        if axis_of(known.node.int("axis")?.unwrap_or(-1), rank)? + 1 != rank {
            return Err("it normalises over more than the features".into());
        }
        let epsilon = known.node.float("epsilon")?.unwrap_or(1e-5);
        let scale = vector(known, 1, width)?;
        let shift = known.optional(2).map_or_else(|| Ok(vec![0.0; width]), |_| vector(known, 2, width))?;
        let norm = Norm { form: NormForm::OfVector { epsilon }, scale, shift };
        self.normalised(flow, norm).map(Value::Flow)
    }

    /// The operator `BatchNormalization` with constant statistics, whose features run along axis 1.
    pub(super) fn batch_normalization(&mut self, known: &Known<'_>) -> Result<Value, Why> {
        let Value::Flow(flow) = known.value(0)? else {
            return Err(format!("it normalises {}", known.value(0)?.describe()));
        };
        if known.node.int("training_mode")?.unwrap_or(0) != 0 {
            return Err("it normalises by the batch that it reads, as in training".into());
        }
        let Some(&[Part { along: Along::Features, size: Some(width) }]) = flow.axes.get(1).map(Vec::as_slice)
        else {
            return Err("axis 1 is not that of the features".into());
        };
        let epsilon = known.node.float("epsilon")?.unwrap_or(1e-5);
        let scaled = Scaled { scale: vector(known, 1, width)?, shift: vector(known, 2, width)? };
        let statistics =
            Statistics { mean: vector(known, 3, width)?, variance: vector(known, 4, width)?, epsilon };
        let norm = Norm::of_statistics(scaled, &statistics);
        if norm.scale.iter().chain(&norm.shift).any(|value| !value.is_finite()) {
            return Err("its scale or its shift is not finite".into());
        }
        self.normalised(flow, norm).map(Value::Flow)
    }

    /// The vector that `moment` is of, standardised, with the moment's scale and shift.
    pub(super) fn normalised_by(&mut self, moment: &Moment, epsilon: f32) -> Result<Value, Why> {
        let width = features(&moment.of.axes).ok_or("the last axis is not that of the features")?;
        let scale = moment.scale.clone().unwrap_or_else(|| vec![1.0; width]);
        let shift = moment.shift.clone().unwrap_or_else(|| vec![0.0; width]);
        let norm = Norm { form: NormForm::OfVector { epsilon }, scale, shift };
        self.normalised(&moment.of, norm).map(Value::Flow)
    }

    /// `flow` after `norm`, which is as wide as its features.
    fn normalised(&mut self, flow: &Flow, norm: Norm) -> Result<Flow, Why> {
        let content = match &flow.content {
            Content::Row(table) => {
                self.folder.room(table.len())?;
                Content::Row(Arc::new(normalised_table(table, &norm)?))
            }
            Content::Dense(dense) if norm.form == NormForm::Constants && dense.is_affine() => {
                let Content::Dense(dense) = dense.scaled(&norm.scale, |value, scale| value * scale)? else {
                    return Err("it is of no affine layer".into());
                };
                dense.plus(&norm.shift)?
            }
            Content::Dense(dense) => {
                self.folder.room(dense.folded_room())?;
                Content::Row(Arc::new(normalised_table(&dense.folded()?, &norm)?))
            }
            Content::Output(head, Scores::Logits) if norm.form == NormForm::Constants => {
                let head = affine::scaled_head(head, &norm.scale, |value, scale| value * scale)?
                    .shifted(&norm.shift);
                Content::Output(Arc::new(head), Scores::Logits)
            }
            content => after_layer(content, norm)?,
        };
        Ok(Flow { content, ..flow.clone() })
    }
}

/// The h of a layer after one more normalisation.
///
/// # Errors
/// When it is none.
pub(super) fn after_layer(content: &Content, norm: Norm) -> Result<Content, Why> {
    const NORMS_MAX: usize = 16;

    let mut normed = match content {
        &Content::Hidden(layer) => Normed { layer, norms: Vec::new() },
        Content::Normed(normed) => Normed::clone(normed),
        other => return Err(format!("it normalises {}, which a known network does not", other.describe())),
    };
    if normed.norms.len() == NORMS_MAX {
        return Err(format!("it is one of more than {NORMS_MAX} normalisations between two layers"));
    }
    match normed.norms.last_mut() {
        // y = (n * s + t) * scale + shift
        Some(before) if norm.form == NormForm::Constants => {
            let each = before.scale.iter_mut().zip(&mut before.shift).zip(norm.scale.iter().zip(&norm.shift));
            for ((before_scale, before_shift), (scale, shift)) in each {
                *before_scale *= scale;
                *before_shift = *before_shift * scale + shift;
            }
        }
        _ => normed.norms.push(norm),
    }
    Ok(Content::Normed(Arc::new(normed)))
}

/// Each row of a table, normalised.
fn normalised_table(table: &Tensor, norm: &Norm) -> Result<Tensor, Why> {
    let mut values = table.as_floats().ok_or("its embedding is no table of floats")?.to_vec();
    if norm.scale.is_empty() || table.shape.last() != Some(&norm.scale.len()) {
        return Err(format!("its embedding is {:?}, expected rows of {}", table.shape, norm.scale.len()));
    }
    norm.apply(&mut values);
    Ok(Tensor::floats(table.shape.clone(), values))
}
