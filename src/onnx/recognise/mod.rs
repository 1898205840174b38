//! Recognises the network in a graph, in one pass over its nodes that records what is known of every tensor.
//!
//! The pass knows `ids -> table or one-hot -> recurrent layers -> affine -> softmax` and the glue that exporters put
//! between these. Every node is either understood, down to what runs along each axis of its result, or its
//! result is unknown, with the node's name and the reason. Nothing is skipped: a graph whose logits are known at the end is the network
//! that was found, for any number of positions and rows.

mod affine;
mod axes;
mod block;
mod body;
mod cell;
mod declared;
mod dense;
mod factored;
mod facts;
mod feed_forward;
mod fixed_scales;
mod glue;
mod heads;
mod looped;
mod negative_ids;
mod network;
mod norm;
mod quantised;
mod recurrent;
mod selection;
mod sizes;
mod softmax;
mod squares;
mod stacked;
mod starts;
mod steps;
mod term;
mod tokens;
mod truth;
mod unrolled;
mod usage;
mod value;
mod weight_shapes;
mod zeros;

use std::collections::HashMap;
use std::sync::Arc;

use super::allow::Recurrent;
use super::fold::{Constants, Folder, Why};
use super::graph::{Dim, Graph, Node};
use super::scores::Scores;
use super::tensor::RANK_MAX;
use crate::error::{Error, Result};
use crate::rnn::Activation;
use axes::{Along, Part};
use facts::Table;
use looped::Looping;
use stacked::Stack;
use unrolled::Unrolled;
use value::{Carried, Content, Flow, Form, MovedInput, Position, Value, exact_below};

pub(super) use dense::{Dense, DenseLayer};
pub(super) use facts::Facts;
pub(super) use fixed_scales::Blocks;
pub(super) use network::{FoundLayer, FoundNetwork, LayerInput};
pub(super) use usage::Usage;

/// What the pass found out.
pub(super) struct Found<'g> {
    graph: &'g Graph,
    values: HashMap<&'g str, Value>,
    folder: Folder,
    layers: Vec<FoundLayer>,
    /// What the layers recur along, once one was found: an input's axis, or a single position.
    time: Option<Option<Along>>,
    /// Inputs that layers start from.
    starts: Vec<Start>,
    /// The input with the tokens, once an embedding was found.
    tokens: Option<usize>,
    /// What they are looked up in.
    tables: Vec<Table>,
    /// The axis of that input along the vocabulary, where its tokens are one-hot vectors.
    one_hot: Option<Along>,
    /// The refusal of a node that no runtime here computes correctly.
    refused: Option<Error>,
    quantised_count: usize,
    /// Whether a tensor on the way is rounded by a scale of the file.
    has_activation_scales: bool,
    /// The loop whose body is followed.
    looping: Option<Looping>,
    /// Joined states by name.
    stacks: HashMap<String, Stack>,
    unrolled: Unrolled,
}

/// An input, and the vector of a layer that starts from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    input: usize,
    carried: Carried,
}

/// A node with what is known of its inputs.
struct Known<'a> {
    node: &'a Node,
    inputs: Vec<Option<Value>>,
}

impl Known<'_> {
    /// Input `index`, which the operator cannot do without.
    fn value(&self, index: usize) -> Result<&Value, Why> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index)?.as_ref()
    }
}

/// Follows `graph` from its inputs to its outputs.
///
/// # Errors
/// `Load` for a graph that is to be refused: a `sequence_lens` that may end a row before its last token.
pub(super) fn recognise(graph: &Graph) -> Result<Found<'_>> {
    let mut found = Found {
        graph,
        values: HashMap::new(),
        folder: Folder::of(graph),
        layers: Vec::new(),
        time: None,
        starts: Vec::new(),
        tokens: None,
        tables: Vec::new(),
        one_hot: None,
        refused: None,
        quantised_count: 0,
        has_activation_scales: false,
        looping: None,
        stacks: HashMap::new(),
        unrolled: Unrolled::default(),
    };
    for (name, tensor) in &graph.constants {
        found.values.insert(name, Value::Constant(Arc::clone(tensor)));
    }
    for (index, input) in graph.inputs.iter().enumerate() {
        let value = match &input.shape {
            Some(shape) if shape.len() > RANK_MAX => {
                let why = format!("input `{}` has {} dimensions", input.name, shape.len());
                Value::Unknown(why.into())
            }
            Some(shape) => input_flow(graph, index, shape),
            None if input.element.is_float() => Value::State([index].into()),
            None => Value::Unknown(format!("input `{}` has no shape", input.name).into()),
        };
        found.values.insert(&input.name, value);
    }
    for node in &graph.nodes {
        found.step(node);
        if let Some(error) = found.refused.take() {
            return Err(error);
        }
    }
    found.settle_outputs();
    Ok(found)
}

