//! What tract's decoder needs, against what is counted before it runs.

use tract_onnx::pb;

use crate::onnx::file::MessageKind;

#[test]
fn no_message_of_tract_takes_more_memory_than_is_counted() {
    for (kind, found) in [
        (MessageKind::Model, size_of::<pb::ModelProto>()),
        (MessageKind::Graph, size_of::<pb::GraphProto>()),
        (MessageKind::Node, size_of::<pb::NodeProto>()),
        (MessageKind::Attribute, size_of::<pb::AttributeProto>()),
        (MessageKind::Tensor, size_of::<pb::TensorProto>()),
        (MessageKind::SparseTensor, size_of::<pb::SparseTensorProto>()),
        (MessageKind::Function, size_of::<pb::FunctionProto>()),
        (MessageKind::ValueInfo, size_of::<pb::ValueInfoProto>()),
        (MessageKind::Type, size_of::<pb::TypeProto>()),
        (MessageKind::TensorType, size_of::<pb::type_proto::Tensor>()),
        (MessageKind::Shape, size_of::<pb::TensorShapeProto>()),
        (MessageKind::Dimension, size_of::<pb::tensor_shape_proto::Dimension>()),
        (MessageKind::Training, size_of::<pb::TrainingInfoProto>()),
        (MessageKind::Annotation, size_of::<pb::TensorAnnotation>()),
        (MessageKind::Entry, size_of::<pb::StringStringEntryProto>()),
    ] {
        assert!(found <= kind.memory(), "{kind:?} takes {found} bytes, expected at most {}", kind.memory());
    }
}
