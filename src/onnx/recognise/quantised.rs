//! ONNX Runtime's dynamic quantisation, undone: products of integers are products with the weights that the integers stand for.
//!
//! A run quantises each input anew before such a product. Here the product is with the input itself; whether the engine quantises
//! inputs follows from the type that it holds the weights in (`onnx::stored`).

use std::sync::Arc;

use super::affine::{Matrix, product};
use super::dense::with_activation;
use super::value::{Content, Flow, Quantised, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, dequantise, target_type};
use crate::onnx::graph::{Attribute, Element};
use crate::onnx::tensor::{Dequantised, Tensor};
use crate::rnn::Activation;

impl Found<'_> {
    /// What a node makes that quantises, or works on what is quantised; `None` for any other node.
    pub(super) fn quantised(&mut self, known: &Known<'_>) -> Result<Option<Vec<Value>>, Why> {
        let one = |value: Value| Some(vec![value]);
        let is_quantised = |value: &Value| matches!(value, Value::Quantised(_));
        Ok(match (known.node.domain.as_str(), known.node.op.as_str()) {
            ("" | "ai.onnx", "DynamicQuantizeLinear") => Some(self.quantise(known)?),
            ("" | "ai.onnx", "MatMulInteger") => one(integer_product(known)?),
            ("com.microsoft", "DynamicQuantizeMatMul") => one(float_product(known)?),
            ("com.microsoft", "MatMulIntegerToFloat") => one(integer_to_float(known)?),
            ("com.microsoft", "FusedMatMul") => one(fused_product(known)?),
            ("com.microsoft", "FusedGemm") => one(fused_gemm(known)?),
            ("" | "ai.onnx", op) if known.inputs.iter().flatten().any(is_quantised) => match op {
                "Mul" => one(rescaled(known)?),
                "Cast" if target_type(known.node)? == Element::F32 => one(known.value(0)?.clone()),
                _ => return Err("it is of a quantised tensor, expected a product".into()),
            },
            _ => None,
        })
    }

    fn quantise(&mut self, known: &Known<'_>) -> Result<Vec<Value>, Why> {
        let Value::Flow(flow) = known.value(0)? else {
            return Err(format!("it quantises {}", known.value(0)?.describe()));
        };
        let id = self.quantised_count;
        self.quantised_count += 1;
        let parts = [
            Quantised::Values { id, flow: flow.clone() },
            Quantised::ScaleOf { id, times: None },
            Quantised::ZeroOf { id },
        ];
        Ok(parts.map(Value::Quantised).into())
    }
}

/// `DynamicQuantizeMatMul`: `A`, `B`, its scale and zero point, bias.
fn float_product(known: &Known<'_>) -> Result<Value, Why> {
    let Value::Flow(flow) = known.value(0)? else {
        return Err(format!("it multiplies {}", known.value(0)?.describe()));
    };
    let weights = dequantised(known, [1, 2, 3])?;
    biased(product(flow, Matrix::InOut(weights))?, known.optional(4))
}

/// `MatMulIntegerToFloat`: `A`, `B`, their scales, their zero points, bias.
fn integer_to_float(known: &Known<'_>) -> Result<Value, Why> {
    let Value::Quantised(Quantised::Values { id, flow }) = known.value(0)? else {
        return Err(format!("it multiplies {}", known.value(0)?.describe()));
    };
    let is_own_scale =
        matches!(known.value(2)?, Value::Quantised(Quantised::ScaleOf { id: of, times: None }) if of == id);
    if !is_own_scale || !is_zero_of(known.optional(4), *id) {
        return Err("its scale and zero point are not those of its input".into());
    }
    let weights = dequantised(known, [1, 3, 5])?;
    biased(product(flow, Matrix::InOut(weights))?, known.optional(6))
}

/// A bias, where the operator has one as its last input.
pub(super) fn biased(flow: Flow, bias: Option<&Value>) -> Result<Value, Why> {
    match bias {
        None => Ok(Value::Flow(flow)),
        Some(Value::Constant(bias)) => super::affine::shifted(&flow, bias, |bias| bias).map(Value::Flow),
        Some(other) => Err(format!("it adds {}, expected a constant", other.describe())),
    }
}

/// The weights that inputs `[values, scale, zero point]` stand for.
fn dequantised(known: &Known<'_>, [values, scale, zero]: [usize; 3]) -> Result<Arc<Tensor>, Why> {
    let constant = |index: usize| match known.value(index)? {
        Value::Constant(tensor) => Ok(tensor),
        other => Err(format!("its input {index} is {}, expected a constant", other.describe())),
    };
    let zero = known.optional(zero).map(|_| constant(zero)).transpose()?;
    let zero = zero.map(|zero| &**zero);
    dequantise(constant(values)?, constant(scale)?, zero, -1).map(Arc::new)
}

/// `MatMulInteger`: `A`, `B` and their zero points.
fn integer_product(known: &Known<'_>) -> Result<Value, Why> {
    let Value::Quantised(Quantised::Values { id, flow }) = known.value(0)? else {
        return Err(format!("it multiplies {}", known.value(0)?.describe()));
    };
    if !is_zero_of(known.optional(2), *id) {
        return Err("its zero point is not that of its input".into());
    }
    let Value::Constant(values) = known.value(1)? else {
        return Err(format!("it multiplies by {}, expected a constant", known.value(1)?.describe()));
    };
    let zero = match known.optional(3) {
        None => None,
        Some(Value::Constant(zero)) => Some(&**zero),
        Some(other) => return Err(format!("its zero point is {}, expected a constant", other.describe())),
    };
    let unit = Tensor::floats(Vec::new(), vec![1.0]);
    let weights = Arc::new(dequantise(values, &unit, zero, -1)?);
    Ok(Value::Quantised(Quantised::Product { id: *id, flow: flow.clone(), weights }))
}

