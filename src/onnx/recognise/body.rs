//! The body of a loop: what it carries from step to step, and what it reads at each.

use std::sync::Arc;

use super::axes::{Along, Axis, Part, Size};
use super::recurrent::Inputs;
use super::term::{Kind, Term};
use super::tokens::along_features;
use super::value::{Content, Flow, Position, Sizes, Value};
use crate::onnx::fold::Why;
use crate::onnx::graph::{Dim, Nested, Port};

/// The values of a body's inputs, by name.
pub(super) type Bound<'g> = Vec<(&'g str, Value)>;

/// How a body names what goes round.
pub(super) struct Body<'g> {
    pub(super) nested: &'g Nested,
    /// The first of the inputs that are carried from step to step, and of the outputs that carry them on.
    pub(super) carried: Places,
    /// How many are carried.
    pub(super) count: usize,
}

/// Places in the lists of a body's inputs and outputs.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) input: usize,
    pub(super) output: usize,
}

/// Something carried that is a vector of a cell.
pub(super) struct Vectors {
    /// Its place among all that is carried.
    pub(super) slots: Vec<usize>,
    pub(super) terms: Vec<Arc<Term>>,
    /// The axes of each, with the features last.
    pub(super) axes: Vec<Vec<Axis>>,
}

/// A tensor over all positions.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) flow: Flow,
    /// The axis that runs along the positions.
    pub(super) axis: usize,
}

/// The counter of the loop's steps, plus a number.
pub(super) fn step_plus(number: i64) -> Size {
    Size { fixed: 1, symbols: vec![Along::Step], plus: number }
}

impl<'g> Body<'g> {
    /// What the body sees of all that is carried, which begins as `initial`.
    pub(super) fn bound(&self, initial: &[Value]) -> Result<Bound<'g>, Why> {
        const CARRIED_MAX: usize = 64;

        if initial.len() > CARRIED_MAX {
            return Err(format!("it carries {} tensors, expected at most {CARRIED_MAX}", initial.len()));
        }
        let mut bound = Vec::new();
        let mut vectors = 0;
        for (slot, initial) in initial.iter().enumerate() {
            let port = &self.nested.inputs[self.carried.input + slot];
            let is_zero = |sizes: Sizes| matches!(sizes, Sizes::One(Some(size)) if size.number() == Some(0));
            let value = if self.is_passed_on(slot) {
                initial.clone()
            } else if initial.as_sizes().is_some_and(is_zero) {
                Value::Sizes(Sizes::One(Some(step_plus(0))))
            } else {
                vectors += 1;
                state(port, vectors - 1)?
            };
            bound.push((port.name.as_str(), value));
        }
        Ok(bound)
    }

    /// Whether something carried stays what it was.
    pub(super) fn is_passed_on(&self, slot: usize) -> bool {
        let input = self.nested.inputs[self.carried.input + slot].name.as_str();
        let mut name = self.nested.outputs[self.carried.output + slot].as_str();
        for node in self.nested.nodes.iter().rev().filter(|node| node.op == "Identity" && node.is_standard())
        {
            if node.outputs.first().is_some_and(|output| output == name) {
                name = node.input(0).unwrap_or_default();
            }
        }
        name == input
    }

    /// What is carried that is neither passed on nor a counter, as terms of what was carried before.
    pub(super) fn vectors(&self, initial: &[Value], outputs: &[Value]) -> Result<Vectors, Why> {
        let mut vectors = Vectors { slots: Vec::new(), terms: Vec::new(), axes: Vec::new() };
        for (slot, (_, before)) in self.bound(initial)?.into_iter().enumerate() {
            if self.is_passed_on(slot) {
                continue;
            }
            match (before, &outputs[self.carried.output + slot]) {
                (_, Value::Unknown(why)) => return Err(why.to_string()),
                (Value::Sizes(Sizes::One(Some(step))), Value::Sizes(Sizes::One(Some(next))))
                    if step.plus(1).as_ref() == Some(next) => {}
                (Value::Flow(before), Value::Flow(Flow { content: Content::Cell(term), axes, .. }))
                    if axes.len() == before.axes.len() =>
                {
                    vectors.slots.push(slot);
                    vectors.terms.push(term.clone());
                    vectors.axes.push(axes.clone());
                }
                (_, other) => return Err(format!("it carries {} on, expected a state", other.describe())),
            }
        }
        Ok(vectors)
    }
}

impl Source {
    /// What a step reads.
    pub(super) fn at_step(&self) -> Result<Value, Why> {
        let mut axes = self.flow.axes.clone();
        axes.remove(self.axis);
        let term = Term::new(Kind::Input)?;
        Ok(Value::Flow(Flow { axes, content: Content::Cell(term), position: Position::All }))
    }

    /// The same as a recurrent node's input.
    pub(super) fn inputs(&self, trip: &Size) -> Result<Inputs<'_>, Why> {
        let mut axes = self.flow.axes.clone();
        let time = axes.remove(self.axis);
        let Some(&[Part { along: Along::Features, size: Some(features) }]) = axes.last().map(Vec::as_slice)
        else {
            return Err("the last dimension of what its steps read is not that of the features".into());
        };
        axes.pop();
        let rows: Axis = axes.concat();
        if Size::of(&time) != *trip {
            return Err("it does not run once for each position".into());
        }
        Ok(Inputs { flow: &self.flow, time, rows, features, is_batch_first: false })
    }
}

/// A vector that the step before left, the one at `place` among them, as a body sees it that declares `port`.
fn state(port: &Port, place: usize) -> Result<Value, Why> {
    let shape = port.shape.as_deref().unwrap_or_default();
    let Some((&Dim::Fixed(width), before)) = shape.split_last().filter(|_| port.element.is_float()) else {
        return Err(format!("its body does not tell the number of features of `{}`", port.name));
    };
    // A step is followed as for one row alone, which an axis of size 1 stands for.
    let axes = [vec![Axis::new(); before.len()], vec![vec![along_features(width)]]].concat();
    let content = Content::Cell(Term::new(Kind::State(place))?);
    Ok(Value::Flow(Flow { axes, content, position: Position::All }))
}
