//! What exporters do to ids that may be outside the vocabulary: Keras writes `where(ids < 0, ids + vocab, ids)` before every embedding,
//! and others bound them, or replace what is too large.
//!
//! Ids are never negative here, and below the size of the vocabulary, so comparisons with 0 are decided, and what they choose is the ids
//! themselves. Comparisons with a larger number and bounds are decided for the ids below it, which is held against the vocabulary later.

use super::Known;
use super::value::{Content, Flow, Form, MovedInput, Value};
use crate::onnx::fold::Why;
use crate::onnx::graph::Element;

/// Elements of an input, or what was computed of them.
#[derive(Clone, Copy)]
struct Ids<'v> {
    flow: &'v Flow,
    input: MovedInput,
}

impl<'v> Ids<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        match value {
            Value::Flow(flow @ Flow { content: Content::Input(input), .. }) => {
                Some(Self { flow, input: *input })
            }
            _ => None,
        }
    }

    fn as_form(self, form: Form) -> Value {
        self.with(MovedInput { form, ..self.input })
    }

    fn with(self, input: MovedInput) -> Value {
        Value::Flow(Flow { content: Content::Input(input), ..self.flow.clone() })
    }

    /// These ids, as a node chooses them over `other`. They are ids only below the number that every cast on the way to
    /// the other has let through.
    fn chosen_over(self, other: MovedInput) -> Value {
        let exact_below = self.input.exact_below.min(other.exact_below);
        let form = if self.input.form == Form::Raw { Form::Ids } else { self.input.form };
        self.with(MovedInput { exact_below, form, ..self.input })
    }
}

/// What a node gives that compares ids with 0, or computes with the result; `None` for any other node.
pub(super) fn decided(known: &Known<'_>) -> Result<Option<Value>, Why> {
    let is_zero =
        |index: usize| is_number(known, index) && known.optional(index).is_some_and(Value::is_zeros);
    let first = known.optional(0).and_then(Ids::of);
    let second = known.optional(1).and_then(Ids::of);
    let raw = first.filter(|ids| ids.input.form == Form::Raw);
    let truth = first.and_then(|ids| match ids.input.form {
        Form::Truth(holds) => Some(holds),
        Form::Raw | Form::Ids | Form::Shifted | Form::Part(_) => None,
    });
    if let Some(value) = raw.and_then(|ids| compared(known, ids)) {
        return Ok(Some(value));
    }
    Ok(match (known.node.op.as_str(), first, second) {
        ("Clip", Some(ids), _) => bounded(known, ids, [Some(1), Some(2)]),
        ("Min", Some(ids), None) if known.inputs.len() == 2 => bounded(known, ids, [None, Some(1)]),
        ("Max", Some(ids), None) if known.inputs.len() == 2 => bounded(known, ids, [Some(1), None]),
        ("Less", ..) if is_zero(1) => raw.map(|ids| ids.as_form(Form::Truth(false))),
        ("GreaterOrEqual", ..) if is_zero(1) => raw.map(|ids| ids.as_form(Form::Truth(true))),
        ("Not", Some(ids), _) => truth.map(|holds| ids.as_form(Form::Truth(!holds))),
        ("Add", Some(ids), None) if matches!(known.optional(1), Some(Value::Constant(_))) => {
            is_number(known, 1).then(|| ids.as_form(Form::Shifted))
        }
        ("Add", Some(a), Some(b)) => Some(sum(a, b)?),
        ("Mul", Some(a), Some(b)) => Some(product(a, b)?),
        ("Where", Some(_), _) => match truth {
            Some(holds) => Some(chosen(known, if holds { 1 } else { 2 })?),
            None => None,
        },
        _ => None,
    })
}

/// What comparing `ids` with a larger number gives, for the ids below that number; `None` for any other node.
fn compared(known: &Known<'_>, ids: Ids<'_>) -> Option<Value> {
    let number = whole_number(known, 1)?;
    let (bound, holds) = match known.node.op.as_str() {
        "Less" => (number, true),
        "LessOrEqual" => (number.checked_add(1)?, true),
        "GreaterOrEqual" => (number, false),
        "Greater" => (number.checked_add(1)?, false),
        _ => return None,
    };
    let exact_below = ids.input.exact_below.min(bound);
    (bound > 0).then(|| ids.with(MovedInput { exact_below, form: Form::Truth(holds), ..ids.input }))
}

