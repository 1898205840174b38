//! A graph in the form that tract reads: the file's own message, changed where the graph is not the file's any more.
//!
//! Values that the manifest gives for inputs, operators that were put in the place of fused ones, and constants that were computed are
//! in the graph; everything else stays as the file has it, to the bit.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use half::f16;
use tract_onnx::pb;
use tract_onnx::prelude::{Framework, TractError, TractResult};

use crate::onnx::graph::{Attribute, Element, Graph, Node};
use crate::onnx::tensor::{Data, Dequantised, Tensor};

/// The message of the file `path`, made that of `graph`.
///
/// # Errors
/// When tract cannot read the file, or has no form for what was changed.
pub(super) fn proto(reader: &tract_onnx::Onnx, path: &Path, graph: &Graph) -> TractResult<pb::ModelProto> {
    let mut proto = reader.proto_model_for_path(path)?;
    let Some(to) = proto.graph.as_mut() else { return Err(TractError::msg("it has no graph")) };
    let inputs: HashSet<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
    to.input.retain(|input| inputs.contains(input.name.as_str()));
    to.initializer.retain(|tensor| graph.constants.contains_key(&tensor.name));
    let found: HashSet<String> = to.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    for (name, tensor) in graph.constants.iter().filter(|(name, _)| !found.contains(*name)) {
        to.initializer.push(initializer(name, tensor)?);
    }
    let written = std::mem::take(&mut to.node).into_iter();
    let mut written: HashMap<Vec<String>, pb::NodeProto> =
        written.map(|node| (node.output.clone(), node)).collect();
    let each = graph.nodes.iter().map(|node| match written.remove(&node.outputs) {
        Some(found) if is_same(&found, node) => Ok(found),
        _ => made(node),
    });
    to.node = each.collect::<TractResult<_>>()?;
    Ok(proto)
}

/// Whether a node of the file was left as it is.
fn is_same(found: &pb::NodeProto, node: &Node) -> bool {
    found.op_type == node.op && found.domain == node.domain && found.input == node.inputs
}

/// A node that the file does not have.
fn made(node: &Node) -> TractResult<pb::NodeProto> {
    let attributes = node.attributes.iter().map(|(name, value)| attribute(name, value));
    Ok(pb::NodeProto {
        name: node.name.clone(),
        op_type: node.op.clone(),
        domain: node.domain.clone(),
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        attribute: attributes.collect::<TractResult<_>>()?,
        ..Default::default()
    })
}

fn attribute(name: &str, value: &Attribute) -> TractResult<pb::AttributeProto> {
    use pb::attribute_proto::AttributeType;

    let empty = pb::AttributeProto { name: name.to_owned(), ..Default::default() };
    let (kind, filled) = match value {
        Attribute::Int(i) => (AttributeType::Int, pb::AttributeProto { i: *i, ..empty }),
        Attribute::Float(f) => (AttributeType::Float, pb::AttributeProto { f: *f, ..empty }),
        Attribute::Text(text) => {
            (AttributeType::String, pb::AttributeProto { s: text.clone().into_bytes(), ..empty })
        }
        Attribute::Ints(ints) => (AttributeType::Ints, pb::AttributeProto { ints: ints.clone(), ..empty }),
        Attribute::Floats(floats) => {
            (AttributeType::Floats, pb::AttributeProto { floats: floats.clone(), ..empty })
        }
        other => {
            return Err(TractError::msg(format!(
                "attribute `{name}` is {other}, expected numbers or a text"
            )));
        }
    };
    Ok(pb::AttributeProto { r#type: kind.into(), ..filled })
}

fn initializer(name: &str, tensor: &Tensor) -> TractResult<pb::TensorProto> {
    use pb::tensor_proto::DataType;

    let (data_type, bytes_each) = match tensor.element {
        Element::F32 => (DataType::Float, 4),
        Element::F16 => (DataType::Float16, 2),
        Element::F64 => (DataType::Double, 8),
        Element::I8 => (DataType::Int8, 1),
        Element::U8 => (DataType::Uint8, 1),
        Element::Bool => (DataType::Bool, 1),
        Element::I16 => (DataType::Int16, 2),
        Element::U16 => (DataType::Uint16, 2),
        Element::I32 => (DataType::Int32, 4),
        Element::U32 => (DataType::Uint32, 4),
        Element::I64 => (DataType::Int64, 8),
        element => {
            return Err(TractError::msg(format!(
                "the value of `{name}` is {element}, which no constant can be"
            )));
        }
    };
    let raw_data: Vec<u8> = match (&tensor.data, tensor.element) {
        (Data::Floats(values), Element::F16) => {
            values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
        }
        (Data::Floats(values), Element::F64) => {
            values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect()
        }
        (Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }), _) => {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        // The low bytes of a number are that number in a narrower type.
        (Data::Ints(values), _) => {
            values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(bytes_each)).collect()
        }
        (Data::Unread, _) => return Err(TractError::msg(format!("the value of `{name}` was not read"))),
    };
    Ok(pb::TensorProto {
        name: name.to_owned(),
        dims: tensor.shape.iter().map(|&size| size as i64).collect(),
        data_type: data_type.into(),
        raw_data,
        ..Default::default()
    })
}
