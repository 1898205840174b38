//! Static quantisation, undone: tensors that are rounded to integers by scales of the file and back, products between such tensors, and
//! weights of a few bits.
//!
//! Here a product is with the numbers themselves; whether the engine quantises them follows from the type that it holds the weights in
//! (`onnx::stored`). The file's scales of activations are not used: one for all rows would make a row's numbers depend on the others.

use std::sync::Arc;

use super::affine::{Matrix, composition_room, product, shifted, times};
use super::quantised::{biased, rows};
use super::value::{Flow, Quantised, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, dequantise};
use crate::onnx::graph::Node;
use crate::onnx::tensor::{Dequantised, Tensor};

/// The scale and zero point of a tensor in integers.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    scale: Arc<Tensor>,
    zero: Option<Arc<Tensor>>,
}

impl Scaling {
    fn is(&self, other: &Self) -> bool {
        let zero = |scaling: &Self| {
            let zero = scaling.zero.as_ref().and_then(|zero| zero.as_ints().map(<[i64]>::to_vec));
            zero.filter(|zero| zero.iter().any(|&value| value != 0))
        };
        self.scale.data == other.scale.data && zero(self) == zero(other)
    }
}

impl Found<'_> {
    /// What a node makes that works with scales of the file; `None` for any other node.
    pub(super) fn static_quantised(&mut self, known: &Known<'_>) -> Result<Option<Value>, Why> {
        let value = match (known.node.domain.as_str(), known.node.op.as_str()) {
            ("" | "ai.onnx" | "com.microsoft", "QuantizeLinear") => quantised(known)?,
            ("" | "ai.onnx" | "com.microsoft", "DequantizeLinear") => floats(known)?,
            ("" | "ai.onnx" | "com.microsoft", "QLinearMatMul") => linear_product(known)?,
            ("com.microsoft", "QLinearAdd") => linear_sum(known)?,
            ("com.microsoft", "QGemm") => linear_gemm(known)?,
            ("com.microsoft", "MatMulNBits") => self.few_bits(known)?,
            _ => return Ok(None),
        };
        self.has_activation_scales |= matches!(value, Value::Quantised(Quantised::Fixed { .. }));
        Ok(Some(value))
    }

    /// Whether a tensor on the way to the logits is rounded by a scale of the file.
    pub(in crate::onnx) fn has_activation_scales(&self) -> bool {
        self.has_activation_scales
    }

    /// `MatMulNBits`: `A`, `B` `[columns, blocks, bytes]`, scales, zero points, an order of the features, bias.
    fn few_bits(&mut self, known: &Known<'_>) -> Result<Value, Why> {
        let Value::Flow(flow) = known.value(0)? else {
            return Err(format!("it multiplies {}", known.value(0)?.describe()));
        };
        if known.optional(4).is_some() {
            return Err("its features are in an order of their own".into());
        }
        let blocks = Blocks::of(known.node)?;
        let zero = known.optional(3).map(|_| constant(known, 3)).transpose()?;
        let len = blocks.depth.saturating_mul(blocks.columns);
        self.folder.room(len)?;
        self.folder.room(composition_room(flow, len))?;
        let packed = constant(known, 1)?;
        let scales = constant(known, 2)?;
        let weights = blocks.floats(&packed, &scales, zero.as_deref())?;
        biased(product(flow, Matrix::OutIn(Arc::new(weights)))?, known.optional(5))
    }
}

/// The form of weights of a few bits.
pub(in crate::onnx) struct Blocks {
    depth: usize,
    columns: usize,
    /// Features that share a scale.
    block: usize,
    bits: usize,
}

impl Blocks {
    /// That of the weights of a `MatMulNBits`.
    pub(in crate::onnx) fn of(node: &Node) -> Result<Self, Why> {
        let size = |name: &str| -> Result<usize, Why> {
            let found = node.int(name)?.and_then(|size| usize::try_from(size).ok());
            found.filter(|&size| size > 0).ok_or_else(|| format!("attribute `{name}` is missing"))
        };
        Ok(Self { depth: size("K")?, columns: size("N")?, block: size("block_size")?, bits: size("bits")? })
    }

