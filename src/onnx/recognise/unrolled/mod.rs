//! Layers whose steps a graph writes out one after the other, for a fixed number of positions: PyTorch's newer exporter has no operator
//! for `nn.RNN`, Keras has `unroll=True`, and a module may be a loop over its cell.
//!
//! What a step computes is followed as a term over what it reads at its position and over the vectors that the step before has left. A
//! vector is one that is carried where something at one position is computed from it, and it is of the position before. Once something
//! else needs a layer's h, all of its steps are held against each other: they have to be the same cell with the same weights,
//! from the first position to the last.

mod canon;
mod layer;
mod settled;

use std::collections::HashMap;
use std::sync::Arc;

use super::axes::{Along, Axis, Part};
use super::block::Block;
use super::dense::Dense;
use super::term::{self, Affine, Kind, Matrix, Term};
use super::tokens::along_features;
use super::value::{Content, Flow, Form, MovedInput, Position, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::scores::Scores;
use layer::UnrolledLayer;

/// What is known of the steps that a graph writes out.
#[derive(Default)]
pub(super) struct Unrolled {
    /// The positions, once one was selected; none where the graph reads one position only.
    time: Option<Part>,
    /// What steps read, by the number in [`Kind::Read`].
    sources: Vec<Content>,
    /// What steps carry, by the number in [`Kind::State`].
    before: Vec<Before>,
    /// Where in `before` the vectors are that were carried from step to step.
    places: HashMap<*const Term, usize>,
    layers: Vec<UnrolledLayer>,
    /// Terms that are no layer's h, and why.
    others: HashMap<*const Term, Other>,
}

/// A term that is no layer's h.
struct Other {
    /// It lives on, so that no other term takes its place in memory.
    _term: Arc<Term>,
    why: Why,
}

/// What a step starts from.
#[derive(Clone)]
enum Before {
    /// An input of the graph; `part` is the index along an axis of it that was selected.
    Input { input: usize, part: Option<usize> },
    /// What the step at position `at` left.
    Step { term: Arc<Term>, at: usize },
}

/// Operators that steps are made of.
const STEP: [&str; 13] = [
    "MatMul",
    "Gemm",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sigmoid",
    "Tanh",
    "Relu",
    "HardSigmoid",
    "Clip",
    "Split",
    "Slice",
];

/// Operators that move elements, whatever these are.
const GLUE: [&str; 9] =
    ["Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Cast", "Dropout", "Gather"];

/// A term at a position.
#[derive(Clone, Copy)]
struct Stepped<'v> {
    flow: &'v Flow,
    term: &'v Arc<Term>,
    at: usize,
}

impl<'v> Stepped<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        match value {
            Value::Flow(flow @ Flow { content: Content::Cell(term), position: Position::At(at), .. }) => {
                Some(Self { flow, term, at: *at })
            }
            _ => None,
        }
    }
}

impl Unrolled {
    /// The number of positions.
    fn len(&self) -> usize {
        self.time.and_then(|time| time.size).unwrap_or(1)
    }

    /// The last position.
    fn last(&self) -> usize {
        self.len() - 1
    }
}

