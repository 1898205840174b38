//! Inputs that the manifest has a value for (key `onnx.inputs`), in the form that tract reads: constants of the file's own graph.

use tract_onnx::pb;
use tract_onnx::prelude::{TractError, TractResult};

use crate::onnx::Hints;
use crate::onnx::graph::{Element, Graph};
use crate::onnx::tensor::{Data, Tensor};

/// Adds to `proto` the constants that `graph` has in the place of the inputs that `hints` names. An input with an initialiser is none
/// that is fed.
///
/// # Errors
/// When a value is of a type that tract does not read.
pub(super) fn add(proto: &mut pb::ModelProto, graph: &Graph, hints: &Hints) -> TractResult<()> {
    let Some(to) = proto.graph.as_mut() else { return Err(TractError::msg("it has no graph")) };
    for (name, _) in &hints.inputs {
        let tensor =
            graph.constants.get(name).ok_or_else(|| TractError::msg(format!("`{name}` has no value")))?;
        to.input.retain(|input| input.name != *name);
        to.initializer.push(initializer(name, tensor)?);
    }
    Ok(())
}

fn initializer(name: &str, tensor: &Tensor) -> TractResult<pb::TensorProto> {
    use pb::tensor_proto::DataType;

    let empty = pb::TensorProto {
        name: name.to_owned(),
        dims: tensor.shape.iter().map(|&size| size as i64).collect(),
        ..Default::default()
    };
    // Fields for numbers of one type hold those of narrower ones too.
    let narrow = |values: &[i64]| values.iter().map(|&value| value as i32).collect();
    let (data_type, filled) = match (tensor.element, &tensor.data) {
        (Element::F32, Data::Floats(values)) => {
            (DataType::Float, pb::TensorProto { float_data: values.clone(), ..empty })
        }
        (Element::F64, Data::Floats(values)) => {
            let double_data = values.iter().map(|&value| f64::from(value)).collect();
            (DataType::Double, pb::TensorProto { double_data, ..empty })
        }
        (Element::I64, Data::Ints(values)) => {
            (DataType::Int64, pb::TensorProto { int64_data: values.clone(), ..empty })
        }
        (Element::I32, Data::Ints(values)) => {
            (DataType::Int32, pb::TensorProto { int32_data: narrow(values), ..empty })
        }
        (Element::Bool, Data::Ints(values)) => {
            let raw_data = values.iter().map(|&value| u8::from(value != 0)).collect();
            (DataType::Bool, pb::TensorProto { raw_data, ..empty })
        }
        (element, _) => {
            return Err(TractError::msg(format!(
                "the value of `{name}` is {element}, expected f32, f64, i32, i64 or bool"
            )));
        }
    };
    Ok(pb::TensorProto { data_type: data_type.into(), ..filled })
}