/// The input itself, with an axis for each dimension that is not fixed at 1.
fn input_flow(graph: &Graph, index: usize, shape: &[Dim]) -> Value {
    let element = graph.inputs[index].element;
    let axis = |(axis, dim): (usize, &Dim)| {
        let part = |size| vec![Part { along: Along::Input { input: index, axis }, size }];
        match dim {
            Dim::Fixed(1) => Vec::new(),
            Dim::Fixed(size) => part(Some(*size)),
            Dim::Symbol(_) | Dim::Unknown => part(None),
        }
    };
    let content = Content::Input(MovedInput { index, exact_below: exact_below(element), form: Form::Raw });
    Value::Flow(Flow { axes: shape.iter().enumerate().map(axis).collect(), content, position: Position::All })
}

fn has_many_axes(value: &Value) -> bool {
    matches!(value, Value::Flow(flow) if flow.axes.len() > RANK_MAX)
}

/// Elements that an operator may copy which makes weights of weights.
fn tables(known: &Known<'_>) -> usize {
    match known.node.op.as_str() {
        "MatMul"
        | "Gemm"
        | "Einsum"
        | "FusedMatMul"
        | "FusedGemm"
        | "Add"
        | "Sub"
        | "Mul"
        | "Div"
        | "DequantizeLinear"
        | "Cast"
        | "MatMulInteger"
        | "DynamicQuantizeMatMul"
        | "MatMulIntegerToFloat"
        | "QLinearMatMul"
        | "QLinearAdd"
        | "QGemm"
        | "Split"
        | "LayerNormalization"
        | "BatchNormalization"
        | "Slice" => known.inputs.iter().flatten().map(Value::table_len).sum(),
        _ => 0,
    }
}

impl<'g> Found<'g> {
    /// Takes one node.
    fn step(&mut self, node: &'g Node) {
        let value = |name: &String| self.values.get(name.as_str()).cloned();
        let mut known = Known { node, inputs: node.inputs.iter().map(value).collect() };
        self.take_vectors(&mut known);
        let because = |why: &str| Value::Unknown(format!("node `{}` ({}): {why}", node.name, node.op).into());
        let looked = known.inputs.iter().flatten().try_for_each(|value| match value {
            Value::Constant(tensor) => self.folder.look_through(tensor),
            _ => Ok(()),
        });
        let outputs = match looked.and_then(|()| self.at_one_position(&mut known)) {
            Ok(Some(collected)) => Ok(collected),
            Ok(None) => self.outputs(&known),
            Err(why) => Err(why),
        };
        let outputs: Result<Vec<Value>, Why> =
            outputs.and_then(|outputs| outputs.into_iter().map(|value| self.as_read(value)).collect());
        let outputs = outputs.and_then(|outputs| {
            self.folder.room(outputs.iter().map(Value::own_len).sum())?;
            Ok(outputs)
        });
        let mut outputs: Vec<Value> = match outputs {
            Ok(outputs) if outputs.iter().any(has_many_axes) => {
                vec![because("it makes too many dimensions")]
            }
            Ok(outputs) => outputs,
            Err(why) => vec![because(&why); node.outputs.len()],
        };
        if outputs.len() < node.outputs.len() {
            outputs.resize(node.outputs.len(), because("its further outputs are not known"));
        }
        let written = node.outputs.iter().zip(outputs).filter(|(name, _)| !name.is_empty());
        for (name, value) in written {
            self.values.insert(name, value);
        }
    }

