//! What is known of a tensor without running anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::axes::{Axis, Size};
use super::dense::Dense;
use super::fixed_scales::Scaling;
use super::norm::{Moment, Normed};
use super::starts::Repeated;
use super::term::Term;
use crate::onnx::graph::Element;
use crate::onnx::scores::Scores;
use crate::onnx::tensor::Tensor;
use crate::rnn::Norm;

/// A tensor of the graph, as far as it is understood.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Arc<Tensor>),
    /// Zeros of a shape that callers decide, with the number of its dimensions, where that is known.
    Zeros(Option<usize>),
    Repeated(Repeated),
    /// Integers that follow from the shapes of inputs.
    Sizes(Sizes),
    /// What is on the way from the token ids to the logits.
    Flow(Flow),
    /// Elements of these inputs, moved and not changed: a state on its way in.
    State(BTreeSet<usize>),
    /// States after the last position, moved and not changed.
    Final(BTreeSet<Carried>),
    Quantised(Quantised),
    /// Not understood, with the node at fault and the reason.
    Unknown(Arc<str>),
}

/// A vector that a layer carries from position to position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Carried {
    pub(super) layer: usize,
    pub(super) vector: Vector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vector {
    H,
    C,
}

/// Integers; `None` for one that is not known.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    One(Option<Size>),
    List(Vec<Option<Size>>),
    /// Any number of times the same.
    Repeated(Size),
}

/// Something that every position has.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) axes: Vec<Axis>,
    pub(super) content: Content,
    pub(super) position: Position,
}

/// Which positions a [`Flow`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    All,
    First,
    Last,
    /// One of a fixed number, as a layer's step reads it that the graph writes out for each.
    At(usize),
}

/// What a position has in a [`Flow`].
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// An element of an input.
    Input(MovedInput),
    /// A 1 at the token's place.
    OneHot,
    /// The token's row of a table `[vocab, features]`.
    Row(Arc<Tensor>),
    /// The h of a layer.
    Hidden(usize),
    /// The h of a layer, normalised.
    Normed(Arc<Normed>),
    /// An intermediate result of a normalisation.
    Moment(Arc<Moment>),
    /// What affine layers make of the token's row, or of a window of them.
    Dense(Arc<Dense>),
    /// What a step of a loop computes.
    Cell(Arc<Term>),
    /// What the output layer makes.
    Output(Arc<Head>, Scores),
}

/// An input that has only been moved and cast.
#[derive(Clone, Copy, Debug)]
pub(super) struct MovedInput {
    pub(super) index: usize,
    /// The integers from 0 to below this one have come through every cast.
    pub(super) exact_below: i64,
    pub(super) form: Form,
}

/// What was computed of an input's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing, whatever they are.
    Raw,
    /// Nothing, as they are token ids.
    Ids,
    /// Another finite number.
    Shifted,
    /// The same truth value for each.
    Truth(bool),
    /// Nothing, but it is only those at one index of an axis: a layer's part of a state.
    Part(usize),
}

/// An output layer, `logits = weights n(h) + bias`.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The layer whose h it reads.
    pub(super) layer: usize,
    /// What h goes through first, n.
    pub(super) norms: Vec<Norm>,
    /// `[vocab, hidden]`.
    pub(super) weights: Arc<Tensor>,
    /// `[vocab]`.
    pub(super) bias: Option<Vec<f32>>,
}

/// The parts of a product in integers (operators `DynamicQuantizeLinear` and `MatMulInteger`); `id` tells which quantised tensor.
#[derive(Clone, Debug)]
pub(super) enum Quantised {
    /// `flow` in integers, by a scale of the file.
    Fixed {
        flow: Flow,
        scaling: Scaling,
    },
    Values {
        id: usize,
        flow: Flow,
    },
    ScaleOf {
        id: usize,
        times: Option<Arc<Tensor>>,
    },
    ZeroOf {
        id: usize,
    },
    /// Of `flow` and `weights` `[features, columns]`, without any scale.
    Product {
        id: usize,
        flow: Flow,
        weights: Arc<Tensor>,
    },
}

impl Value {
    /// Whether all elements are zeros.
    pub(super) fn is_zeros(&self) -> bool {
        match self {
            Value::Zeros(_) => true,
            Value::Constant(tensor) => tensor.leading_zeros(usize::MAX) == tensor.len(),
            _ => false,
        }
    }

    /// Elements of the constants that it is made of.
    pub(super) fn table_len(&self) -> usize {
        match self {
            Value::Constant(tensor) => tensor.len(),
            Value::Flow(flow) => flow.content.table_len(),
            Value::Quantised(Quantised::Product { weights, .. }) => weights.len(),
            _ => 0,
        }
    }

