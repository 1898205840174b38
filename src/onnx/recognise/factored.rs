//! Layer normalisation as a product and a sum, which is how Keras writes it out: `x f + (shift - mean f)`, where the factor f is
//! `scale / sqrt(variance + epsilon)`.

use super::affine::features_of;
use super::norm::{Moment, Stage};
use super::value::Value;
use super::{Found, Known};
use crate::onnx::fold::Why;

/// A step of it, of inputs that are the moments `a` and `b`; `None` for any other node.
pub(super) fn step(
    found: &mut Found<'_>,
    known: &Known<'_>,
    [a, b]: [Option<&Moment>; 2],
) -> Result<Option<Value>, Why> {
    let next = match (known.node.op.as_str(), a, b) {
        ("Neg", Some(a), None) => match a.stage {
            Stage::Mean => a.at(Stage::NegatedMean),
            Stage::MeanTimes { epsilon, is_negative: false } if a.shift.is_none() => {
                a.at(Stage::MeanTimes { epsilon, is_negative: true })
            }
            _ => return Ok(None),
        },
        ("Mul", Some(inverse @ Moment { stage: Stage::Inverse { epsilon }, .. }), None) => {
            times(known, inverse, Other { index: 1, epsilon: *epsilon })?
        }
        ("Mul", None, Some(inverse @ Moment { stage: Stage::Inverse { epsilon }, .. })) => {
            times(known, inverse, Other { index: 0, epsilon: *epsilon })?
        }
        ("Mul", Some(a), Some(b)) => match (a.stage, b.stage) {
            (Stage::Mean | Stage::NegatedMean, Stage::Inverse { epsilon }) => mean_times(a, b, epsilon)?,
            (Stage::Inverse { epsilon }, Stage::Mean | Stage::NegatedMean) => mean_times(b, a, epsilon)?,
            _ => return Ok(None),
        },
        ("Sub", None, Some(mean)) if is_mean_times(mean) => shifted(known, mean, 0)?,
        ("Add", None, Some(mean)) if is_negated_mean_times(mean) => shifted(known, mean, 0)?,
        ("Add", Some(mean), None) if is_negated_mean_times(mean) => shifted(known, mean, 1)?,
        ("Sub", Some(vector), Some(mean)) if is_mean_times(mean) => {
            return sum(found, vector, mean).map(Some);
        }
        ("Add", Some(vector), Some(mean)) if is_negated_mean_times(mean) => {
            return sum(found, vector, mean).map(Some);
        }
        ("Add", Some(mean), Some(vector)) if is_negated_mean_times(mean) => {
            return sum(found, vector, mean).map(Some);
        }
        _ => return Ok(None),
    };
    Ok(Some(next.value()))
}

/// Whether it is the mean times the factor, to which nothing has been added.
fn is_mean_times(moment: &Moment) -> bool {
    matches!(moment.stage, Stage::MeanTimes { is_negative: false, .. }) && moment.shift.is_none()
}

/// Whether it is the mean times the factor, negated.
fn is_negated_mean_times(moment: &Moment) -> bool {
    matches!(moment.stage, Stage::MeanTimes { is_negative: true, .. })
}

/// What the reciprocal of the root is multiplied with.
struct Other {
    /// Its place among the node's inputs.
    index: usize,
    epsilon: f32,
}

/// The reciprocal of the root times the vector itself, or times a scale.
fn times(known: &Known<'_>, inverse: &Moment, other: Other) -> Result<Moment, Why> {
    let Other { index, epsilon } = other;
    if known.node.input(index) == Some(&*inverse.name) {
        return Ok(inverse.at(Stage::Times { epsilon }));
    }
    let mut scale = constants(known, inverse, index)?;
    for (number, before) in scale.iter_mut().zip(inverse.scale.iter().flatten()) {
        *number *= before;
    }
    Ok(Moment { scale: Some(scale), ..inverse.clone() })
}

/// The mean, or what it is below zero, times the reciprocal of the root.
fn mean_times(mean: &Moment, inverse: &Moment, epsilon: f32) -> Result<Moment, Why> {
    check_same(mean, inverse)?;
    Ok(inverse.at(Stage::MeanTimes { epsilon, is_negative: mean.stage == Stage::NegatedMean }))
}

/// A constant less the mean times the factor.
fn shifted(known: &Known<'_>, mean: &Moment, index: usize) -> Result<Moment, Why> {
    let Stage::MeanTimes { epsilon, .. } = mean.stage else {
        return Err("it is no step of a known normalisation".into());
    };
    let mut shift = constants(known, mean, index)?;
    for (number, before) in shift.iter_mut().zip(mean.shift.iter().flatten()) {
        *number += before;
    }
    Ok(Moment { shift: Some(shift), ..mean.at(Stage::MeanTimes { epsilon, is_negative: true }) })
}

/// The vector times the factor, and the rest.
fn sum(found: &mut Found<'_>, vector: &Moment, mean: &Moment) -> Result<Value, Why> {
    check_same(vector, mean)?;
    match (vector.stage, mean.stage) {
        (Stage::Times { epsilon }, Stage::MeanTimes { epsilon: other, .. })
            if epsilon == other && vector.scale == mean.scale =>
        {
            found.normalised_by(mean, epsilon)
        }
        _ => Err("it adds a vector and a mean that are multiplied by different factors".into()),
    }
}

fn check_same(a: &Moment, b: &Moment) -> Result<(), Why> {
    if a.name == b.name {
        return Ok(());
    }
    Err(format!("it normalises `{}` by the moments of `{}`", a.name, b.name))
}

/// Input `index`, a constant number for each feature of what is normalised.
fn constants(known: &Known<'_>, moment: &Moment, index: usize) -> Result<Vec<f32>, Why> {
    let refused = |found: String| format!("input {index} is {found}, expected constant floats");
    match known.value(index)? {
        Value::Constant(tensor) => features_of(&moment.of, tensor)
            .ok_or_else(|| refused(format!("{} {:?}", tensor.element, tensor.shape))),
        other => Err(refused(other.describe())),
    }
}