    fn outputs(&mut self, known: &Known<'g>) -> Result<Vec<Value>, Why> {
        let node = known.node;
        if let Some(kind) = Recurrent::of(node) {
            if self.looping.is_some() {
                return Err("it is within a loop".into());
            }
            return self.recurrent(known, kind);
        }
        if zeros::keeps(known) {
            return Ok(vec![Value::Zeros(zeros::rank(known)); node.outputs.len()]);
        }
        let unknown = known.inputs.iter().flatten().find(|value| matches!(value, Value::Unknown(_)));
        if let Some(unknown) = unknown {
            return Ok(vec![unknown.clone(); node.outputs.len()]);
        }
        if node.graphs().next().is_some() {
            return self.nested(known);
        }
        let constants = known.inputs.iter().map(|value| match value {
            None => Some(None),
            Some(Value::Constant(tensor)) => Some(Some(Arc::clone(tensor))),
            Some(_) => None,
        });
        if let Some(inputs) = constants.collect::<Option<Vec<_>>>() {
            let folded = self.folder.fold(&Constants { node, inputs })?;
            return Ok(folded.into_iter().map(Value::Constant).collect());
        }
        self.folder.room(tables(known))?;
        self.folder.room(affine::composed_room(&known.inputs))?;
        if let Some(value) = self.static_quantised(known)? {
            return Ok(vec![value]);
        }
        if let Some(values) = self.quantised(known)? {
            return Ok(values);
        }
        if !node.is_standard() {
            return Err(format!("`{}.{}` is not known", node.domain, node.op));
        }
        if let Some(values) = self.repeated(known)? {
            return Ok(values);
        }
        self.note_stack(known)?;
        if let Some(value) = self.read_at_step(known)?.or(self.unstacked(known)?) {
            return Ok(vec![value]);
        }
        let truth = truth::truth(known, self.looping.as_ref()).map(Ok);
        if let Some(value) = truth.or_else(|| sizes::sizes(known).transpose()).transpose()? {
            return Ok(vec![value]);
        }
        if let Some(values) = steps::step(known)? {
            return Ok(values);
        }
        match norm::moment(self, known)? {
            Some(value) => Ok(vec![value]),
            None => self.standard(known),
        }
    }

    /// A node that runs another graph.
    fn nested(&mut self, known: &Known<'g>) -> Result<Vec<Value>, Why> {
        match known.node.op.as_str() {
            "Loop" if known.node.is_standard() => self.looped(known),
            "Scan" if known.node.is_standard() => self.scanned(known),
            _ => Err("it runs a nested graph, which is no part of a known network".into()),
        }
    }

    /// A standard operator with an input that is no constant.
    fn standard(&mut self, known: &Known<'_>) -> Result<Vec<Value>, Why> {
        let one = |value: Value| vec![value];
        if let Some(value) = negative_ids::decided(known)? {
            return Ok(one(value));
        }
        Ok(match known.node.op.as_str() {
            "Gather" if matches!(known.value(1)?, Value::Flow(_)) => one(self.embed(known)?),
            "OneHot" => one(self.one_hot(known)?),
            "MatMul" => one(affine::matmul(known)?),
            "Einsum" => one(affine::einsum(known)?),
            "Gemm" => one(affine::gemm(known)?),
            "Add" | "Sub" | "Mul" | "Div" => one(affine::elementwise(known)?),
            "Softmax" => one(softmax::softmax(known, self.graph.opset, Scores::Probabilities)?),
            "LogSoftmax" => one(softmax::softmax(known, self.graph.opset, Scores::LogProbabilities)?),
            "Log" => one(softmax::log(known)?),
            "ReduceMean" => one(dense::mean(known)?),
            "LayerNormalization" => one(self.layer_normalization(known)?),
            "BatchNormalization" => one(self.batch_normalization(known)?),
            "Tanh" => one(dense::activated(known, Activation::Tanh)?),
            "Relu" => one(dense::activated(known, Activation::Relu)?),
            "Sigmoid" => one(dense::activated(known, Activation::Sigmoid)?),
            _ => self.glue(known)?,
        })
    }
}
