//! How many weights a graph has, and of which type.

use crate::lm::Dtype;
use crate::onnx::graph::{Attribute, Element, Graph};

/// The weights of a graph.
pub(super) struct WeightCount {
    pub(super) parameter_count: u64,
    /// The type that most of them are stored in.
    pub(super) dtype: Dtype,
}

impl WeightCount {
    /// Counts the weights of `graph`, wherever it keeps them.
    pub(super) fn of(graph: &Graph) -> Self {
        let inline = graph.nodes.iter().filter(|node| node.op == "Constant");
        let inline = inline.filter_map(|node| match node.attribute("value") {
            Some(Attribute::Tensor(tensor)) => Some(tensor),
            _ => None,
        });
        let mut f32s = 0u64;
        let mut f16s = 0u64;
        let mut bf16s = 0u64;
        for tensor in graph.constants.values().chain(inline).filter(|tensor| !tensor.shape.is_empty()) {
            let count = match tensor.stored {
                Element::F16 => &mut f16s,
                Element::Bf16 => &mut bf16s,
                Element::F32 | Element::F64 | Element::I8 | Element::U8 => &mut f32s,
                _ => continue,
            };
            *count += tensor.len() as u64;
        }
        let dtype = if f16s > f32s.max(bf16s) {
            Dtype::F16
        } else if bf16s > f32s {
            Dtype::Bf16
        } else {
            Dtype::F32
        };
        Self { parameter_count: f32s + f16s + bf16s, dtype }
    }
}
