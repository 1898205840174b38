//! Elementwise operators over constants, in the precision of their type.

use half::{bf16, f16};

use super::view::{View, common_shape};
use super::{Constants, Why};
use crate::onnx::graph::Element;
use crate::onnx::tensor::{Data, Dequantised, Tensor};

/// `values` rounded to the type.
pub(super) fn rounded(mut values: Vec<f32>, element: Element) -> Vec<f32> {
    match element {
        Element::F16 => values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32()),
        Element::Bf16 => values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32()),
        _ => {}
    }
    values
}

/// The shape of an operator of two inputs.
pub(super) fn shape(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let a = &from.tensor(0)?.shape;
    let b = &from.tensor(1)?.shape;
    common_shape(a, b).ok_or_else(|| format!("{a:?} and {b:?} do not fit"))
}

/// `Add`, `Sub`, `Mul`, `Div`, and what is true or false: `Equal`, `Less`, `Greater` and `And`.
pub(super) fn binary(from: &Constants<'_>, shape: Vec<usize>) -> Result<Tensor, Why> {
    let a = from.tensor(0)?;
    let b = from.tensor(1)?;
    let op = from.node.op.as_str();
    let is_truth = matches!(op, "Equal" | "Less" | "Greater" | "And");
    let pairs = |tensor: &Tensor| View::broadcast(&tensor.shape, &shape).ok_or("its shapes do not fit");
    let view_a = pairs(a)?;
    let view_b = pairs(b)?;
    let element = a.element;
    if b.element != element {
        return Err(format!("its inputs are {element} and {}", b.element));
    }
    let data = match (a.as_floats().zip(b.as_floats()), a.as_ints().zip(b.as_ints())) {
        (Some((a, b)), _) => {
            let pairs = view_a.take(a).into_iter().zip(view_b.take(b));
            if is_truth {
                Data::Ints(pairs.map(|(a, b)| i64::from(holds(op, &a, &b))).collect())
            } else {
                Data::Floats(rounded(pairs.map(|(a, b)| float(op, a, b)).collect(), element))
            }
        }
        (_, Some((a, b))) => {
            let pairs = view_a.take(a).into_iter().zip(view_b.take(b));
            let values = pairs.map(|(a, b)| integer(op, a, b)).collect::<Option<Vec<i64>>>();
            let values = values.ok_or("its integers overflow")?;
            let range = super::integer_range(element).filter(|_| !is_truth);
            if range.is_some_and(|range| values.iter().any(|value| !range.contains(value))) {
                return Err("its integers overflow".into());
            }
            Data::Ints(values)
        }
        _ => return Err(format!("its inputs are {element}")),
    };
    let element = if is_truth { Element::Bool } else { element };
    Ok(Tensor { shape, element, stored: element, data })
}

fn float(op: &str, a: f32, b: f32) -> f32 {
    match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        _ => a / b,
    }
}

fn holds<T: PartialOrd>(op: &str, a: &T, b: &T) -> bool {
    match op {
        "Less" => a < b,
        "Greater" => a > b,
        _ => a == b,
    }
}

fn integer(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "And" => Some(i64::from(a != 0 && b != 0)),
        "Equal" | "Less" | "Greater" => Some(i64::from(holds(op, &a, &b))),
        _ => a.checked_div(b),
    }
}

/// The shape of a `Where`.
pub(super) fn where_shape(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let [a, b, c] = [&from.tensor(0)?.shape, &from.tensor(1)?.shape, &from.tensor(2)?.shape];
    let shape = common_shape(a, b).and_then(|shape| common_shape(&shape, c));
    shape.ok_or_else(|| format!("{a:?}, {b:?} and {c:?} do not fit"))
}

/// `Where`.
pub(super) fn choose(from: &Constants<'_>, shape: Vec<usize>) -> Result<Tensor, Why> {
    let condition = from.tensor(0)?;
    let a = from.tensor(1)?;
    let b = from.tensor(2)?;
    let refused = || format!("its inputs are {} and {}", a.element, b.element);
    let wide = |tensor: &Tensor| -> Result<Tensor, Why> {
        let view = View::broadcast(&tensor.shape, &shape).ok_or("its shapes do not fit")?;
        Ok(view.of(tensor))
    };
    let condition = wide(condition)?;
    let holds = condition.as_ints().ok_or_else(refused)?;
    let chosen = wide(a)?;
    let other = wide(b)?;
    let floats = chosen.as_floats().zip(other.as_floats());
    let data = match (floats, chosen.as_ints().zip(other.as_ints())) {
        (Some((a, b)), _) => Data::Floats(pick(holds, a, b)),
        (_, Some((a, b))) => Data::Ints(pick(holds, a, b)),
        _ => return Err(refused()),
    };
    Ok(Tensor { shape, element: a.element, stored: a.element, data })
}

fn pick<T: Copy>(holds: &[i64], a: &[T], b: &[T]) -> Vec<T> {
    let pairs = a.iter().zip(b);
    holds.iter().zip(pairs).map(|(&holds, (&a, &b))| if holds != 0 { a } else { b }).collect()
}

/// `Neg`.
pub(super) fn negate(tensor: &Tensor) -> Tensor {
    let data = match &tensor.data {
        Data::Floats(values) => Data::Floats(values.iter().map(|value| -value).collect()),
        Data::Dequantised(dequantised) => Data::Dequantised(Dequantised {
            values: dequantised.values.iter().map(|value| -value).collect(),
            ..dequantised.clone()
        }),
        Data::Ints(values) => Data::Ints(values.iter().map(|value| value.wrapping_neg()).collect()),
        Data::Unread => Data::Unread,
    };
    Tensor { shape: tensor.shape.clone(), data, ..*tensor }
}

/// `Sqrt` and `Reciprocal`, of floats.
pub(super) fn root_or_reciprocal(from: &Constants<'_>) -> Result<Tensor, Why> {
    let tensor = from.tensor(0)?;
    let refused = || format!("its input is {}, expected floats", tensor.element);
    let values = tensor.as_floats().ok_or_else(refused)?.iter();
    let is_root = from.node.op == "Sqrt";
    let values = values.map(|&value| if is_root { value.sqrt() } else { value.recip() }).collect();
    let data = Data::Floats(rounded(values, tensor.element));
    Ok(Tensor { shape: tensor.shape.clone(), data, ..*tensor })
}

/// How many integers a `Range` has.
pub(super) fn range_len(from: &Constants<'_>) -> Result<usize, Why> {
    let [start, limit, delta] = bounds(from)?;
    let distance = limit.checked_sub(start).filter(|_| delta != 0).ok_or("its bounds overflow")?;
    if (distance > 0) != (delta > 0) {
        return Ok(0);
    }
    let len = distance.unsigned_abs().div_ceil(delta.unsigned_abs());
    usize::try_from(len).map_err(|_| format!("it makes {len} numbers"))
}

/// `Range` of integers.
pub(super) fn range(from: &Constants<'_>) -> Result<Tensor, Why> {
    let [start, _, delta] = bounds(from)?;
    let values = (0..range_len(from)? as i64).map(|index| start + index * delta).collect();
    let element = from.tensor(0)?.element;
    Ok(Tensor { element, stored: element, ..Tensor::vector(values) })
}

fn bounds(from: &Constants<'_>) -> Result<[i64; 3], Why> {
    let one = |index: usize| {
        let tensor = from.tensor(index)?;
        match tensor.as_ints() {
            Some(&[value]) => Ok(value),
            _ => Err(format!("its bounds are {} {:?}, expected integers", tensor.element, tensor.shape)),
        }
    };
    Ok([one(0)?, one(1)?, one(2)?])
}