fn is_zero_of(value: Option<&Value>, id: usize) -> bool {
    matches!(value, Some(Value::Quantised(Quantised::ZeroOf { id: of })) if *of == id)
}

/// `Mul` by scales: of a scale and the weights' own, or of a product and the scale of its input.
fn rescaled(known: &Known<'_>) -> Result<Value, Why> {
    match (known.value(0)?, known.value(1)?) {
        (Value::Quantised(Quantised::ScaleOf { id, times: None }), Value::Constant(scale))
        | (Value::Constant(scale), Value::Quantised(Quantised::ScaleOf { id, times: None })) => {
            Ok(Value::Quantised(Quantised::ScaleOf { id: *id, times: Some(scale.clone()) }))
        }
        (
            Value::Quantised(Quantised::Product { id, flow, weights }),
            Value::Quantised(Quantised::ScaleOf { id: of, times }),
        )
        | (
            Value::Quantised(Quantised::ScaleOf { id: of, times }),
            Value::Quantised(Quantised::Product { id, flow, weights }),
        ) if id == of => {
            let weights = match times {
                None => weights.clone(),
                Some(scale) => Arc::new(with_scale(weights, scale)?),
            };
            product(flow, Matrix::InOut(weights)).map(Value::Flow)
        }
        _ => Err("it multiplies a quantised tensor, expected its own scale".into()),
    }
}

/// Integers times their scale: one for all, or one for each column.
fn with_scale(weights: &Tensor, scale: &Tensor) -> Result<Tensor, Why> {
    let refused = || format!("its scale is {} {:?}", scale.element, scale.shape);
    let columns = weights.shape.last().copied().unwrap_or(1);
    let len = scale.len();
    let is_row = len == 1 || (len == columns && scale.shape.last() == Some(&columns));
    let scales = scale.as_floats().filter(|_| is_row).ok_or_else(refused)?;
    let Dequantised { values, scales: units, bits } =
        weights.as_dequantised().ok_or("it multiplies by integers that have no 8 bits")?;
    let scaled = |values: &[f32]| -> Vec<f32> {
        values.iter().enumerate().map(|(at, value)| value * scales[at % columns % len]).collect()
    };
    let scaled = Dequantised { values: scaled(values), scales: scaled(units), bits: *bits };
    Ok(Tensor::dequantised(weights.shape.clone(), scaled))
}

/// `FusedMatMul`: a product with either side transposed, times a constant.
fn fused_product(known: &Known<'_>) -> Result<Value, Why> {
    let (Value::Flow(flow), Value::Constant(matrix)) = (known.value(0)?, known.value(1)?) else {
        return Err("it multiplies by no constant".into());
    };
    for name in ["transA", "transBatchA", "transBatchB"] {
        if known.node.int(name)?.unwrap_or(0) != 0 {
            return Err(format!("attribute `{name}` is set"));
        }
    }
    let matrix = matrix.clone();
    let matrix = match known.node.int("transB")?.unwrap_or(0) {
        0 => Matrix::InOut(matrix),
        _ => Matrix::OutIn(matrix),
    };
    let alpha = known.node.float("alpha")?.unwrap_or(1.0);
    super::affine::times(&product(flow, matrix)?, alpha).map(Value::Flow)
}

/// `FusedGemm`: a `Gemm` and the activation after it.
fn fused_gemm(known: &Known<'_>) -> Result<Value, Why> {
    let name = match known.node.attribute("activation") {
        Some(Attribute::Text(name)) => name.as_str(),
        _ => return Err("attribute `activation` is missing".into()),
    };
    let activation = match name {
        "Tanh" => Activation::Tanh,
        "Relu" => Activation::Relu,
        "Sigmoid" => Activation::Sigmoid,
        _ => return Err(format!("its activation is {name}, expected Tanh, Relu or Sigmoid")),
    };
    match super::affine::gemm(known)? {
        Value::Flow(flow) => with_activation(&flow, activation).map(Value::Flow),
        other => Err(format!("it is of {}, which is no part of a known network", other.describe())),
    }
}

/// `DequantizeLinear` of rows of a table of integers.
pub(super) fn rows(known: &Known<'_>) -> Result<Value, Why> {
    let Value::Flow(flow @ Flow { content: Content::Row(table), .. }) = known.value(0)? else {
        return Err(format!("it dequantises {}", known.value(0)?.describe()));
    };
    let constant = |value: &Value| match value {
        Value::Constant(tensor) => Ok(tensor.clone()),
        other => Err(format!("its scale or zero point is {}, expected a constant", other.describe())),
    };
    let scale = constant(known.value(1)?)?;
    let zero = known.optional(2).map(constant).transpose()?;
    if scale.len() != 1 || zero.as_ref().is_some_and(|zero| zero.len() != 1) {
        return Err(format!("its scale is {:?}, expected one for the table", scale.shape));
    }
    let table = dequantise(table, &scale, zero.as_deref(), 0)?;
    Ok(Value::Flow(Flow { content: Content::Row(Arc::new(table)), ..flow.clone() }))
}
