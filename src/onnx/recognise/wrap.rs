//! Negative ids that count from the end: Keras writes `where(ids < 0, ids + vocab, ids)` before every embedding.
//!
//! Ids are never negative here, so comparisons with 0 are decided, and what they choose is the ids themselves.

use super::Known;
use super::value::{Content, Flow, Form, Input, Value};
use crate::onnx::fold::Why;
use crate::onnx::graph::Element;

/// What a node makes that compares ids with 0, or computes with the outcome; `None` for any other.
pub(super) fn wrapped(known: &Known<'_>) -> Result<Option<Value>, Why> {
    let zero = |index: usize| is_number(known, index) && known.optional(index).is_some_and(Value::is_zeros);
    let truth =
        |(flow, input): (&Flow, Input), truth: bool| of(flow, Input { form: Form::Truth(truth), ..input });
    let ids = |index: usize| known.optional(index).and_then(as_ids);
    let (first, second) = (ids(0), ids(1));
    let raw = first.filter(|(_, input)| input.form == Form::Raw);
    Ok(match (known.node.op.as_str(), first, second) {
        ("Less", ..) if zero(1) => raw.map(|raw| truth(raw, false)),
        ("GreaterOrEqual", ..) if zero(1) => raw.map(|raw| truth(raw, true)),
        ("Not", Some((flow, Input { form: Form::Truth(holds), .. })), _) => {
            first.map(|(_, input)| truth((flow, input), !holds))
        }
        ("Add", Some((flow, input)), None) if matches!(known.optional(1), Some(Value::Constant(_))) => {
            is_number(known, 1).then(|| of(flow, Input { form: Form::Shifted, ..input }))
        }
        ("Add" | "Mul", Some(a), Some(b)) => Some(combined(&known.node.op, a, b)?),
        ("Where", Some((_, Input { form: Form::Truth(holds), .. })), _) => {
            Some(chosen(known, if holds { 1 } else { 2 })?)
        }
        _ => None,
    })
}

fn as_ids(value: &Value) -> Option<(&Flow, Input)> {
    match value {
        Value::Flow(flow @ Flow { content: Content::Input(input), .. }) => Some((flow, *input)),
        _ => None,
    }
}

fn of(flow: &Flow, input: Input) -> Value {
    Value::Flow(Flow { content: Content::Input(input), ..flow.clone() })
}

/// `kept`, which it is for ids alone, below the number that every cast on the way to the `other` has let through.
fn decided(kept: (&Flow, Input), other: Input) -> Value {
    let exact_below = kept.1.exact_below.min(other.exact_below);
    let form = if kept.1.form == Form::Raw { Form::Ids } else { kept.1.form };
    of(kept.0, Input { exact_below, form, ..kept.1 })
}

/// Whether input `index` is one number that leaves ids finite when it is added.
fn is_number(known: &Known<'_>, index: usize) -> bool {
    const FLOAT_MAX: f32 = 1e30;

    let Some(Value::Constant(tensor)) = known.optional(index) else { return false };
    let is_small = match tensor.element {
        Element::F32 | Element::F64 => {
            tensor.as_floats().is_some_and(|all| all.iter().all(|one| one.abs() <= FLOAT_MAX))
        }
        Element::I32 | Element::I64 => true,
        _ => false,
    };
    tensor.shape.is_empty() && is_small
}

/// A sum or product with a truth value, 0 or 1.
fn combined(op: &str, a: (&Flow, Input), b: (&Flow, Input)) -> Result<Value, Why> {
    let refused = || String::from("it computes with token ids");
    if a.0.axes != b.0.axes || a.1.index != b.1.index {
        return Err(refused());
    }
    match (op, a.1.form, b.1.form) {
        ("Mul", Form::Truth(true), _) | ("Add", Form::Truth(false), _) => Ok(decided(b, a.1)),
        ("Mul", _, Form::Truth(true)) | ("Add", _, Form::Truth(false)) => Ok(decided(a, b.1)),
        ("Mul", Form::Truth(false), _) => Ok(decided(a, b.1)),
        ("Mul", _, Form::Truth(false)) => Ok(decided(b, a.1)),
        _ => Err(refused()),
    }
}

/// The side of a `Where` that is always taken.
fn chosen(known: &Known<'_>, side: usize) -> Result<Value, Why> {
    let (condition, taken, other) = (known.value(0)?, known.value(side)?, known.value(3 - side)?);
    match (as_ids(condition), as_ids(taken), as_ids(other)) {
        (Some(condition), Some(taken), Some(other))
            if condition.0.axes == taken.0.axes
                && condition.0.axes == other.0.axes
                && condition.1.index == taken.1.index =>
        {
            Ok(decided(taken, condition.1))
        }
        _ => Err(format!("it chooses between {} and {}", taken.describe(), other.describe())),
    }
}
