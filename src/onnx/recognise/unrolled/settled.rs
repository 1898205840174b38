//! What becomes of the last steps' vectors where no other step reads them: h and c of a layer, or what the output layer makes of h.

use std::sync::Arc;

use super::canon::same_bias;
use super::layer::c_of;
use super::{Found, Known, Stepped};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::graph::Dim;
use crate::onnx::recognise::axes::{Along, Part};
use crate::onnx::recognise::block::Block;
use crate::onnx::recognise::term::{Affine, Kind, Matrix, Term};
use crate::onnx::recognise::value::{Carried, Content, Flow, Head, Position, Value, Vector};
use crate::onnx::scores::Scores;

/// A layer's h at a position, or an affine layer on it.
struct Ending {
    layer: usize,
    affine: Option<(Block, Option<Vec<f32>>)>,
}

impl Ending {
    fn same(&self, other: &Self) -> bool {
        let is_same_affine = match (&self.affine, &other.affine) {
            (None, None) => true,
            (Some((a, a_bias)), Some((b, b_bias))) => {
                a.same(b) && same_bias(a_bias.as_deref(), b_bias.as_deref())
            }
            _ => false,
        };
        self.layer == other.layer && is_same_affine
    }

    fn content(self) -> Content {
        match self.affine {
            None => Content::Hidden(self.layer),
            Some((weights, bias)) => {
                let head = Head { layer: self.layer, norms: Vec::new(), weights: weights.turned(), bias };
                Content::Output(Arc::new(head), Scores::Logits)
            }
        }
    }
}

impl Found<'_> {
    /// Settles the outputs of the graph that are vectors of a step.
    pub(in crate::onnx::recognise) fn settle_outputs(&mut self) {
        for port in &self.graph.outputs {
            let value = self.values[port.name.as_str()].clone();
            let Some(step) = Stepped::of(&value) else { continue };
            let settled = self.settled(step).unwrap_or_else(|why| {
                let writes = |name: &String| *name == port.name;
                let node = self.graph.nodes.iter().find(|node| node.outputs.iter().any(writes));
                let node = node.map_or(port.name.as_str(), |node| node.name.as_str());
                Value::Unknown(format!("node `{node}`: {why}").into())
            });
            self.values.insert(&port.name, settled);
        }
    }

    /// Settles the inputs of a node that is no part of a step.
    pub(super) fn settle_inputs(&mut self, known: &mut Known<'_>) -> Result<(), Why> {
        for value in known.inputs.iter_mut().flatten() {
            let settled = Stepped::of(value).map(|step| self.settled(step)).transpose()?;
            if let Some(settled) = settled {
                *value = settled;
            }
        }
        Ok(())
    }

    fn settled(&mut self, step: Stepped<'_>) -> Result<Value, Why> {
        let Stepped { flow, term, at } = step;
        if let Some(carried) = self.settled_c(term, at)? {
            return Ok(Value::Final([carried].into()));
        }
        let ending = self.ending(term, at)?;
        self.check_rows(flow, ending.layer)?;
        let position = match at {
            0 if self.unrolled.len() == 1 => Position::All,
            at if at == self.unrolled.last() => Position::Last,
            0 => Position::First,
            at => return Err(format!("it is of position {at} alone")),
        };
        Ok(Value::Flow(Flow { content: ending.content(), position, axes: flow.axes.clone() }))
    }

    /// The layer that `term` is c of after the last position.
    fn settled_c(&mut self, term: &Arc<Term>, at: usize) -> Result<Option<Carried>, Why> {
        if at != self.unrolled.last() || !matches!(term.kind, Kind::Sum(..)) {
            return Ok(None);
        }
        let is_of = |h: &Arc<Term>| c_of(h).is_some_and(|c| Arc::ptr_eq(&c, term));
        let h =
            self.values.values().filter_map(Stepped::of).map(|step| step.term).find(|h| is_of(h)).cloned();
        let Some(h) = h else { return Ok(None) };
        let layer = self.unrolled_layer(&h, at)?;
        let layer = &self.unrolled.layers[layer];
        let is_c = layer.c.as_ref().is_some_and(|c| Arc::ptr_eq(c, term));
        Ok(is_c.then_some(Carried { layer: layer.layer, vector: Vector::C }))
    }

    fn ending(&mut self, term: &Arc<Term>, at: usize) -> Result<Ending, Why> {
        let on = |matrix: &Matrix, bias: &Option<Vec<f32>>| {
            (matrix.of.clone(), Some((matrix.weights.clone(), bias.clone())))
        };
        let (h, affine) = match &term.kind {
            Kind::Affine(Affine { input: Some(matrix), recurrent: None, bias }) => on(matrix, bias),
            Kind::Affine(Affine { input: None, recurrent: Some(matrix), bias }) => on(matrix, bias),
            _ => (term.clone(), None),
        };
        let layer = match &h.kind {
            Kind::Read(read) => match self.unrolled.sources[*read] {
                Content::Hidden(layer) => layer,
                ref other => return Err(format!("it is of {} at one position", other.describe())),
            },
            _ => {
                let layer = self.unrolled_layer(&h, at)?;
                self.unrolled.layers[layer].layer
            }
        };
        Ok(Ending { layer, affine })
    }

    /// A `Concat` of what all steps leave, in their order, along a new axis: the positions. `None` where it joins something else.
    pub(super) fn collected(
        &mut self,
        known: &Known<'_>,
        steps: &[Stepped<'_>],
    ) -> Result<Option<Value>, Why> {
        let is_all = steps.len() == known.inputs.len() && steps.len() == self.unrolled.len();
        let is_in_order = steps.iter().enumerate().all(|(at, step)| step.at == at);
        let Some(time) = self.unrolled.time.filter(|_| is_all && is_in_order) else { return Ok(None) };
        let first = steps[0].flow;
        let axis = axis_of(known.node.int("axis")?.unwrap_or(0), first.axes.len())?;
        if steps.iter().any(|step| step.flow.axes != first.axes) || !first.axes[axis].is_empty() {
            return Err("it joins steps of several shapes".into());
        }
        let last = self.unrolled.last();
        let ending = self.ending(steps[last].term, last)?;
        for step in &steps[..last] {
            if !self.ending(step.term, step.at)?.same(&ending) {
                return Err(format!("what it joins differs at position {}", step.at));
            }
        }
        let mut axes = first.axes.clone();
        axes[axis] = vec![time];
        Ok(Some(Value::Flow(Flow { axes, content: ending.content(), position: Position::All })))
    }

    /// Where a graph reads one position, checks that what a state has rows for are the rows of the ids, and not positions: a
    /// free dimension of both has one name.
    fn check_rows(&self, flow: &Flow, layer: usize) -> Result<(), Why> {
        if self.unrolled.time.is_some() {
            return Ok(());
        }
        let starts = self.starts.iter().filter(|start| start.carried.layer == layer);
        let ports = starts.map(|start| &self.graph.inputs[start.input]);
        let shapes: Vec<&[Dim]> = ports.map(|port| port.shape.as_deref().unwrap_or_default()).collect();
        for &Part { along, .. } in flow.axes.iter().flatten() {
            let Along::Input { input, axis } = along else { continue };
            let dim = self.graph.inputs[input].shape.as_deref().and_then(|shape| shape.get(axis));
            let is_rows = |shape: &&[Dim]| dim.is_some_and(|dim| *dim != Dim::Unknown && shape.contains(dim));
            if !shapes.iter().all(is_rows) {
                return Err(format!(
                    "dimension {axis} of `{}` may count positions: no state has it",
                    self.graph.inputs[input].name
                ));
            }
        }
        Ok(())
    }
}
