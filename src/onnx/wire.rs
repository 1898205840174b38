//! What decoding a file would take, counted on its bytes before anything is decoded.
//!
//! In a protobuf message two bytes can stand for an empty node, which is some hundred bytes of memory once it is
//! decoded. So the messages and strings of a file are counted first, and a file that would take more than its size
//! warrants is refused unread. Everything else decodes to at most eight times its bytes.

use tract_onnx::pb;

use crate::error::{Error, Result};

/// The most memory that messages and strings may take, without the tensors' elements.
const OVERHEAD_MAX: usize = 1 << 28;

/// How deep messages may nest; prost stops at 100.
const DEPTH_MAX: usize = 64;

/// Checks that decoding `file`, a `ModelProto`, takes a bounded amount of memory.
///
/// # Errors
/// `Load` when it does not, or when the bytes are no protobuf message.
pub(super) fn check(file: &[u8]) -> Result<()> {
    let mut scan = Scan { left: OVERHEAD_MAX };
    scan.message(file, Kind::Model, 0)
}

/// The messages that hold other messages, or many strings.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    Training,
    Annotation,
    Entry,
    Text,
}

impl Kind {
    /// What the length-delimited field `number` holds; `None` for elements and other bytes, which cost what they are.
    fn field(self, number: u64) -> Option<Kind> {
        use Kind::*;
        Some(match (self, number) {
            (Model, 7) => Graph,
            (Model, 8 | 14) | (Tensor, 13) | (Annotation, 2) | (Function, 9) | (Training, 3 | 4) => Entry,
            (Graph, 14) => Annotation,
            (Model, 20) => Training,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 5) | (Attribute, 5 | 10) | (SparseTensor, 1 | 2) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => SparseTensor,
            (Graph, 11..=13) => ValueInfo,
            (Node, 5) => Attribute,
            (Attribute, 6 | 11) | (Training, 1 | 2) => Graph,
            (Attribute, 15) | (ValueInfo, 2) => Type,
            (Type, 1) => TensorType,
            (TensorType, 2) => Shape,
            (Shape, 1) => Dimension,
            (Node, 1 | 2) | (Function, 4..=6) | (Attribute, 9) | (Tensor, 6) => Text,
            _ => return None,
        })
    }

    /// Bytes of memory of one that is empty.
    fn size(self) -> usize {
        match self {
            Kind::Model => size_of::<pb::ModelProto>(),
            Kind::Graph => size_of::<pb::GraphProto>(),
            Kind::Node => size_of::<pb::NodeProto>(),
            Kind::Attribute => size_of::<pb::AttributeProto>(),
            Kind::Tensor => size_of::<pb::TensorProto>(),
            Kind::SparseTensor => size_of::<pb::SparseTensorProto>(),
            Kind::Function => size_of::<pb::FunctionProto>(),
            Kind::ValueInfo => size_of::<pb::ValueInfoProto>(),
            Kind::Type => size_of::<pb::TypeProto>(),
            Kind::TensorType => size_of::<pb::type_proto::Tensor>(),
            Kind::Shape => size_of::<pb::TensorShapeProto>(),
            Kind::Dimension => size_of::<pb::tensor_shape_proto::Dimension>(),
            Kind::Training => size_of::<pb::TrainingInfoProto>(),
            Kind::Annotation => size_of::<pb::TensorAnnotation>(),
            Kind::Entry => size_of::<pb::StringStringEntryProto>(),
            Kind::Text => size_of::<String>(),
        }
    }
}

struct Scan {
    /// Bytes that may still be taken.
    left: usize,
}

impl Scan {
    fn message(&mut self, mut bytes: &[u8], kind: Kind, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::load(format!("its graphs nest more than {DEPTH_MAX} messages deep")));
        }
        // A vector that grows holds twice what it needs at worst.
        let cost = 2 * kind.size();
        self.left = self.left.checked_sub(cost).ok_or_else(|| {
            Error::load(format!("its nodes and names take more than {OVERHEAD_MAX} bytes of memory"))
        })?;
        while !bytes.is_empty() && !matches!(kind, Kind::Text) {
            let tag = varint(&mut bytes)?;
            let (number, wire_type) = (tag >> 3, tag & 7);
            match wire_type {
                0 => drop(varint(&mut bytes)?),
                1 => drop(split(&mut bytes, 8)?),
                2 => {
                    let len = varint(&mut bytes)?;
                    let field = split(&mut bytes, len)?;
                    if let Some(kind) = kind.field(number) {
                        self.message(field, kind, depth + 1)?;
                    }
                }
                5 => drop(split(&mut bytes, 4)?),
                _ => return Err(not_protobuf()),
            }
        }
        Ok(())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(not_protobuf)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(not_protobuf())
}

fn split<'b>(bytes: &mut &'b [u8], len: u64) -> Result<&'b [u8]> {
    let len = usize::try_from(len).ok();
    let (field, rest) = len.and_then(|len| bytes.split_at_checked(len)).ok_or_else(not_protobuf)?;
    *bytes = rest;
    Ok(field)
}

fn not_protobuf() -> Error {
    Error::load("not an ONNX file, or a part of one: its bytes are no protobuf message")
}
