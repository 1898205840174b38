//! The end of a network: softmax over the vocabulary, or its logarithm.

use super::Known;
use super::axes::Axis;
use super::value::{Content, Flow, Value};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::scores::Scores;

/// `Softmax` or `LogSoftmax`, which make `scores` of logits.
pub(super) fn softmax(known: &Known<'_>, opset: i64, scores: Scores) -> Result<Value, Why> {
    let Value::Flow(Flow { axes, content, position }) = known.value(0)? else {
        return Err(format!("it is of {}, expected logits", known.value(0)?.describe()));
    };
    let content = match content {
        Content::Output(head, Scores::Logits) => Content::Output(head.clone(), scores),
        Content::Dense(dense) => dense.scored(scores)?,
        other => return Err(format!("it is of {}, expected logits", other.describe())),
    };
    // Before opset 13 it runs over `axis` and all after it, as one.
    let is_flat = opset < 13;
    let axis = known.node.int("axis")?.unwrap_or(if is_flat { 1 } else { -1 });
    let axis = axis_of(axis, axes.len())?;
    let over: &[Axis] = if is_flat { &axes[axis..] } else { &axes[axis..=axis] };
    let parts: Vec<_> = over.iter().flatten().collect();
    if !matches!(parts.as_slice(), [part] if part.along == super::Along::Features) {
        return Err(format!("it runs over axis {axis}, which is not the vocabulary's"));
    }
    Ok(Value::Flow(Flow { axes: axes.clone(), content, position: *position }))
}

/// `Log` of probabilities.
pub(super) fn log(known: &Known<'_>) -> Result<Value, Why> {
    match known.value(0)? {
        Value::Flow(Flow { axes, content: Content::Output(head, Scores::Probabilities), position }) => {
            let content = Content::Output(head.clone(), Scores::LogProbabilities);
            Ok(Value::Flow(Flow { axes: axes.clone(), content, position: *position }))
        }
        other => Err(format!("it is of {}, expected probabilities", other.describe())),
    }
}