    /// Elements of a matrix that it is, before any scale.
    pub(super) fn matrix_len(&self) -> usize {
        match self {
            Value::Constant(tensor) => tensor.len(),
            Value::Quantised(Quantised::Product { weights, .. }) => weights.len(),
            _ => 0,
        }
    }

    /// What is on the way to the logits, also in integers.
    pub(super) fn flow(&self) -> Option<&Flow> {
        match self {
            Value::Flow(flow) => Some(flow),
            Value::Quantised(
                Quantised::Fixed { flow, .. }
                | Quantised::Values { flow, .. }
                | Quantised::Product { flow, .. },
            ) => Some(flow),
            _ => None,
        }
    }

    /// Numbers that it takes memory for, but for constants, which are counted as they are made.
    pub(super) fn own_len(&self) -> usize {
        match self {
            Value::Sizes(Sizes::List(list)) => list.iter().flatten().map(|size| 1 + size.symbols.len()).sum(),
            Value::State(inputs) => inputs.len(),
            Value::Final(carried) => carried.len(),
            value => value.flow().map_or(0, |flow| {
                flow.axes.iter().map(|axis| 1 + axis.len()).sum::<usize>() + flow.content.own_len()
            }),
        }
    }

    /// As integers along one dimension at most.
    pub(super) fn as_sizes(&self) -> Option<Sizes> {
        match self {
            Value::Sizes(sizes) => Some(sizes.clone()),
            Value::Constant(tensor) => {
                let size = |&value: &i64| Some(Size::fixed(value));
                let ints = tensor.as_list()?;
                match tensor.shape.len() {
                    0 => ints.first().map(|value| Sizes::One(size(value))),
                    1 => Some(Sizes::List(ints.iter().map(size).collect())),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// In a few words.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Constant(tensor) => format!("a constant {:?}", tensor.shape),
            Value::Zeros(_) => "zeros".into(),
            Value::Repeated(_) => "a constant for every row".into(),
            Value::Sizes(_) => "sizes of an input".into(),
            Value::Flow(flow) => flow.content.describe(),
            Value::State(_) => "a part of an input".into(),
            Value::Final(_) => "a state".into(),
            Value::Quantised(_) => "a quantised tensor".into(),
            Value::Unknown(why) => why.to_string(),
        }
    }
}

impl Content {
    /// Elements of the constants that it is made of.
    fn table_len(&self) -> usize {
        match self {
            Content::Row(table) => table.len(),
            Content::Output(head, _) => head.weights.len(),
            Content::Dense(dense) => dense.table_len(),
            Content::Moment(moment) => moment.source().content.table_len(),
            // Its matrices are parts of constants that the graph has.
            Content::Cell(_) => 0,
            Content::Input(_) | Content::OneHot | Content::Hidden(_) | Content::Normed(_) => 0,
        }
    }

    /// Numbers in vectors that no other tensor has.
    fn own_len(&self) -> usize {
        let len = |vector: &Option<Vec<f32>>| vector.as_ref().map_or(0, Vec::len);
        match self {
            Content::Normed(normed) if Arc::strong_count(normed) == 1 => {
                normed.norms.iter().map(|norm| norm.scale.len() + norm.shift.len()).sum()
            }
            Content::Moment(moment) if Arc::strong_count(moment) == 1 => {
                len(&moment.scale) + len(&moment.shift)
            }
            Content::Output(head, _) if Arc::strong_count(head) == 1 => len(&head.bias),
            Content::Cell(term) => term.own_len(),
            _ => 0,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Content::Input(_) => "an input".into(),
            Content::OneHot => "one-hot token ids".into(),
            Content::Row(_) => "the embedding".into(),
            Content::Hidden(layer) => format!("h of layer {layer}"),
            Content::Normed(normed) => format!("h of layer {}, normalised", normed.layer),
            Content::Moment(_) => "a part of a normalisation".into(),
            Content::Dense(dense) => dense.describe(),
            Content::Cell(_) => "a vector of a step".into(),
            Content::Output(_, scores) => scores.name().into(),
        }
    }
}

impl Sizes {
    pub(super) fn into_list(self) -> Option<Vec<Option<Size>>> {
        match self {
            Sizes::One(size) => Some(vec![size]),
            Sizes::List(sizes) => Some(sizes),
            Sizes::Repeated(_) => None,
        }
    }
}

/// The integers from 0 to below this one are numbers of the type.
pub(super) fn exact_below(element: Element) -> i64 {
    match element {
        Element::F16 => 1 << 11,
        Element::Bf16 => 1 << 8,
        Element::F32 => 1 << 24,
        Element::F64 => 1 << 53,
        other => crate::onnx::fold::integer_range(other).map_or(0, |range| range.end().saturating_add(1)),
    }
}
