//! Inputs that an application always feeds with one value, such as `training` or `keep_prob`. The manifest has the value (key
//! `onnx.inputs`), and the graph is understood as if it had a constant in the input's place.

use std::sync::Arc;

use serde_json::Value as Json;

use super::fold::{cast, integer_range};
use super::graph::{Dim, Element, Graph, Port};
use super::tensor::{RANK_MAX, Tensor};
use super::{Hints, PortUse};
use crate::error::{Error, Result};

/// Puts constants in the place of the inputs that `hints` has values for. Returns these inputs with their values.
///
/// # Errors
/// `Load` when there is no such input, or its value does not fit its type and shape.
pub(super) fn take(graph: &mut Graph, hints: &Hints) -> Result<Vec<PortUse>> {
    let mut taken = Vec::new();
    for (name, value) in &hints.inputs {
        let Some(place) = graph.inputs.iter().position(|port| port.name == *name) else {
            let found: Vec<String> = graph.inputs.iter().map(|port| format!("`{}`", port.name)).collect();
            return Err(Error::load(format!(
                "`onnx.inputs` names `{name}`, which is no input; found {}",
                found.join(", ")
            )));
        };
        let is_state = hints.state.iter().any(|(input, _)| input == name);
        if is_state || hints.tokens.as_ref() == Some(name) {
            let key = if is_state { "state" } else { "tokens" };
            return Err(Error::load(format!(
                "`onnx.inputs` has a value for `{name}`, which `onnx.{key}` names too"
            )));
        }
        let tensor = tensor(&graph.inputs[place], value).map_err(|why| {
            Error::load(format!(
                "`onnx.inputs.{name}` is {value}, and the graph takes `{}`: {why}",
                graph.inputs[place]
            ))
        })?;
        let port = graph.inputs.remove(place);
        graph.constants.insert(port.name.clone(), Arc::new(tensor));
        taken.push(PortUse { port, role: format!("always {value}, as config.json says") });
    }
    Ok(taken)
}

/// The numbers of a value, row-major, and its shape.
#[derive(Default)]
struct Numbers {
    /// Sizes of the lists in each other, where all at one depth have the same.
    shape: Vec<usize>,
    values: Vec<Json>,
}

impl Numbers {
    /// Adds what `value` has, at `depth` lists deep.
    fn add(&mut self, value: &Json, depth: usize) -> std::result::Result<(), String> {
        match value {
            Json::Array(list) if depth < RANK_MAX => {
                match self.shape.get(depth) {
                    None if self.values.is_empty() => self.shape.push(list.len()),
                    Some(&size) if size == list.len() => {}
                    _ => return Err("its lists have several lengths".into()),
                }
                list.iter().try_for_each(|value| self.add(value, depth + 1))
            }
            Json::Number(_) | Json::Bool(_) if depth == self.shape.len() => {
                self.values.push(value.clone());
                Ok(())
            }
            _ => Err("expected a number, true or false, or lists of them".into()),
        }
    }
}

/// The constant that `value` is for an input like `port`. One number stands for all elements; a free size is then 1.
fn tensor(port: &Port, value: &Json) -> std::result::Result<Tensor, String> {
    const ELEMENTS_MAX: usize = 1 << 16;

    let mut numbers = Numbers::default();
    numbers.add(value, 0)?;
    let Numbers { mut shape, mut values } = numbers;
    let dims = port.shape.as_deref();
    match dims {
        Some(dims) if shape.is_empty() => {
            let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
            shape = dims.iter().map(size).collect();
            let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
            let len = len.filter(|&len| len <= ELEMENTS_MAX);
            let len = len.ok_or_else(|| format!("it has more than {ELEMENTS_MAX} elements"))?;
            values = values.iter().cycle().take(len).cloned().collect();
        }
        Some(dims) => {
            let fits = |(dim, size): (&Dim, &usize)| !matches!(dim, Dim::Fixed(fixed) if fixed != size);
            if dims.len() != shape.len() || !dims.iter().zip(&shape).all(fits) {
                return Err(format!("found the shape {shape:?}"));
            }
        }
        None => {}
    }
    let element = port.element;
    if element.is_float() {
        let number =
            |value: &Json| value.as_f64().map(|value| value as f32).filter(|value| value.is_finite());
        let floats = values.iter().map(number).collect::<Option<Vec<f32>>>().ok_or("expected numbers")?;
        return cast(&Tensor::floats(shape, floats), element);
    }
    let Some(range) = integer_range(element) else {
        return Err("no value can be given for this type".into());
    };
    let whole = |value: &Json| match value {
        Json::Bool(truth) if element == Element::Bool => Some(i64::from(*truth)),
        Json::Number(number) if element != Element::Bool => {
            let whole = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 1e15);
            number.as_i64().or(whole.map(|value| value as i64)).filter(|value| range.contains(value))
        }
        _ => None,
    };
    let expected = if element == Element::Bool { "true or false" } else { "whole numbers of this type" };
    let ints = values.iter().map(whole).collect::<Option<Vec<i64>>>();
    let ints = ints.ok_or_else(|| format!("expected {expected}"))?;
    Ok(Tensor { element, stored: element, ..Tensor::ints(shape, ints) })
}
