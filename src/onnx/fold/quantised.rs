//! Integers with a scale and a zero point, back as floats (operator `DequantizeLinear`).

use super::view::View;
use super::{Why, axis_of};
use crate::onnx::graph::Element;
use crate::onnx::tensor::{Dequantised, Tensor};

/// `(values - zero_point) * scale`, with one scale for all or one for each index of `axis`.
pub(in crate::onnx) fn dequantise(
    values: &Tensor,
    scale: &Tensor,
    zero_point: Option<&Tensor>,
    axis: i64,
) -> Result<Tensor, Why> {
    let ints = values.as_ints().ok_or_else(|| format!("it dequantises {}", values.element))?;
    let scales = along(scale, &values.shape, axis)?.take(self::floats(scale)?);
    let zeros = match zero_point {
        Some(zero_point) => {
            let own =
                zero_point.as_ints().ok_or_else(|| format!("its zero point is {}", zero_point.element))?;
            along(zero_point, &values.shape, axis)?.take(own)
        }
        None => vec![0; ints.len()],
    };
    let pairs = ints.iter().zip(zeros).zip(&scales);
    let floats = pairs.map(|((&value, zero), scale)| (value.wrapping_sub(zero)) as f32 * scale).collect();
    Ok(match values.element {
        Element::I8 | Element::U8 => {
            Tensor::dequantised(values.shape.clone(), Dequantised { values: floats, scales, bits: 8 })
        }
        _ => Tensor::floats(values.shape.clone(), floats),
    })
}

fn floats(scale: &Tensor) -> Result<&[f32], Why> {
    scale.as_floats().ok_or_else(|| format!("its scale is {}", scale.element))
}

/// One number, or one for each index of `axis`, over all of `shape`.
fn along(numbers: &Tensor, shape: &[usize], axis: i64) -> Result<View, Why> {
    let refused = || format!("its scale or zero point is {:?} for {shape:?}", numbers.shape);
    let lined_up = match (numbers.len(), numbers.shape.len()) {
        (1, _) => vec![1; shape.len()],
        (len, 1) => {
            let axis = axis_of(axis, shape.len())?;
            (0..shape.len()).map(|at| if at == axis { len } else { 1 }).collect()
        }
        (_, rank) if rank == shape.len() => numbers.shape.clone(),
        _ => return Err(refused()),
    };
    View::broadcast(&lined_up, shape).ok_or_else(refused)
}