impl Found<'_> {
    /// Notes that one position along `part` is selected. Returns whether steps may be written out along it.
    pub(super) fn unroll(&mut self, part: Part) -> bool {
        let is_fixed = part.size.is_some_and(|size| size > 1);
        is_fixed && *self.unrolled.time.get_or_insert(part) == part
    }

    /// Whether steps are written out along `part`.
    pub(super) fn is_unrolled_along(&self, part: Part) -> bool {
        self.unrolled.time == Some(part)
    }

    /// Prepares the inputs of a node for a step of an unrolled layer. Returns its outputs where it collects steps.
    pub(super) fn at_one_position(&mut self, known: &mut Known<'_>) -> Result<Option<Vec<Value>>, Why> {
        let op = known.node.op.as_str();
        let is_unknown = known.inputs.iter().flatten().any(|value| matches!(value, Value::Unknown(_)));
        if self.looping.is_some() || is_unknown || !known.node.is_standard() {
            return Ok(None);
        }
        if matches!(op, "MatMul" | "Gemm") {
            self.start_of_products(known)?;
        }
        if matches!(op, "Split" | "Slice") {
            self.gates_of_inputs(known)?;
        }
        let steps: Vec<Stepped<'_>> = known.inputs.iter().flatten().filter_map(Stepped::of).collect();
        let Some(at) = steps.iter().map(|step| step.at).max() else { return Ok(None) };
        if op == "Concat" && !joins_features(known, &steps)? {
            if let Some(collected) = self.collected(known, &steps)? {
                return Ok(Some(vec![collected]));
            }
            self.settle_inputs(known)?;
            return Ok(None);
        }
        if GLUE.contains(&op) {
            return Ok(None);
        }
        let is_sum = |step: &Stepped<'_>| matches!(step.term.kind, Kind::Affine(_));
        let is_second_layer = matches!(op, "MatMul" | "Gemm") && steps.first().is_some_and(is_sum);
        if is_second_layer || !(STEP.contains(&op) || op == "Concat") {
            self.settle_inputs(known)?;
            return Ok(None);
        }
        let width = steps.iter().filter_map(|step| step.flow.axes.last()?.first()?.size).max();
        let width = width.unwrap_or(0);
        let inputs = std::mem::take(&mut known.inputs);
        let aligned = inputs
            .into_iter()
            .map(|input| input.map(|value| self.aligned(value, Alignment { op, at, width })).transpose());
        known.inputs = aligned.collect::<Result<_, Why>>()?;
        Ok(None)
    }

    /// A product of the state that the first step starts from.
    fn start_of_products(&mut self, known: &mut Known<'_>) -> Result<(), Why> {
        let (Some(left), Some(Value::Constant(weights))) = (known.optional(0), known.optional(1)) else {
            return Ok(());
        };
        let rows = match *weights.shape.as_slice() {
            [rows, columns] if weights.as_floats().is_some() => {
                if known.node.op == "Gemm" && known.node.int("transB")?.unwrap_or(0) != 0 {
                    columns
                } else {
                    rows
                }
            }
            _ => return Ok(()),
        };
        let start = match left {
            Value::Flow(flow) => self.state_leaf(flow)?,
            value => zeros(value, rows)?,
        };
        if let (Some(start), Some(input)) = (start, known.inputs.first_mut()) {
            *input = Some(Value::Flow(start));
        }
        Ok(())
    }

    /// What the gates of a single step take of its input, where the products with that input are divided before anything is added.
    fn gates_of_inputs(&mut self, known: &mut Known<'_>) -> Result<(), Why> {
        let Some(Value::Flow(flow)) = known.optional(0) else { return Ok(()) };
        if !matches!(flow.content, Content::Dense(_)) || self.unrolled.time.is_some() {
            return Ok(());
        }
        let last = flow.axes.len() as i64 - 1;
        let is_features = |axis: i64| axis == last || axis == -1;
        let divides = match known.node.op.as_str() {
            "Split" => known.node.outputs.len() > 1 && is_features(known.node.int("axis")?.unwrap_or(0)),
            _ => match known.optional(3) {
                Some(Value::Constant(axes)) => {
                    axes.as_ints().is_some_and(|axes| axes.iter().any(|&axis| is_features(axis)))
                }
                _ => false,
            },
        };
        if divides && let Ok(read) = self.read(&flow.clone(), 0) {
            known.inputs[0] = Some(Value::Flow(read));
        }
        Ok(())
    }

    /// A state on its way in, as the first step sees it; `None` for anything else.
    fn state_leaf(&mut self, flow: &Flow) -> Result<Option<Flow>, Why> {
        let Content::Input(MovedInput { index, form, .. }) = flow.content else { return Ok(None) };
        let part = match form {
            Form::Raw => None,
            Form::Part(part) => Some(part),
            Form::Ids | Form::Shifted | Form::Truth(_) => return Ok(None),
        };
        let is_float = self.graph.inputs[index].element.is_float();
        let Some(&[Part { along: Along::Input { .. }, size: Some(width) }]) =
            flow.axes.last().map(Vec::as_slice).filter(|_| is_float && self.tokens != Some(index))
        else {
            return Ok(None);
        };
        let is_same = |before: &Before| matches!(before, Before::Input { input, part: other } if *input == index && *other == part);
        let before = &mut self.unrolled.before;
        let place = before.iter().position(is_same).unwrap_or_else(|| {
            before.push(Before::Input { input: index, part });
            before.len() - 1
        });
        step_flow(Kind::State(place), flow.axes.len(), width).map(Some)
    }

    /// An input of a step's node, at the step's position.
    fn aligned(&mut self, value: Value, alignment: Alignment<'_>) -> Result<Value, Why> {
        let Alignment { op, at, width, .. } = alignment;
        if let Some(step) = Stepped::of(&value) {
            return match at - step.at {
                0 => Ok(value),
                1 => self.carried(step).map(Value::Flow),
                _ => Err(format!("it computes with positions {} and {at}", step.at)),
            };
        }
        match &value {
            Value::Flow(flow) if at == 0 => {
                if let Some(leaf) = self.state_leaf(flow)? {
                    return Ok(Value::Flow(leaf));
                }
                // Where a graph reads one position only, that is the first.
                match self.unrolled.time {
                    None => self.read(flow, 0).map(Value::Flow),
                    Some(_) => Ok(value),
                }
            }
            // A constant is added as a bias, and multiplies as a matrix.
            Value::Constant(_) if op != "Mul" && op != "Concat" => Ok(value),
            Value::Zeros(_) | Value::Constant(_) if at == 0 => {
                Ok(zeros(&value, width)?.map_or(value, Value::Flow))
            }
            _ => Ok(value),
        }
    }

    /// A vector of the step before, as the next step sees it: what was computed from h alone belongs to the next step.
    fn carried(&mut self, step: Stepped<'_>) -> Result<Flow, Why> {
        let Stepped { flow, term, at } = step;
        let term = match &term.kind {
            Kind::Zero => term.clone(),
            Kind::Affine(Affine { input: None, recurrent: Some(Matrix { of, weights }), bias }) => {
                let state = self.state_after(of, at)?;
                let matrix = Matrix { of: state, weights: weights.clone() };
                Term::new(Kind::Affine(Affine { input: None, recurrent: Some(matrix), bias: bias.clone() }))?
            }
            _ => self.state_after(term, at)?,
        };
        Ok(Flow { content: Content::Cell(term), position: Position::At(at + 1), ..flow.clone() })
    }

    fn state_after(&mut self, term: &Arc<Term>, at: usize) -> Result<Arc<Term>, Why> {
        let Unrolled { before, places, .. } = &mut self.unrolled;
        let place = *places.entry(Arc::as_ptr(term)).or_insert_with(|| {
            before.push(Before::Step { term: term.clone(), at });
            before.len() - 1
        });
        Term::new(Kind::State(place))
    }

    /// What runs along all positions at one of them, as a step reads it.
    pub(super) fn read(&mut self, flow: &Flow, at: usize) -> Result<Flow, Why> {
        let refused = || format!("a step reads {}", flow.content.describe());
        let mut affine = None;
        let source = match &flow.content {
            Content::Row(_) | Content::OneHot | Content::Hidden(_) => flow.content.clone(),
            Content::Output(head, Scores::Logits) => {
                affine = Some((Block::out_in(&head.weights)?, head.bias.clone()));
                Content::Hidden(head.layer)
            }
            Content::Dense(dense) if dense.window.is_none() && dense.scores == Scores::Logits => {
                let mut inner = Dense::clone(dense);
                let last = inner.layers.pop_if(|layer| layer.activation.is_none());
                affine =
                    last.map(|last| Ok::<_, Why>((Block::out_in(&last.weights)?, last.bias))).transpose()?;
                match inner.layers.is_empty() {
                    true => Content::Row(inner.table),
                    false => Content::Dense(Arc::new(inner)),
                }
            }
            _ => return Err(refused()),
        };
        let sources = &mut self.unrolled.sources;
        let place = sources.iter().position(|other| same_source(other, &source)).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        });
        let mut term = Term::new(Kind::Read(place))?;
        if let Some((weights, bias)) = affine {
            term = term::product(&term, &weights)?;
            if let Some(bias) = bias {
                term = term::biased(&term, bias)?;
            }
        }
        Ok(Flow { axes: flow.axes.clone(), content: Content::Cell(term), position: Position::At(at) })
    }

    /// A node's result, where it is at one position what a step can read.
    pub(super) fn as_read(&mut self, value: Value) -> Result<Value, Why> {
        match &value {
            Value::Flow(flow @ Flow { position: Position::At(at), content, .. })
                if !matches!(content, Content::Input(_) | Content::Cell(_)) =>
            {
                self.read(flow, *at).map(Value::Flow)
            }
            _ => Ok(value),
        }
    }
}

