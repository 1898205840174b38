//! Zeros of a shape that callers decide: what a state begins with where a graph makes it itself.

use super::Known;
use super::glue::named_axes;
use super::value::{Sizes, Value};
use crate::onnx::fold::target_type;
use crate::onnx::graph::Attribute;
use crate::onnx::tensor::{Data, RANK_MAX};

/// Whether a node's results are zeros, whatever shape callers give them.
pub(super) fn keeps(known: &Known<'_>) -> bool {
    let is_constant = |value: &Option<Value>| matches!(value, None | Some(Value::Constant(_)));
    if !known.node.is_standard() || known.inputs.iter().all(is_constant) {
        return false;
    }
    let is_zeros = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_zeros);
    match known.node.op.as_str() {
        "ConstantOfShape" => match known.node.attribute("value") {
            None => true,
            Some(Attribute::Tensor(value)) => match &value.data {
                Data::Floats(values) => values.as_slice() == [0.0],
                Data::Dequantised(_) | Data::Ints(_) | Data::Unread => false,
            },
            Some(_) => false,
        },
        "Identity" | "Slice" | "Gather" | "Expand" | "Tile" | "Reshape" | "Squeeze" | "Unsqueeze"
        | "Transpose" | "Split" | "Flatten" => known.inputs.first().is_some_and(is_zeros),
        "Cast" => known.inputs.first().is_some_and(is_zeros) && target_type(known.node).is_ok(),
        "Concat" => known.inputs.iter().all(is_zeros),
        _ => false,
    }
}

/// The number of dimensions of zeros that a node makes, where that is known.
pub(super) fn rank(known: &Known<'_>) -> Option<usize> {
    let of = |value: &Value| match value {
        Value::Zeros(rank) => *rank,
        Value::Constant(tensor) => Some(tensor.shape.len()),
        _ => None,
    };
    let list_len = |index: usize| match known.optional(index)?.as_sizes()? {
        Sizes::List(list) => Some(list.len()),
        Sizes::One(_) | Sizes::Repeated(_) => None,
    };
    let rank = known.optional(0).and_then(of);
    let axes = || named_axes(known).ok().flatten();
    let rank = match known.node.op.as_str() {
        "ConstantOfShape" => list_len(0),
        "Expand" => Some(rank?.max(list_len(1)?)),
        "Reshape" => list_len(1),
        "Squeeze" => rank?.checked_sub(axes()?.len()),
        "Unsqueeze" => Some(rank? + axes()?.len()),
        "Flatten" => Some(2),
        "Gather" => match known.optional(1)?.as_sizes()? {
            Sizes::One(_) => rank?.checked_sub(1),
            Sizes::List(_) => rank,
            Sizes::Repeated(_) => None,
        },
        "Identity" | "Slice" | "Tile" | "Transpose" | "Split" | "Cast" | "Concat" => rank,
        _ => None,
    };
    rank.filter(|&rank| rank <= RANK_MAX)
}