/// The whole number that input `index` is.
fn whole_number(known: &Known<'_>, index: usize) -> Option<i64> {
    const WHOLE_MAX: f32 = 1e6;

    let Some(Value::Constant(tensor)) = known.optional(index) else { return None };
    match (tensor.as_ints(), tensor.as_floats()) {
        _ if !tensor.shape.is_empty() => None,
        (Some(&[number]), _) => Some(number),
        (_, Some(&[number])) => (number.fract() == 0.0 && number.abs() <= WHOLE_MAX).then_some(number as i64),
        _ => None,
    }
}

/// Ids between two bounds, by their places among the inputs: those below the upper one. `None` where the bounds change ids.
fn bounded(known: &Known<'_>, ids: Ids<'_>, places: [Option<usize>; 2]) -> Option<Value> {
    // What is absent, or no input of the operator, bounds nothing.
    let bound = |place: Option<usize>| match place.filter(|&place| known.optional(place).is_some()) {
        None => Some(None),
        Some(place) => whole_number(known, place).map(Some),
    };
    let [low, high] = [bound(places[0])?, bound(places[1])?];
    let is_attribute = ["min", "max"].iter().any(|name| known.node.attribute(name).is_some());
    let is_ids = matches!(ids.input.form, Form::Raw | Form::Ids);
    if is_attribute || !is_ids || low.is_some_and(|low| low > 0) {
        return None;
    }
    let exact_below = ids.input.exact_below.min(high.map_or(i64::MAX, |high| high.saturating_add(1)));
    Some(ids.with(MovedInput { exact_below, form: Form::Ids, ..ids.input }))
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

/// A sum with a truth value that is 0.
fn sum(a: Ids<'_>, b: Ids<'_>) -> Result<Value, Why> {
    check_alike(a, b)?;
    match (a.input.form, b.input.form) {
        (Form::Truth(false), _) => Ok(b.chosen_over(a.input)),
        (_, Form::Truth(false)) => Ok(a.chosen_over(b.input)),
        _ => Err(computes()),
    }
}

/// A product with a truth value, 0 or 1.
fn product(a: Ids<'_>, b: Ids<'_>) -> Result<Value, Why> {
    check_alike(a, b)?;
    match (a.input.form, b.input.form) {
        (Form::Truth(true), _) | (_, Form::Truth(false)) => Ok(b.chosen_over(a.input)),
        (_, Form::Truth(true)) | (Form::Truth(false), _) => Ok(a.chosen_over(b.input)),
        _ => Err(computes()),
    }
}

fn check_alike(a: Ids<'_>, b: Ids<'_>) -> Result<(), Why> {
    match a.flow.axes == b.flow.axes && a.input.index == b.input.index {
        true => Ok(()),
        false => Err(computes()),
    }
}

fn computes() -> Why {
    "it computes with token ids".into()
}

/// The side of a `Where` that is always taken.
fn chosen(known: &Known<'_>, side: usize) -> Result<Value, Why> {
    let condition = known.value(0)?;
    let taken = known.value(side)?;
    let other = known.value(3 - side)?;
    match [condition, taken, other].map(Ids::of) {
        [Some(condition), Some(taken), Some(other)]
            if condition.flow.axes == taken.flow.axes
                && condition.flow.axes == other.flow.axes
                && condition.input.index == taken.input.index =>
        {
            Ok(taken.chosen_over(condition.input))
        }
        // What replaces ids that are too large is never taken.
        [Some(condition), Some(taken), None]
            if matches!(other, Value::Constant(constant) if constant.shape.is_empty())
                && condition.flow.axes == taken.flow.axes
                && condition.input.index == taken.input.index =>
        {
            Ok(taken.chosen_over(condition.input))
        }
        _ => Err(format!("it chooses between {} and {}", taken.describe(), other.describe())),
    }
}