    /// The weights `[columns, depth]` from the inputs of the node: bytes `[columns, blocks, bytes]`, scales, zero points.
    pub(in crate::onnx) fn floats(
        &self,
        packed: &Tensor,
        scales: &Tensor,
        zeros: Option<&Tensor>,
    ) -> Result<Tensor, Why> {
        let &Self { depth, columns, block, bits } = self;
        if !matches!(bits, 4 | 8) || !block.is_power_of_two() || block < 16 {
            return Err(format!(
                "its weights have {bits} bits in blocks of {block}, expected 4 or 8 bits in blocks of 16 or more"
            ));
        }
        let refused = || format!("its weights are {:?}, and its scales {:?}", packed.shape, scales.shape);
        let blocks = depth.div_ceil(block);
        let is_of =
            |len: usize, row: Option<usize>| row.and_then(|row| columns.checked_mul(row)) == Some(len);
        let row_bytes = blocks.checked_mul(block).and_then(|features| features.checked_mul(bits));
        let row_bytes = row_bytes.map(|bits| bits / 8);
        let zero_bytes = blocks.checked_mul(bits).map(|bits| bits.div_ceil(8));
        let bytes = packed.as_ints().filter(|bytes| is_of(bytes.len(), row_bytes)).ok_or_else(refused)?;
        let scales =
            scales.as_floats().filter(|scales| is_of(scales.len(), Some(blocks))).ok_or_else(refused)?;
        let zeros = match zeros {
            Some(zeros) => {
                Some(zeros.as_ints().filter(|zeros| is_of(zeros.len(), zero_bytes)).ok_or_else(refused)?)
            }
            None => None,
        };
        let [row_bytes, zero_bytes] = [row_bytes, zero_bytes].map(Option::unwrap_or_default);
        // The first of two numbers in a byte is the lower half.
        let number = |bytes: &[i64], at: usize| match bits {
            4 => (bytes[at / 2] >> (4 * (at % 2))) & 0xf,
            _ => bytes[at],
        };
        let middle = 1i64 << (bits - 1);
        let mut values = Vec::with_capacity(columns * depth);
        let mut each_scale = Vec::with_capacity(columns * depth);
        for column in 0..columns {
            let bytes = &bytes[column * row_bytes..][..row_bytes];
            for at in 0..depth {
                let zero = zeros
                    .map_or(middle, |zeros| number(&zeros[column * zero_bytes..][..zero_bytes], at / block));
                let scale = scales[column * blocks + at / block];
                values.push((number(bytes, at) - zero) as f32 * scale);
                each_scale.push(scale);
            }
        }
        Ok(Tensor::dequantised(vec![columns, depth], Dequantised { values, scales: each_scale, bits }))
    }
}

/// `QuantizeLinear` of what is on the way to the logits.
fn quantised(known: &Known<'_>) -> Result<Value, Why> {
    match known.value(0)? {
        Value::Flow(flow) => Ok(fixed(flow.clone(), scaling(known, 1)?)),
        other => Err(format!("it quantises {}", other.describe())),
    }
}

/// `DequantizeLinear` by the scale that the integers were made with, or of rows of a table of integers.
fn floats(known: &Known<'_>) -> Result<Value, Why> {
    match known.value(0)? {
        Value::Quantised(Quantised::Fixed { flow, scaling: by }) if by.is(&scaling(known, 1)?) => {
            Ok(Value::Flow(flow.clone()))
        }
        Value::Quantised(_) => Err("its scale is not that of its input".into()),
        _ => rows(known),
    }
}

/// `QLinearMatMul`: `A`, its scale and zero point, `B`, its own, and those of the result.
fn linear_product(known: &Known<'_>) -> Result<Value, Why> {
    let flow = input(known)?;
    let weights = dequantised(known, 3, -1)?;
    Ok(fixed(product(flow, Matrix::InOut(weights))?, scaling(known, 6)?))
}

