//! Weights that are no numbers, by the names that the file has for them.

use super::graph::{Attribute, Graph};
use super::tensor::Tensor;
use crate::error::{Error, Result};

/// Operators that a mask of negative infinity may go into.
const MASKED: [&str; 7] = ["Where", "Add", "Max", "Min", "Clip", "Pad", "ConstantOfShape"];

/// Refuses a graph with a weight that is NaN or infinite; negative infinity is a mask where nothing is multiplied by it.
///
/// # Errors
/// `Load` naming the tensor and the value.
pub(super) fn check_finite(graph: &Graph) -> Result<()> {
    for (name, tensor) in &graph.constants {
        check(graph, name, tensor)?;
    }
    for node in &graph.nodes {
        for (key, attribute) in &node.attributes {
            if let Attribute::Tensor(tensor) = attribute {
                // A node that is only its tensor is known by what it writes.
                let name = node.outputs.first().filter(|_| node.op == "Constant");
                check(graph, name.unwrap_or(key), tensor)?;
            }
        }
    }
    Ok(())
}

fn check(graph: &Graph, name: &str, tensor: &Tensor) -> Result<()> {
    let Some(values) = tensor.as_floats() else { return Ok(()) };
    let stray = values.iter().find(|value| !value.is_finite());
    let is_mask = || {
        let mut readers = graph.nodes.iter().filter(|node| node.inputs.iter().any(|input| input == name));
        values.iter().all(|&value| value.is_finite() || value == f32::NEG_INFINITY)
            && readers.all(|node| MASKED.contains(&node.op.as_str()))
    };
    match stray {
        Some(stray) if !is_mask() => {
            Err(Error::load(format!("tensor `{name}` has the value {stray}, expected finite weights")))
        }
        _ => Ok(()),
    }
}
