//! What decoding a file would take, counted on its bytes before anything is decoded.
//!
//! In a protobuf message two bytes can stand for an empty node, which takes some hundred bytes of memory once it is
//! decoded. So the messages and strings of a file are counted first, and a file that would take more than its size
//! warrants is refused before it is decoded. Everything else decodes to at most eight times its bytes.

use crate::error::{Error, Result};

/// The most memory that messages and strings may take, not counting the elements of tensors.
const OVERHEAD_MAX: usize = 1 << 28;

/// How deep messages may nest; prost stops at 100.
const DEPTH_MAX: usize = 64;

/// Checks that decoding `file`, a `ModelProto`, takes a bounded amount of memory.
///
/// # Errors
/// `Load` when it does not, or when the bytes are not a protobuf message.
pub(super) fn check(file: &[u8]) -> Result<()> {
    let mut scan = Scan { left: OVERHEAD_MAX };
    scan.message(file, MessageKind::Model, 0)
}

/// The messages that hold other messages, or many strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::onnx) enum MessageKind {
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
    Output,
}

impl MessageKind {
    /// What the length-delimited field `number` holds; `None` for elements and other bytes, which cost what they are.
    fn field(self, number: u64) -> Option<MessageKind> {
        use MessageKind::*;
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
            (Node, 2) => Output,
            (Node, 1) | (Function, 4..=6) | (Attribute, 9) | (Tensor, 6) => Text,
            _ => return None,
        })
    }

    /// Bytes of memory that an empty one takes in the decoder that needs the most: that of `schema`, or the runtime's own, which
    /// decodes the file a second time, with more fields.
    pub(in crate::onnx) fn memory(self) -> usize {
        match self {
            MessageKind::Model => 424,
            MessageKind::Graph => 216,
            MessageKind::Node => 168,
            MessageKind::Attribute => 1640,
            MessageKind::Tensor => 336,
            MessageKind::SparseTensor => 696,
            MessageKind::Function => 240,
            MessageKind::ValueInfo => 128,
            MessageKind::Type => 64,
            MessageKind::TensorType => 40,
            MessageKind::Shape => 24,
            MessageKind::Dimension => 56,
            MessageKind::Training => 480,
            MessageKind::Annotation => 48,
            MessageKind::Entry => 48,
            MessageKind::Text => 24,
            // Its name, and what recognition knows of it.
            MessageKind::Output => 256,
        }
    }
}

struct Scan {
    /// Bytes that may still be taken.
    left: usize,
}

impl Scan {
    fn message(&mut self, mut bytes: &[u8], kind: MessageKind, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::load(format!("its graphs nest more than {DEPTH_MAX} messages deep")));
        }
        // A vector that grows holds twice what it needs at worst.
        let cost = 2 * kind.memory();
        self.left = self.left.checked_sub(cost).ok_or_else(|| {
            Error::load(format!("its nodes and names would take more than {OVERHEAD_MAX} bytes of memory"))
        })?;
        while !bytes.is_empty() && !matches!(kind, MessageKind::Text | MessageKind::Output) {
            let tag = varint(&mut bytes)?;
            let number = tag >> 3;
            let wire_type = tag & 7;
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
    Error::load("not an ONNX file, or a part of one: its bytes are not a protobuf message")
}

#[cfg(test)]
mod tests {
    use super::MessageKind;
    use crate::onnx::file::schema;

    #[test]
    fn no_message_takes_more_memory_than_is_counted() {
        for (kind, found) in [
            (MessageKind::Model, size_of::<schema::ModelProto>()),
            (MessageKind::Graph, size_of::<schema::GraphProto>()),
            (MessageKind::Node, size_of::<schema::NodeProto>()),
            (MessageKind::Attribute, size_of::<schema::AttributeProto>()),
            (MessageKind::Tensor, size_of::<schema::TensorProto>()),
            (MessageKind::SparseTensor, size_of::<schema::SparseTensorProto>()),
            (MessageKind::Function, size_of::<schema::FunctionProto>()),
            (MessageKind::ValueInfo, size_of::<schema::ValueInfoProto>()),
            (MessageKind::Type, size_of::<schema::TypeProto>()),
            (MessageKind::TensorType, size_of::<schema::TensorType>()),
            (MessageKind::Shape, size_of::<schema::TensorShapeProto>()),
            (MessageKind::Dimension, size_of::<schema::Dimension>()),
            (MessageKind::Entry, size_of::<schema::StringStringEntryProto>()),
            (MessageKind::Text, size_of::<String>()),
        ] {
            assert!(
                found <= kind.memory(),
                "{kind:?} takes {found} bytes, expected at most {}",
                kind.memory()
            );
        }
    }
}
