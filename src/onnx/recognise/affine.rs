//! Products with constants, biases and constant factors: what becomes a table of embeddings, or the output layer.

use std::sync::Arc;

use super::axes::{Along, Axis, Part, Size};
use super::block::sizes_of;
use super::norm::Normed;
use super::tokens::along_features;
use super::value::{Content, Flow, Head, Value};
use super::{Known, dense, norm};
use crate::onnx::fold::Why;
use crate::onnx::graph::Attribute;
use crate::onnx::scores::Scores;
use crate::onnx::tensor::Tensor;
use crate::rnn::{Norm, NormForm};

/// A constant matrix.
pub(super) enum Matrix {
    /// `[in, out]`, as ONNX multiplies.
    InOut(Arc<Tensor>),
    /// `[out, in]`, as PyTorch stores.
    OutIn(Arc<Tensor>),
}

impl Matrix {
    /// `[in, out]`.
    pub(super) fn sizes(&self) -> Result<[usize; 2], Why> {
        match self {
            Matrix::InOut(tensor) => sizes_of(tensor),
            Matrix::OutIn(tensor) => sizes_of(tensor).map(|[columns, depth]| [depth, columns]),
        }
    }

    fn in_out(self, columns: usize) -> Result<Arc<Tensor>, Why> {
        match self {
            Matrix::InOut(tensor) => Ok(tensor),
            Matrix::OutIn(tensor) => transposed(&tensor, tensor.len() / columns.max(1)).map(Arc::new),
        }
    }

    pub(super) fn out_in(self, columns: usize) -> Result<Arc<Tensor>, Why> {
        match self {
            Matrix::InOut(tensor) => transposed(&tensor, columns).map(Arc::new),
            Matrix::OutIn(tensor) => Ok(tensor),
        }
    }
}

/// The transpose of a matrix with this number of `columns`.
pub(super) fn transposed(matrix: &Tensor, columns: usize) -> Result<Tensor, Why> {
    let len = matrix.as_floats().ok_or("its matrix is no matrix of floats")?.len();
    let rows = len / columns.max(1);
    // A matrix without elements may have any number of columns, and none is looked at.
    let at = (0..columns.min(len)).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    Ok(Tensor { shape: vec![columns, rows], data: matrix.data.at(at), ..*matrix })
}

/// `flow` times `matrix`, along the last axis.
pub(super) fn product(flow: &Flow, matrix: Matrix) -> Result<Flow, Why> {
    let [depth, columns] = matrix.sizes()?;
    let Some((last, positions)) = flow.axes.split_last() else { return Err("its input has no axis".into()) };
    // Also the features of all embeddings in a window, side by side.
    let features =
        Size::of(last).number().filter(|_| last.last().is_some_and(|part| part.along == Along::Features));
    if features != Some(depth as i64) {
        return Err(format!("it does not multiply the {depth} features of one position"));
    }
    let content = match &flow.content {
        Content::OneHot if last.len() == 1 => Content::Row(matrix.in_out(columns)?),
        Content::Row(table) => dense::product(table, last, matrix)?,
        Content::Dense(dense) if last.len() == 1 => dense.times(matrix.out_in(columns)?)?,
        Content::Output(head, Scores::Logits) if last.len() == 1 => {
            let weights = matrix.out_in(columns)?;
            Content::Output(Arc::new(composed(head, &weights)?), Scores::Logits)
        }
        Content::Hidden(layer) if last.len() == 1 => {
            let weights = matrix.out_in(columns)?;
            let head = Head { layer: *layer, norms: Vec::new(), weights, bias: None };
            Content::Output(Arc::new(head), Scores::Logits)
        }
        Content::Normed(normed) if last.len() == 1 => {
            let Normed { layer, norms } = Normed::clone(normed);
            let head = Head { layer, norms, weights: matrix.out_in(columns)?, bias: None };
            Content::Output(Arc::new(head), Scores::Logits)
        }
        other => return Err(format!("it multiplies {}, which a known network does not", other.describe())),
    };
    let axes: Vec<Axis> = positions.iter().cloned().chain([vec![along_features(columns)]]).collect();
    Ok(Flow { axes, content, position: flow.position })
}