/// `QLinearAdd` with a constant, in the order of `QLinearMatMul`'s inputs.
fn linear_sum(known: &Known<'_>) -> Result<Value, Why> {
    let flow = input(known)?;
    let bias = dequantised(known, 3, -1)?;
    Ok(fixed(shifted(flow, &bias, |bias| bias)?, scaling(known, 6)?))
}

/// `QGemm`: `A`, its scale and zero point, `B`, its own, a bias in the integers of the sum, and the result's, if it is in integers.
fn linear_gemm(known: &Known<'_>) -> Result<Value, Why> {
    let node = known.node;
    let flow = input(known)?;
    if node.int("transA")?.unwrap_or(0) != 0 {
        return Err("attribute `transA` is set".into());
    }
    let is_transposed = node.int("transB")?.unwrap_or(0) != 0;
    let weights = dequantised(known, 3, if is_transposed { 0 } else { 1 })?;
    let matrix = if is_transposed { Matrix::OutIn(weights) } else { Matrix::InOut(weights) };
    let alpha = node.float("alpha")?.unwrap_or(1.0);
    let mut sum = times(&product(flow, matrix)?, alpha)?;
    if known.optional(6).is_some() {
        let [a, b] = [constant(known, 1)?, constant(known, 4)?];
        let (Some(&[a]), Some(scales)) = (a.as_floats(), b.as_floats()) else {
            return Err("its scales are no floats".into());
        };
        let scales = Tensor::floats(vec![scales.len()], scales.iter().map(|b| alpha * a * b).collect());
        let integers = constant(known, 6)?;
        let bias = dequantise(&integers, &scales, None, -1)?;
        sum = shifted(&sum, &bias, |bias| bias)?;
    }
    match known.optional(7) {
        None => Ok(Value::Flow(sum)),
        Some(_) => Ok(fixed(sum, scaling(known, 7)?)),
    }
}

fn fixed(flow: Flow, scaling: Scaling) -> Value {
    Value::Quantised(Quantised::Fixed { flow, scaling })
}

/// The first input, quantised by the scale that the node says.
fn input<'k>(known: &'k Known<'_>) -> Result<&'k Flow, Why> {
    match known.value(0)? {
        Value::Quantised(Quantised::Fixed { flow, scaling: by }) if by.is(&scaling(known, 1)?) => Ok(flow),
        other => Err(format!("it computes with {}, expected integers by its own scale", other.describe())),
    }
}

/// The constants of a scale and of the zero point behind it.
fn scaling(known: &Known<'_>, at: usize) -> Result<Scaling, Why> {
    let zero = known.optional(at + 1).map(|_| constant(known, at + 1)).transpose()?;
    Ok(Scaling { scale: constant(known, at)?, zero })
}

/// The floats that a constant stands for whose scale and zero point are behind it.
fn dequantised(known: &Known<'_>, at: usize, axis: i64) -> Result<Arc<Tensor>, Why> {
    let Scaling { scale, zero } = scaling(known, at + 1)?;
    let integers = constant(known, at)?;
    dequantise(&integers, &scale, zero.as_deref(), axis).map(Arc::new)
}

fn constant(known: &Known<'_>, index: usize) -> Result<Arc<Tensor>, Why> {
    match known.value(index)? {
        Value::Constant(tensor) => Ok(tensor.clone()),
        other => Err(format!("its input {index} is {}, expected a constant", other.describe())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_larger_than_any_memory_are_refused() {
        let packed = Tensor::ints(vec![3, 1, 8], vec![0; 24]);
        let scales = Tensor::floats(vec![3], vec![1.0; 3]);
        for (depth, columns, block) in [(5, 3, 1 << 62), (usize::MAX, 3, 16), (5, usize::MAX, 16)] {
            let refused = Blocks { depth, columns, block, bits: 4 }.floats(&packed, &scales, None);
            assert!(refused.unwrap_err().contains("its weights are [3, 1, 8]"), "{depth} {columns} {block}");
        }
        assert!(Blocks { depth: 5, columns: 3, block: 16, bits: 4 }.floats(&packed, &scales, None).is_ok());
    }
}
