//! Small graphs, built from protobuf messages, and what becomes of them.

mod advice;
mod allow;
mod bytes;
mod folding;
mod glue;
mod harm;
mod layers;
mod unrolled;

use std::path::Path;

use super::file::schema::{AttributeType, Dimension};
use super::file::{self, schema as pb};
use super::graph::Graph;
use super::lower::{Lowered, lower};
use super::recognise::recognise;
use super::{Hints, allow as allowlist};
use crate::error::Result;
use prost::Message;

/// A model file in the making.
#[derive(Clone)]
struct Model(pb::ModelProto);

impl Model {
    /// A file without a node, of standard operators `opset`.
    fn new(opset: i64) -> Self {
        let opset_import = vec![pb::OperatorSetIdProto { domain: String::new(), version: opset }];
        Self(pb::ModelProto { graph: Some(pb::GraphProto::default()), opset_import, ..Default::default() })
    }

    fn graph(&mut self) -> &mut pb::GraphProto {
        self.0.graph.as_mut().expect("there from the start")
    }

    /// An input; a size of 0 is one that callers choose.
    fn input(&mut self, name: &str, (element, shape): (i32, &[i64])) -> &mut Self {
        let dim = |(axis, &size): (usize, &i64)| Dimension {
            dim_value: (size > 0).then_some(size),
            dim_param: (size == 0).then(|| format!("{name}{axis}")),
        };
        let shape = pb::TensorShapeProto { dim: shape.iter().enumerate().map(dim).collect() };
        let tensor = pb::TensorType { elem_type: element, shape: Some(shape) };
        let r#type = Some(pb::TypeProto { tensor_type: Some(tensor) });
        self.graph().input.push(pb::ValueInfoProto { name: name.into(), r#type });
        self
    }

    fn output(&mut self, name: &str) -> &mut Self {
        self.graph().output.push(pb::ValueInfoProto { name: name.into(), ..Default::default() });
        self
    }

    fn constant(&mut self, name: &str, tensor: pb::TensorProto) -> &mut Self {
        self.graph().initializer.push(pb::TensorProto { name: name.into(), ..tensor });
        self
    }

    /// A node `op(inputs) -> outputs`, both names with spaces between; `-` is an input or output that is absent.
    fn node(&mut self, op: &str, names: &str, attributes: &[pb::AttributeProto]) -> &mut Self {
        self.graph().node.push(node(op, names, attributes));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    fn read(&self) -> Result<Graph> {
        file::decode(self.bytes(), Path::new("/nowhere"), u64::MAX)
    }

    /// The network, as the engine takes it; else why it is refused or not lowered.
    fn lowered(&self) -> Result<Lowered, String> {
        let graph = self.read().map_err(|error| error.message)?;
        allowlist::check(&graph).map_err(|error| error.message)?;
        let found = recognise(&graph).map_err(|error| error.message)?;
        lower(&found.network(&found.logits(None)?)?, &Hints::default())
    }
}

fn node(op: &str, names: &str, attributes: &[pb::AttributeProto]) -> pb::NodeProto {
    let (inputs, outputs) = names.split_once("->").expect("an arrow");
    let list = |names: &str| {
        let each = names.split_whitespace();
        each.map(|name| if name == "-" { String::new() } else { name.into() }).collect::<Vec<String>>()
    };
    pb::NodeProto {
        op_type: op.into(),
        input: list(inputs),
        output: list(outputs),
        attribute: attributes.to_vec(),
        ..Default::default()
    }
}

const F32: i32 = 1;
const I64: i32 = 7;

fn floats(shape: &[i64], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        data_type: F32,
        dims: shape.to_vec(),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn ints(shape: &[i64], values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        data_type: I64,
        dims: shape.to_vec(),
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// Floats 0, 1, 2 and so on, from `first` on.
fn counted(shape: &[i64], first: usize) -> pb::TensorProto {
    let len = shape.iter().product::<i64>() as usize;
    floats(shape, &(first..first + len).map(|value| value as f32).collect::<Vec<_>>())
}

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: kind as i32, ..Default::default() }
}

fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

fn int_list(name: &str, values: &[i64]) -> pb::AttributeProto {
    pb::AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn text(name: &str, value: &str) -> pb::AttributeProto {
    pb::AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

fn texts(name: &str, values: &[&str]) -> pb::AttributeProto {
    let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    pb::AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

fn nested(name: &str, nodes: Vec<pb::NodeProto>) -> pb::AttributeProto {
    let graph = pb::GraphProto { node: nodes, ..Default::default() };
    pb::AttributeProto { g: Some(Box::new(graph)), ..attribute(name, AttributeType::Graph) }
}

const VOCAB: i64 = 7;
const EMBEDDING: i64 = 3;
const HIDDEN: i64 = 2;

/// `x [T, B] -> Gather -> op -> Squeeze -> decoder -> y`, with the attributes of the recurrent node `layer`.
fn network(op: &str, attributes: &[pb::AttributeProto]) -> Model {
    let mut model = headless(op, attributes);
    model
        .node("Squeeze", "Y -> h", &[int_list("axes", &[1])])
        .node("MatMul", "h decoder -> y", &[])
        .output("y");
    model
}

/// The same up to the layer's `Y [T, 1, B, H]`, `Y_h` and `Y_c`.
fn headless(op: &str, attributes: &[pb::AttributeProto]) -> Model {
    let gates = match op {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let rows = gates * HIDDEN;
    let mut model = Model::new(11);
    model
        .input("x", (I64, &[0, 0]))
        .constant("encoder", counted(&[VOCAB, EMBEDDING], 0))
        .constant("W", counted(&[1, rows, EMBEDDING], 100))
        .constant("R", counted(&[1, rows, HIDDEN], 200))
        .constant("B", counted(&[1, 2 * rows], 300))
        .constant("decoder", counted(&[HIDDEN, VOCAB], 400))
        .node("Gather", "encoder x -> embedded", &[]);
    let outputs = if op == "LSTM" { "Y Y_h Y_c" } else { "Y Y_h" };
    model.node(op, &format!("embedded W R B -> {outputs}"), attributes);
    model.graph().node.last_mut().expect("the layer").name = "layer".into();
    model
}

/// Fails unless the message has each of `parts`.
#[track_caller]
fn says(outcome: Result<Lowered, String>, parts: &[&str]) {
    let message = outcome.err().expect("an error");
    for part in parts {
        assert!(message.contains(part), "found `{message}`, expected `{part}` in it");
    }
}
