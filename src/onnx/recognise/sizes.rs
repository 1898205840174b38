//! Arithmetic on shapes: `Shape` of an input or of what follows from it, and the operators that exporters make targets of reshapes with.

use std::sync::Arc;

use super::Known;
use super::axes::Size;
use super::value::{Sizes, Value};
use crate::onnx::fold::{Why, axis_of, shape_range};
use crate::onnx::tensor::{RANK_MAX, Tensor};

/// The sizes that a node makes; `None` if it is none of these operators, or not on sizes.
pub(super) fn sizes(known: &Known<'_>) -> Result<Option<Value>, Why> {
    let node = known.node;
    if node.op == "Shape" {
        if let Value::Sizes(Sizes::List(list)) = known.value(0)? {
            return Ok(Some(Value::Constant(Arc::new(Tensor::vector(vec![list.len() as i64])))));
        }
        let Value::Flow(flow) = known.value(0)? else { return Ok(None) };
        let range = shape_range(node, flow.axes.len())?;
        let sizes = flow.axes[range].iter().map(|axis| Some(Size::of(axis))).collect();
        return Ok(Some(Value::Sizes(Sizes::List(sizes))));
    }
    let is_long = |value: &Value| matches!(value, Value::Constant(tensor) if tensor.len() > RANK_MAX);
    if known.inputs.iter().flatten().any(is_long) {
        return Ok(None);
    }
    let Some(inputs) = known.inputs.iter().flatten().map(Value::as_sizes).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some(first) = inputs.first().cloned() else { return Ok(None) };
    let sizes = match node.op.as_str() {
        "Identity" | "Cast" => first,
        "Gather" => gather(&first, &inputs)?,
        "Slice" => slice(known, first)?,
        "Squeeze" => match first.into_list().as_deref() {
            Some([size]) => Sizes::One(size.clone()),
            _ => return Err("it squeezes a list of sizes".into()),
        },
        "Unsqueeze" | "Reshape" => Sizes::List(first.into_list().ok_or("it reshapes repeated sizes")?),
        "Concat" => {
            let lists = inputs.into_iter().map(Sizes::into_list).collect::<Option<Vec<_>>>();
            Sizes::List(lists.ok_or("it joins repeated sizes")?.concat())
        }
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Where" => elementwise(&node.op, &inputs)?,
        "Expand" | "Tile" => match first.into_list().as_deref() {
            Some([Some(size)]) => Sizes::Repeated(size.clone()),
            _ => return Err("it repeats sizes that the graph does not tell".into()),
        },
        _ => return Ok(None),
    };
    match &sizes {
        Sizes::List(list) if list.len() > RANK_MAX => Err(format!("it makes a list of {} sizes", list.len())),
        _ => Ok(Some(Value::Sizes(sizes))),
    }
}

fn gather(list: &Sizes, inputs: &[Sizes]) -> Result<Sizes, Why> {
    let Sizes::List(list) = list else { return Err("it selects from no list".into()) };
    let pick = |index: &Option<Size>| {
        let index = index.as_ref().and_then(Size::number).ok_or("it selects by a size")?;
        Ok(list[axis_of(index, list.len())?].clone())
    };
    match inputs.get(1) {
        Some(Sizes::One(index)) => Ok(Sizes::One(pick(index)?)),
        Some(Sizes::List(indices)) => Ok(Sizes::List(indices.iter().map(pick).collect::<Result<_, Why>>()?)),
        _ => Err("it selects by no index".into()),
    }
}

/// `Slice` of a list with step 1.
fn slice(known: &Known<'_>, list: Sizes) -> Result<Sizes, Why> {
    let list = list.into_list().ok_or("it slices repeated sizes")?;
    let len = list.len() as i64;
    let bound = |index: usize, name: &str| -> Result<i64, Why> {
        let ints = match known.optional(index) {
            Some(Value::Constant(tensor)) => tensor.as_list().map(<[i64]>::to_vec),
            Some(_) => None,
            None => known.node.ints(name)?,
        };
        let bound = ints.and_then(|ints| ints.first().copied()).ok_or("its bounds are not constant")?;
        Ok(if bound < 0 { bound.saturating_add(len) } else { bound }.clamp(0, len))
    };
    let start = bound(1, "starts")?;
    let end = bound(2, "ends")?;
    let step = match known.optional(4) {
        None => 1,
        Some(Value::Constant(tensor)) => tensor.as_ints().and_then(|ints| ints.first().copied()).unwrap_or(0),
        Some(_) => 0,
    };
    if step != 1 {
        return Err("its step is not 1".into());
    }
    Ok(Sizes::List(list[start as usize..end.max(start) as usize].to_vec()))
}

/// Operators of two or three inputs.
fn elementwise(op: &str, inputs: &[Sizes]) -> Result<Sizes, Why> {
    let len = inputs.iter().map(|sizes| match sizes {
        Sizes::One(_) => Some(1),
        Sizes::List(list) => Some(list.len()),
        Sizes::Repeated(_) => None,
    });
    let lens: Vec<usize> = len.collect::<Option<_>>().ok_or("it is on repeated sizes")?;
    let len = lens.iter().copied().max().unwrap_or(1);
    if lens.iter().any(|&one| one != 1 && one != len) {
        return Err("its inputs differ in length".into());
    }
    let at = |sizes: &Sizes, index: usize| match sizes {
        Sizes::One(size) => size.clone(),
        Sizes::List(list) => list[index % list.len().max(1)].clone(),
        Sizes::Repeated(_) => None,
    };
    let values = (0..len).map(|index| match inputs {
        [a, b] => combine(op, &at(a, index)?, &at(b, index)?),
        // `Where`
        [condition, a, b] => match at(condition, index)?.number()? {
            0 => at(b, index),
            _ => at(a, index),
        },
        _ => None,
    });
    let is_one = inputs.iter().all(|sizes| matches!(sizes, Sizes::One(_)));
    let mut values: Vec<Option<Size>> = values.collect();
    Ok(if is_one { Sizes::One(values.pop().flatten()) } else { Sizes::List(values) })
}

fn combine(op: &str, a: &Size, b: &Size) -> Option<Size> {
    match (op, a.number(), b.number()) {
        ("Add", _, Some(number)) => a.plus(number),
        ("Add", Some(number), _) => b.plus(number),
        ("Sub", _, Some(number)) => a.plus(number.checked_neg()?),
        ("Mul", ..) => a.times(b),
        ("Div", Some(a), Some(b)) => a.checked_div(b).map(Size::fixed),
        ("Equal", Some(a), Some(b)) => Some(Size::fixed(i64::from(a == b))),
        // Exporters write -1 for a size that stays as it is, which no axis has.
        ("Equal", None, Some(number)) if number < 0 && a.plus == 0 && a.fixed >= 0 => Some(Size::fixed(0)),
        _ => None,
    }
}