/// Two affine layers as one: `weights` `[out, in]` after `head`.
pub(super) fn composed(head: &Head, weights: &Tensor) -> Result<Head, Why> {
    let refused = || format!("its matrix is {:?} after one of {:?}", weights.shape, head.weights.shape);
    let (&[rows, depth], &[inner, columns]) = (weights.shape.as_slice(), head.weights.shape.as_slice())
    else {
        return Err(refused());
    };
    let (Some(outer), Some(inner_values)) = (weights.as_floats(), head.weights.as_floats()) else {
        return Err(refused());
    };
    if depth != inner {
        return Err(refused());
    }
    let mut product = vec![0.0f32; rows * columns];
    for (row, sums) in outer.chunks_exact(depth).zip(product.chunks_exact_mut(columns)) {
        for (weight, values) in row.iter().zip(inner_values.chunks_exact(columns)) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    let dot = |row: &[f32], bias: &[f32]| {
        row.iter().zip(bias).fold(0.0, |sum, (weight, value)| sum + weight * value)
    };
    let bias = head.bias.as_ref().map(|bias| outer.chunks_exact(depth).map(|row| dot(row, bias)).collect());
    let weights = Arc::new(Tensor::floats(vec![rows, columns], product));
    Ok(Head { weights, bias, ..head.clone() })
}

/// Room for a product of matrices that is taken once, when a file is read: its elements, and a share for its multiply-adds, so that
/// time is bounded like memory.
pub(super) fn product_room([rows, depth, columns]: [usize; 3]) -> usize {
    const STEPS_PER_ELEMENT: usize = 256;

    let elements = rows.saturating_mul(columns);
    elements.saturating_add(elements.saturating_mul(depth) / STEPS_PER_ELEMENT)
}

/// Room for composing the output layer among `inputs`, if there is one, with the largest constant beside it.
pub(super) fn composed_room(inputs: &[Option<Value>]) -> usize {
    let inputs = || inputs.iter().flatten();
    let Some(flow) = inputs().find_map(Value::flow) else { return 0 };
    let matrix = inputs().map(Value::matrix_len).max();
    composition_room(flow, matrix.unwrap_or_default())
}

/// Room for composing what makes `flow`, if that is an output layer, with a matrix of `len` elements.
pub(super) fn composition_room(flow: &Flow, len: usize) -> usize {
    let Content::Output(head, _) = &flow.content else { return 0 };
    let &[depth, columns] = head.weights.shape.as_slice() else { return 0 };
    product_room([len / depth.max(1), depth, columns])
}

/// `MatMul` by a constant.
pub(super) fn matmul(known: &Known<'_>) -> Result<Value, Why> {
    let (Value::Flow(flow), Value::Constant(matrix)) = (known.value(0)?, known.value(1)?) else {
        let a = known.value(0)?.describe();
        let b = known.value(1)?.describe();
        return Err(format!("it multiplies {a} by {b}, expected a constant on the right"));
    };
    product(flow, Matrix::InOut(matrix.clone())).map(Value::Flow)
}

/// `Einsum` of features and a constant matrix, either way round, that a `MatMul` could have been.
pub(super) fn einsum(known: &Known<'_>) -> Result<Value, Why> {
    let (Value::Flow(flow), Value::Constant(matrix)) = (known.value(0)?, known.value(1)?) else {
        let a = known.value(0)?.describe();
        let b = known.value(1)?.describe();
        return Err(format!("it multiplies {a} by {b}, expected a constant on the right"));
    };
    let Some(Attribute::Text(equation)) = known.node.attribute("equation") else {
        return Err("attribute `equation` is missing".into());
    };
    let refused = || format!("its equation is `{equation}`, expected a product over the features");
    let letters: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (inputs, output) = letters.split_once("->").ok_or_else(refused)?;
    let (left, right) = inputs.split_once(',').ok_or_else(refused)?;
    let (positions, features) =
        left.char_indices().next_back().map(|(at, k)| (&left[..at], k)).ok_or_else(refused)?;
    let (at, columns) = output.char_indices().next_back().ok_or_else(refused)?;
    let is_letter = |letter: char| letter.is_ascii_alphabetic() && !positions.contains(letter);
    let named = positions.replacen("...", "", 1);
    let is_once = |letter: char| named.matches(letter).count() == 1;
    let is_product =
        is_letter(features) && is_letter(columns) && features != columns && &output[..at] == positions;
    if !is_product || !named.chars().all(|letter| letter.is_ascii_alphabetic() && is_once(letter)) {
        return Err(refused());
    }
    let matrix = matrix.clone();
    let matrix = match right {
        right if right.chars().eq([features, columns]) => Matrix::InOut(matrix),
        right if right.chars().eq([columns, features]) => Matrix::OutIn(matrix),
        _ => return Err(refused()),
    };
    product(flow, matrix).map(Value::Flow)
}

/// `Gemm`: `alpha A B + beta C`, either matrix transposed or not.
pub(super) fn gemm(known: &Known<'_>) -> Result<Value, Why> {
    let node = known.node;
    let (Value::Flow(flow), Value::Constant(matrix)) = (known.value(0)?, known.value(1)?) else {
        let a = known.value(0)?.describe();
        let b = known.value(1)?.describe();
        return Err(format!("it multiplies {a} by {b}, expected a constant on the right"));
    };
    let mut flow = flow.clone();
    if flow.axes.len() != 2 {
        return Err(format!("its input has {} dimensions, expected 2", flow.axes.len()));
    }
    if node.int("transA")?.unwrap_or(0) != 0 {
        flow.axes.reverse();
    }
    let matrix = matrix.clone();
    let matrix = match node.int("transB")?.unwrap_or(0) {
        0 => Matrix::InOut(matrix),
        _ => Matrix::OutIn(matrix),
    };
    let product = times(&product(&flow, matrix)?, node.float("alpha")?.unwrap_or(1.0))?;
    let Some(bias) = known.optional(2) else { return Ok(Value::Flow(product)) };
    let Value::Constant(bias) = bias else {
        return Err(format!("it adds {}, expected a constant", bias.describe()));
    };
    let beta = node.float("beta")?.unwrap_or(1.0);
    shifted(&product, bias, |bias| bias * beta).map(Value::Flow)
}

/// `Add`, `Sub`, `Mul` and `Div` with a constant.
pub(super) fn elementwise(known: &Known<'_>) -> Result<Value, Why> {
    let op = known.node.op.as_str();
    let (flow, constant, is_right) = match (known.value(0)?, known.value(1)?) {
        (Value::Flow(flow), Value::Constant(constant)) => (flow, constant, true),
        (Value::Constant(constant), Value::Flow(flow)) => (flow, constant, false),
        (a, b) => return Err(format!("it is of {} and {}, expected a constant", a.describe(), b.describe())),
    };
    let flow = match (op, is_right) {
        ("Add", _) => shifted(flow, constant, |bias| bias)?,
        ("Sub", true) => shifted(flow, constant, |bias| -bias)?,
        ("Mul", _) => scaled(flow, constant, |value, factor| value * factor)?,
        ("Div", true) => scaled(flow, constant, |value, divisor| value / divisor)?,
        _ => return Err(format!("it is a constant and then {}", flow.content.describe())),
    };
    Ok(Value::Flow(flow))
}

/// `flow` times a constant.
pub(super) fn times(flow: &Flow, factor: f32) -> Result<Flow, Why> {
    scaled(flow, &Tensor::floats(Vec::new(), vec![factor]), |value, factor| value * factor)
}

/// `flow` with every element multiplied or divided by a constant, one number for all features or one for each, by doing it to the
/// constants that it is made of.
fn scaled(flow: &Flow, constant: &Tensor, apply: impl Fn(f32, f32) -> f32) -> Result<Flow, Why> {
    let numbers = features_of(flow, constant)
        .ok_or_else(|| format!("it is by {} {:?}, expected a scale", constant.element, constant.shape))?;
    if numbers.iter().all(|&number| number == 1.0) {
        return Ok(flow.clone());
    }
    if let Some(number) = numbers.iter().find(|number| !number.is_normal()) {
        return Err(format!("its factor is {number}"));
    }
    let content = match &flow.content {
        Content::Row(table) => {
            let values = table.as_floats().ok_or("it multiplies integers")?;
            let scaled = values.iter().zip(numbers.iter().cycle());
            let scaled = scaled.map(|(&value, &number)| apply(value, number)).collect();
            Content::Row(Arc::new(Tensor::floats(table.shape.clone(), scaled)))
        }
        Content::Output(head, Scores::Logits) => {
            Content::Output(Arc::new(scaled_head(head, &numbers, apply)?), Scores::Logits)
        }
        Content::Dense(dense) => dense.scaled(&numbers, apply)?,
        content => {
            let scale: Vec<f32> = numbers.iter().map(|&number| apply(1.0, number)).collect();
            let shift = vec![0.0; scale.len()];
            norm::after_layer(content, Norm { form: NormForm::Constants, scale, shift })?
        }
    };
    Ok(Flow { content, ..flow.clone() })
}

/// An output layer whose logits are multiplied or divided, each by its number.
pub(super) fn scaled_head(
    head: &Head,
    numbers: &[f32],
    apply: impl Fn(f32, f32) -> f32,
) -> Result<Head, Why> {
    let weights = Arc::new(scaled_rows(&head.weights, numbers, &apply)?);
    let scaled =
        |bias: &Vec<f32>| bias.iter().zip(numbers).map(|(&bias, &number)| apply(bias, number)).collect();
    Ok(Head { weights, bias: head.bias.as_ref().map(scaled), ..head.clone() })
}

/// Each row of a matrix multiplied or divided by its number.
pub(super) fn scaled_rows(
    matrix: &Tensor,
    numbers: &[f32],
    apply: impl Fn(f32, f32) -> f32,
) -> Result<Tensor, Why> {
    let values = matrix.as_floats().ok_or("it multiplies integers")?;
    let columns = values.len() / numbers.len().max(1);
    let rows = values.chunks_exact(columns.max(1)).zip(numbers);
    let scaled = rows.flat_map(|(row, &number)| row.iter().map(move |&value| (value, number)));
    let scaled = scaled.map(|(value, number)| apply(value, number)).collect();
    Ok(Tensor::floats(matrix.shape.clone(), scaled))
}

/// A number of `constant` for each feature of `flow`; `None` where it is neither one for all nor a vector along the features.
pub(super) fn features_of(flow: &Flow, constant: &Tensor) -> Option<Vec<f32>> {
    let &[Part { along: Along::Features, size: Some(size) }] = flow.axes.last()?.as_slice() else {
        return None;
    };
    // Other vectors than those that weights make are as long as a file claims, and no number is repeated for each of their features.
    let is_made_by_weights = matches!(
        flow.content,
        Content::Row(_) | Content::Dense(_) | Content::Hidden(_) | Content::Normed(_) | Content::Output(..)
    );
    let len = constant.len();
    let is_vector = constant.shape.len() <= flow.axes.len()
        && ((len == 1 && is_made_by_weights) || (len == size && constant.shape.last() == Some(&size)));
    let values = constant.as_floats().filter(|_| is_vector)?;
    Some((0..size).map(|at| values[at % len]).collect())
}

/// `flow` with a constant added to every position, one number for all features or one for each.
pub(super) fn shifted(flow: &Flow, constant: &Tensor, sign: impl Fn(f32) -> f32) -> Result<Flow, Why> {
    let refused = || format!("it adds {} {:?}, expected a bias", constant.element, constant.shape);
    let numbers = features_of(flow, constant).ok_or_else(refused)?;
    let shift: Vec<f32> = numbers.into_iter().map(sign).collect();
    let content = match &flow.content {
        Content::Row(table) => {
            let rows = table.as_floats().ok_or_else(refused)?.chunks_exact(shift.len());
            let sums = rows.flat_map(|row| row.iter().zip(&shift).map(|(value, shift)| value + shift));
            Content::Row(Arc::new(Tensor::floats(table.shape.clone(), sums.collect())))
        }
        Content::Output(head, Scores::Logits) => {
            Content::Output(Arc::new(head.shifted(&shift)), Scores::Logits)
        }
        Content::Dense(dense) => dense.plus(&shift)?,
        content => {
            let scale = vec![1.0; shift.len()];
            norm::after_layer(content, Norm { form: NormForm::Constants, scale, shift })?
        }
    };
    Ok(Flow { content, ..flow.clone() })
}

impl Head {
    /// With a number added to each logit.
    pub(super) fn shifted(&self, shift: &[f32]) -> Self {
        let bias = match &self.bias {
            Some(bias) => bias.iter().zip(shift).map(|(bias, shift)| bias + shift).collect(),
            None => shift.to_vec(),
        };
        Self { bias: Some(bias), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_matrix_without_elements_are_not_counted_through() {
        let turned = transposed(&Tensor::floats(vec![0, 1 << 40], Vec::new()), 1 << 40).unwrap();
        assert_eq!(turned.shape, [1 << 40, 0]);
    }
}
