//! The shapes of a recurrent node's weights. tract does not check them against `hidden_size`, and would run some wrong ones as another
//! network.

use super::Known;
use super::value::Value;
use crate::onnx::allow::Recurrent;
use crate::onnx::fold::Why;

/// Checks that the constant weights of a recurrent node fit each other, the attribute `hidden_size` and, where they are known,
/// the features that it reads.
pub(super) fn consistent(known: &Known<'_>, kind: Recurrent, features: Option<usize>) -> Result<(), Why> {
    let weights = |index: usize| match known.optional(index) {
        Some(Value::Constant(tensor)) => Some(tensor.shape.as_slice()),
        _ => None,
    };
    let gates = match kind {
        Recurrent::Rnn => 1,
        Recurrent::Gru => 3,
        Recurrent::Lstm | Recurrent::QuantisedLstm => 4,
    };
    let declared = known.node.int("hidden_size")?.and_then(|size| usize::try_from(size).ok());
    let recurrent = || match (kind, weights(2)?) {
        (Recurrent::QuantisedLstm, &[_, hidden, _]) | (_, &[_, _, hidden]) => Some(hidden),
        _ => None,
    };
    let Some(hidden) = declared.or_else(recurrent) else { return Ok(()) };
    if hidden == 0 {
        return Err("its layer has no units".into());
    }
    let rows = hidden.saturating_mul(gates);
    let matrix = |depth: Option<usize>| match kind {
        Recurrent::QuantisedLstm => [Some(1), depth, Some(rows)],
        Recurrent::Rnn | Recurrent::Gru | Recurrent::Lstm => [Some(1), Some(rows), depth],
    };
    let fits = |index: usize, expected: &[Option<usize>]| {
        let name = ["X", "W", "R", "B"][index];
        let Some(found) = weights(index) else { return Ok(()) };
        let is_same = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| expected.is_none_or(|size| size == *found));
        let sizes = expected.iter().map(|size| size.map_or("in".to_owned(), |size| size.to_string()));
        let sizes: Vec<String> = sizes.collect();
        if is_same {
            Ok(())
        } else {
            Err(format!("its `{name}` is {found:?}, expected [{}]", sizes.join(", ")))
        }
    };
    fits(1, &matrix(features))?;
    fits(2, &matrix(Some(hidden)))?;
    fits(3, &[Some(1), Some(rows.saturating_mul(2))])
}
