//! A graph as the rest of this module sees it: nodes, constants, inputs and outputs, checked and bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub(super) use super::port::{Dim, Element, Port};
use super::tensor::Tensor;

/// A whole file: every name that a node reads is an input, a constant or the output of a node before it.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// The program that wrote the file.
    pub(super) producer: String,
    /// That program's version.
    pub(super) producer_version: String,
    /// The version of the standard operators.
    pub(super) opset: i64,
    /// What the exporter added, key to value.
    pub(super) metadata: BTreeMap<String, String>,
    /// What callers feed; inputs with a default value are constants instead.
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    /// In an order of execution.
    pub(super) nodes: Vec<Node>,
    /// Initialisers by name.
    pub(super) constants: BTreeMap<String, Arc<Tensor>>,
    /// Operators that the file defines itself.
    pub(super) functions: Vec<Function>,
    /// Files in the model's folder that initialisers lie in.
    pub(super) external_files: Vec<String>,
}

/// An operator that a file defines itself.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) domain: String,
    pub(super) name: String,
    pub(super) nodes: Vec<Node>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The node's name, or its first output's where it has none.
    pub(super) name: String,
    /// The operator.
    pub(super) op: String,
    /// The set that the operator is of; empty for the standard one.
    pub(super) domain: String,
    /// Names of tensors; empty for an optional input that is absent.
    pub(super) inputs: Vec<String>,
    /// Names of tensors; empty for an output that no node reads.
    pub(super) outputs: Vec<String>,
    pub(super) attributes: Vec<(String, Attribute)>,
}

/// A graph within a node. It also reads what the graph around it has written.
#[derive(Clone, Debug)]
pub(super) struct Nested {
    /// What the node feeds, in order.
    pub(super) inputs: Vec<Port>,
    /// The names of what it gives, in order.
    pub(super) outputs: Vec<String>,
    /// In the file's order.
    pub(super) nodes: Vec<Node>,
    /// Initialisers by name.
    pub(super) constants: BTreeMap<String, Arc<Tensor>>,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Tensor(Arc<Tensor>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
    /// Nested graphs, such as a loop's body.
    Graphs(Vec<Nested>),
    /// The argument of this name of the function that the node is part of.
    Argument(String),
    /// Of a type that no operator here has.
    Other,
}

impl Node {
    /// The set of operators that needs no name, under either of its spellings.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self.domain.as_str(), "" | "ai.onnx")
    }

    /// Input `index`, unless it is absent.
    pub(super) fn input(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Nested graphs.
    pub(super) fn graphs(&self) -> impl Iterator<Item = &Nested> {
        let graphs = self.attributes.iter().filter_map(|(_, value)| match value {
            Attribute::Graphs(graphs) => Some(graphs),
            _ => None,
        });
        graphs.flatten()
    }

    /// The nodes of nested graphs.
    pub(super) fn nested(&self) -> impl Iterator<Item = &Node> {
        self.graphs().flat_map(|graph| &graph.nodes)
    }
}

/// The first few of `values`, for a message.
pub(super) fn some<T: fmt::Debug>(values: &[T]) -> String {
    const SHOWN: usize = 8;

    let shown: Vec<String> = values.iter().take(SHOWN).map(|value| format!("{value:?}")).collect();
    let more = if values.len() > SHOWN { ", ..." } else { "" };
    format!("[{}{more}]", shown.join(", "))
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Int(value) => write!(f, "{value}"),
            Attribute::Float(value) => write!(f, "{value}"),
            Attribute::Text(text) => write!(f, "`{text}`"),
            Attribute::Ints(values) => f.write_str(&some(values)),
            Attribute::Floats(values) => f.write_str(&some(values)),
            Attribute::Texts(texts) => f.write_str(&some(texts)),
            Attribute::Tensor(tensor) => write!(f, "a tensor of shape {:?}", tensor.shape),
            Attribute::Graphs(_) => f.write_str("a graph"),
            Attribute::Argument(name) => write!(f, "the function's argument `{name}`"),
            Attribute::Other => f.write_str("of another type"),
        }
    }
}

impl Element {
    /// The type of this number in `TensorProto.DataType`.
    pub(super) fn from_number(number: i32) -> Self {
        match number {
            1 => Element::F32,
            2 => Element::U8,
            3 => Element::I8,
            4 => Element::U16,
            5 => Element::I16,
            6 => Element::I32,
            7 => Element::I64,
            9 => Element::Bool,
            10 => Element::F16,
            11 => Element::F64,
            12 => Element::U32,
            13 => Element::U64,
            16 => Element::Bf16,
            other => Element::Other(other),
        }
    }

    /// Bytes of one element; `None` for types that are not read.
    pub(super) fn bytes(self) -> Option<usize> {
        match self {
            Element::I8 | Element::U8 | Element::Bool => Some(1),
            Element::F16 | Element::Bf16 | Element::I16 | Element::U16 => Some(2),
            Element::F32 | Element::I32 | Element::U32 => Some(4),
            Element::F64 | Element::I64 | Element::U64 => Some(8),
            Element::Other(_) => None,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Element::F32 | Element::F16 | Element::Bf16 | Element::F64)
    }
}