/// What a node's input is prepared for.
#[derive(Clone, Copy)]
struct Alignment<'n> {
    op: &'n str,
    at: usize,
    /// The features of the other input.
    width: usize,
}

/// Whether a `Concat` is one of vectors side by side.
fn joins_features(known: &Known<'_>, steps: &[Stepped<'_>]) -> Result<bool, Why> {
    let rank = steps[0].flow.axes.len();
    Ok(axis_of(known.node.int("axis")?.unwrap_or(1), rank)? + 1 == rank)
}

/// Zeros of `width` features, where a value is that; `None` for another value.
fn zeros(value: &Value, width: usize) -> Result<Option<Flow>, Why> {
    let rank = match value {
        Value::Zeros(rank) => *rank,
        Value::Constant(tensor) => {
            let is_fitting = tensor.as_floats().is_some() && tensor.shape.last() == Some(&width);
            Some(tensor.shape.len()).filter(|_| is_fitting && value.is_zeros())
        }
        _ => None,
    };
    rank.filter(|&rank| rank > 1).map(|rank| step_flow(Kind::Zero, rank, width)).transpose()
}

/// A leaf at the first position. Its axes are of size 1, as a step is followed for one row alone.
fn step_flow(kind: Kind, rank: usize, width: usize) -> Result<Flow, Why> {
    let mut axes = vec![Axis::new(); rank - 1];
    axes.push(vec![along_features(width)]);
    Ok(Flow { axes, content: Content::Cell(Term::new(kind)?), position: Position::At(0) })
}

/// Whether two positions are read of the same.
fn same_source(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (Content::OneHot, Content::OneHot) => true,
        (Content::Row(a), Content::Row(b)) => Arc::ptr_eq(a, b),
        (Content::Hidden(a), Content::Hidden(b)) => a == b,
        (Content::Dense(a), Content::Dense(b)) => {
            let is_same = |(a, b): (&super::dense::DenseLayer, &super::dense::DenseLayer)| {
                Arc::ptr_eq(&a.weights, &b.weights) && a.bias == b.bias && a.activation == b.activation
            };
            Arc::ptr_eq(&a.table, &b.table)
                && a.layers.len() == b.layers.len()
                && a.layers.iter().zip(&b.layers).all(is_same)
        }
        _ => false,
    }
}
