//! Products with constants, biases and constant factors: what becomes a table of embeddings, or the output layer.

use std::sync::Arc;

use super::axes::{Along, Axis, Part, Size};
use super::tokens::along_features;
use super::value::{Content, Flow, Head, Value};
use super::{Known, dense};
use crate::onnx::fold::Why;
use crate::onnx::graph::Attribute;
use crate::onnx::scores::Scores;
use crate::onnx::tensor::{Data, Tensor};

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
        let (tensor, is_transposed) = match self {
            Matrix::InOut(tensor) => (tensor, false),
            Matrix::OutIn(tensor) => (tensor, true),
        };
        match *tensor.shape.as_slice() {
            [depth, columns] if tensor.as_floats().is_some() => {
                Ok(if is_transposed { [columns, depth] } else { [depth, columns] })
            }
            _ => {
                Err(format!("its matrix is {} {:?}, expected floats [in, out]", tensor.element, tensor.shape))
            }
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
    let values = matrix.as_floats().ok_or("its matrix is no matrix of floats")?;
    let rows = values.len() / columns.max(1);
    let at = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    Ok(Tensor {
        shape: vec![columns, rows],
        data: Data::Floats(at.map(|at| values[at]).collect()),
        ..*matrix
    })
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
            let head = composed(head, &*matrix.out_in(columns)?)?;
            Content::Output(Arc::new(head), Scores::Logits)
        }
        Content::Hidden(layer) if last.len() == 1 => {
            let head = Head { layer: *layer, weights: matrix.out_in(columns)?, bias: None };
            Content::Output(Arc::new(head), Scores::Logits)
        }
        other => return Err(format!("it multiplies {}, which a known network does not", other.describe())),
    };
    let axes: Vec<Axis> = positions.iter().cloned().chain([vec![along_features(columns)]]).collect();
    Ok(Flow { axes, content, position: flow.position })
}

/// Two affine layers as one: `weights` `[out, in]` after `head`.
fn composed(head: &Head, weights: &Tensor) -> Result<Head, Why> {
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
    Ok(Head { layer: head.layer, weights: Arc::new(Tensor::floats(vec![rows, columns], product)), bias })
}

/// Room for a product of matrices that is taken once, when a file is read: its elements, and a share for its multiply-adds, so that
/// time is bounded like memory.
pub(super) fn product_room([rows, depth, columns]: [usize; 3]) -> usize {
    const STEPS_PER_ELEMENT: usize = 256;

    let elements = rows.saturating_mul(columns);
    elements.saturating_add(elements.saturating_mul(depth) / STEPS_PER_ELEMENT)
}

/// Room for composing what makes `value` with the constant `matrix`, if it is an output layer.
pub(super) fn composed_room(value: &Value, matrix: &Value) -> usize {
    match (value, matrix) {
        (Value::Flow(Flow { content: Content::Output(head, _), .. }), Value::Constant(matrix)) => {
            let &[depth, columns] = head.weights.shape.as_slice() else { return 0 };
            product_room([matrix.len() / depth.max(1), depth, columns])
        }
        _ => 0,
    }
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
    let number = || match constant.as_floats() {
        Some(&[number]) if constant.shape.len() <= flow.axes.len() => Ok(number),
        _ => Err(format!("it is by {} {:?}, expected one float", constant.element, constant.shape)),
    };
    let flow = match (op, is_right) {
        ("Add", _) => shifted(flow, constant, |bias| bias)?,
        ("Sub", true) => shifted(flow, constant, |bias| -bias)?,
        ("Mul", _) => scaled(flow, Factor::Times(number()?))?,
        ("Div", true) => scaled(flow, Factor::Over(number()?))?,
        _ => return Err(format!("it is a constant and then {}", flow.content.describe())),
    };
    Ok(Value::Flow(flow))
}

/// A constant that logits or embeddings are multiplied or divided by.
#[derive(Clone, Copy)]
enum Factor {
    Times(f32),
    Over(f32),
}

impl Factor {
    fn apply(self, value: f32) -> f32 {
        match self {
            Factor::Times(factor) => value * factor,
            Factor::Over(divisor) => value / divisor,
        }
    }
}

/// `flow` times a constant.
pub(super) fn times(flow: &Flow, factor: f32) -> Result<Flow, Why> {
    scaled(flow, Factor::Times(factor))
}

/// `flow` with every element multiplied or divided, by multiplying the constants that it is made of.
fn scaled(flow: &Flow, factor: Factor) -> Result<Flow, Why> {
    let number = match factor {
        Factor::Times(number) | Factor::Over(number) => number,
    };
    if number == 1.0 {
        return Ok(flow.clone());
    }
    if !number.is_normal() {
        return Err(format!("its factor is {number}"));
    }
    let each = |tensor: &Tensor| -> Result<Arc<Tensor>, Why> {
        let values = tensor.as_floats().ok_or("it multiplies integers")?;
        let values = values.iter().map(|&value| factor.apply(value)).collect();
        Ok(Arc::new(Tensor::floats(tensor.shape.clone(), values)))
    };
    let content = match &flow.content {
        Content::Row(table) => Content::Row(each(table)?),
        Content::Output(head, Scores::Logits) => {
            let bias = head.bias.as_ref();
            let bias = bias.map(|bias| bias.iter().map(|&value| factor.apply(value)).collect());
            let head = Head { layer: head.layer, weights: each(&head.weights)?, bias };
            Content::Output(Arc::new(head), Scores::Logits)
        }
        other => return Err(format!("it multiplies {}, which a known network does not", other.describe())),
    };
    Ok(Flow { content, ..flow.clone() })
}

/// `flow` with a constant added to every position, one number for all features or one for each.
pub(super) fn shifted(flow: &Flow, constant: &Tensor, sign: impl Fn(f32) -> f32) -> Result<Flow, Why> {
    let refused = || format!("it adds {} {:?}, expected a bias", constant.element, constant.shape);
    let Some(&[Part { along: Along::Features, size: Some(size) }]) = flow.axes.last().map(Vec::as_slice)
    else {
        return Err("the last axis is not that of the features".into());
    };
    let len = constant.len();
    let is_vector = constant.shape.len() <= flow.axes.len()
        && (len == 1 || (len == size && constant.shape.last() == Some(&size)));
    let values = constant.as_floats().filter(|_| is_vector).ok_or_else(refused)?;
    let shift: Vec<f32> = (0..size).map(|at| sign(values[at % len])).collect();
    let content = match &flow.content {
        Content::Row(table) => {
            let rows = table.as_floats().ok_or_else(refused)?.chunks_exact(size);
            let sums = rows.flat_map(|row| row.iter().zip(&shift).map(|(value, shift)| value + shift));
            Content::Row(Arc::new(Tensor::floats(table.shape.clone(), sums.collect())))
        }
        Content::Output(head, Scores::Logits) => {
            let bias = match &head.bias {
                Some(bias) => bias.iter().zip(&shift).map(|(bias, shift)| bias + shift).collect(),
                None => shift,
            };
            let head = Head { layer: head.layer, weights: head.weights.clone(), bias: Some(bias) };
            Content::Output(Arc::new(head), Scores::Logits)
        }
        Content::Dense(dense) => dense.plus(&shift)?,
        other => return Err(format!("it adds to {}, which a known network does not", other.describe())),
    };
    Ok(Flow { content, ..flow.clone() })
}
