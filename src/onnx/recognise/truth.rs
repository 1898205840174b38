//! Comparisons of sizes, with which exporters write the conditions of loops. What is true is 1, as everywhere among sizes.

use super::Known;
use super::axes::Size;
use super::looped::Looping;
use super::value::{Sizes, Value};

/// What a node makes of sizes and truth values; `None` for any other node, or where the graph does not tell.
pub(super) fn truth(known: &Known<'_>, looping: Option<&Looping>) -> Option<Value> {
    let a = size(known.optional(0)?)?;
    let b = size(known.optional(1)?)?;
    let is_less = |a: &Size, b: &Size| is_less(a, b).or_else(|| looping?.is_less(a, b).then_some(true));
    let holds = match known.node.op.as_str() {
        "Less" => is_less(&a, &b)?,
        "Greater" => is_less(&b, &a)?,
        "And" => a.number()? != 0 && b.number()? != 0,
        _ => return None,
    };
    Some(Value::Sizes(Sizes::One(Some(Size::fixed(i64::from(holds))))))
}

fn is_less(a: &Size, b: &Size) -> Option<bool> {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => Some(a < b),
        // An input has at least one position and one row.
        (Some(a), None) if a < 1 && b.fixed >= 1 && b.plus >= 0 && b.is_of_inputs() => Some(true),
        _ => None,
    }
}

/// A single size, also one that is a whole float.
fn size(value: &Value) -> Option<Size> {
    if let Value::Constant(tensor) = value
        && let Some(&[number]) = tensor.as_floats()
    {
        let whole = number as i64;
        return (whole as f32 == number).then(|| Size::fixed(whole));
    }
    match value.as_sizes()? {
        Sizes::One(size) => size,
        Sizes::List(sizes) => <[Option<Size>; 1]>::try_from(sizes).ok().and_then(|[size]| size),
        Sizes::Repeated(_) => None,
    }
}
