//! Mutations of ONNX files that keep them protobuf messages: fields are changed, repeated, dropped and moved, and their lengths follow.
//!
//! Names and field numbers are those of `onnx.proto` (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>).

use super::bytes;
use super::random::Random;

/// What a message is, as far as its fields are messages too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
}

impl Kind {
    fn field(self, number: u64) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Model, 7) | (Kind::Attribute, 6) => Kind::Graph,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Graph | Kind::Attribute, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::ValueInfo,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::ValueInfo, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Shape, 1) => Kind::Dimension,
            _ => return None,
        })
    }

    /// The field that holds what an operator is called.
    fn is_operator(self, number: u64) -> bool {
        self == Kind::Node && number == 4
    }

    /// Fields that hold packed integers: dimensions, and lists in attributes.
    fn is_integers(self, number: u64) -> bool {
        matches!((self, number), (Kind::Tensor, 1 | 7) | (Kind::Attribute, 8))
    }
}

/// Operators that make much of little.
const OPERATORS: [&str; 24] = [
    "Pad",
    "Einsum",
    "Resize",
    "Tile",
    "Expand",
    "ConstantOfShape",
    "Range",
    "Conv",
    "OneHot",
    "Transpose",
    "Reshape",
    "Gather",
    "Slice",
    "Concat",
    "Split",
    "LSTM",
    "GRU",
    "RNN",
    "MatMul",
    "Scan",
    "Loop",
    "ReduceLogSum",
    "CumSum",
    "NonZero",
];

#[derive(Clone, Debug)]
struct Field {
    number: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Message(Message),
}

#[derive(Clone, Debug)]
struct Message {
    kind: Kind,
    fields: Vec<Field>,
}

/// Mutates the ONNX file `file`; its bytes alone if it is none.
pub(super) fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    let Some(mut model) = Message::read(file, Kind::Model) else { return bytes::mutate(file, random) };
    let others = model.clone();
    let count = model.count();
    if count > 0 {
        let target = model.nth(random.below(count)).expect("below the count");
        let donor = others.clone().nth(random.below(count)).expect("below the count").take();
        target.change(donor, random);
    }
    file.clear();
    model.write(file);
}

/// A field in the list of its message.
struct Place<'m> {
    message: &'m mut Message,
    index: usize,
}

impl Place<'_> {
    fn take(self) -> Field {
        self.message.fields[self.index].clone()
    }

    fn change(self, donor: Field, random: &mut Random) {
        let Place { message, index } = self;
        let kind = message.kind;
        match random.below(10) {
            0 => drop(message.fields.remove(index)),
            1 => {
                let repeated = message.fields[index].clone();
                message.fields.insert(index, repeated);
            }
            2 => {
                let other = random.below(message.fields.len());
                message.fields.swap(index, other);
            }
            3 => message.fields[index].content = donor.content,
            _ => message.fields[index].change(kind, random),
        }
    }
}

impl Field {
    fn change(&mut self, kind: Kind, random: &mut Random) {
        let number = self.number;
        match &mut self.content {
            Content::Varint(value) => *value = random.integer() as u64,
            Content::Fixed32(value) => {
                *value = random.one_of(&[f32::NAN, f32::INFINITY, -1.0, 1e30, 0.0]).to_le_bytes();
            }
            Content::Fixed64(value) => *value = random.integer().to_le_bytes(),
            Content::Bytes(content) if kind.is_operator(number) => {
                *content = random.one_of(&OPERATORS).as_bytes().to_vec();
            }
            Content::Bytes(content) if kind.is_integers(number) => {
                content.clear();
                for _ in 0..1 + random.below(4) {
                    let value = random.integer();
                    varint(value as u64, content);
                }
            }
            Content::Bytes(content) => bytes::mutate(content, random),
            Content::Message(message) => message.fields.clear(),
        }
    }
}

impl Message {
    /// `None` if `bytes` are no message.
    fn read(mut bytes: &[u8], kind: Kind) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = read_varint(&mut bytes)?;
            let number = tag >> 3;
            let content = match tag & 7 {
                0 => Content::Varint(read_varint(&mut bytes)?),
                1 => {
                    let (value, rest) = bytes.split_first_chunk()?;
                    bytes = rest;
                    Content::Fixed64(*value)
                }
                2 => {
                    let len = usize::try_from(read_varint(&mut bytes)?).ok()?;
                    let (content, rest) = bytes.split_at_checked(len)?;
                    bytes = rest;
                    match kind.field(number) {
                        Some(kind) => Content::Message(Message::read(content, kind)?),
                        None => Content::Bytes(content.to_vec()),
                    }
                }
                5 => {
                    let (value, rest) = bytes.split_first_chunk()?;
                    bytes = rest;
                    Content::Fixed32(*value)
                }
                _ => return None,
            };
            fields.push(Field { number, content });
        }
        Some(Self { kind, fields })
    }

    fn write(&self, out: &mut Vec<u8>) {
        for Field { number, content } in &self.fields {
            let wire = match content {
                Content::Varint(_) => 0,
                Content::Fixed64(_) => 1,
                Content::Bytes(_) | Content::Message(_) => 2,
                Content::Fixed32(_) => 5,
            };
            varint(number << 3 | wire, out);
            match content {
                Content::Varint(value) => varint(*value, out),
                Content::Fixed32(value) => out.extend_from_slice(value),
                Content::Fixed64(value) => out.extend_from_slice(value),
                Content::Bytes(content) => delimited(content, out),
                Content::Message(message) => {
                    let mut content = Vec::new();
                    message.write(&mut content);
                    delimited(&content, out);
                }
            }
        }
    }

    /// The number of all fields, also within fields.
    fn count(&self) -> usize {
        self.fields.iter().map(Field::count).sum()
    }

    /// Field `index` of all.
    fn nth(&mut self, mut index: usize) -> Option<Place<'_>> {
        let at = self.fields.iter().position(|field| {
            let count = field.count();
            let is_here = index < count;
            index -= if is_here { 0 } else { count };
            is_here
        })?;
        if index == 0 {
            return Some(Place { message: self, index: at });
        }
        match &mut self.fields[at].content {
            Content::Message(message) => message.nth(index - 1),
            _ => None,
        }
    }
}

impl Field {
    fn count(&self) -> usize {
        match &self.content {
            Content::Message(message) => 1 + message.count(),
            _ => 1,
        }
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn delimited(content: &[u8], out: &mut Vec<u8>) {
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A mutator that cannot write what it reads would test nothing but protobuf readers.
#[test]
fn a_file_is_written_as_it_was_read() {
    let file = std::fs::read(crate::harness::onnx_files().join("by_hand/lstm-1-layout0-tb.onnx")).unwrap();
    let mut written = Vec::new();
    Message::read(&file, Kind::Model).unwrap().write(&mut written);
    assert_eq!(written, file);
}
