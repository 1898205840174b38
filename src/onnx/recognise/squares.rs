//! The variance of a layer normalisation as a difference, `mean(x^2) - mean(x)^2`, which is how Flax computes it, in one pass.
//!
//! The engine computes the mean of squared differences, which is the same number, and exact to rounding where the difference of two large
//! numbers is not.

use super::Known;
use super::norm::{Moment, Stage, begun, is_of_features, single};
use super::value::Value;
use crate::onnx::fold::Why;

/// A step of it, of inputs that are the moments `a` and `b`; `None` for any other node.
pub(super) fn step(known: &Known<'_>, [a, b]: [Option<&Moment>; 2]) -> Result<Option<Value>, Why> {
    let is_same = known.node.input(0).is_some() && known.node.input(0) == known.node.input(1);
    let number = |index: usize| known.optional(index).and_then(single);
    let is_square = match known.node.op.as_str() {
        "Mul" => is_same,
        "Pow" => number(1) == Some(2.0),
        _ => false,
    };
    let next = match (known.node.op.as_str(), a, b) {
        (_, None, None) if is_square => return Ok(begun(known, Stage::Squares)?.map(Moment::value)),
        (_, Some(mean @ Moment { stage: Stage::Mean, .. }), _) if is_square => mean.at(Stage::SquareOfMean),
        ("ReduceMean", Some(squares @ Moment { stage: Stage::Squares, .. }), None)
            if is_of_features(known)? =>
        {
            squares.at(Stage::MeanOfSquares)
        }
        (
            "Sub",
            Some(squares @ Moment { stage: Stage::MeanOfSquares, .. }),
            Some(mean @ Moment { stage: Stage::SquareOfMean, .. }),
        ) if squares.name == mean.name => squares.at(Stage::Variance { epsilon: 0.0 }),
        // Rounding may leave a difference below zero, which some clamp; a variance never is.
        ("Relu", Some(variance @ Moment { stage: Stage::Variance { epsilon: 0.0 }, .. }), None) => {
            variance.clone()
        }
        ("Max", Some(variance @ Moment { stage: Stage::Variance { epsilon: 0.0 }, .. }), None)
            if number(1) == Some(0.0) =>
        {
            variance.clone()
        }
        ("Max", None, Some(variance @ Moment { stage: Stage::Variance { epsilon: 0.0 }, .. }))
            if number(0) == Some(0.0) =>
        {
            variance.clone()
        }
        _ => return Ok(None),
    };
    Ok(Some(next.value()))
}
