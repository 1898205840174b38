//! Loops over the positions (operators `Loop` and `Scan`) whose body is the step of one cell: layers, as exporters write them that have
//! no recurrent node for a layer.
//!
//! The body is followed node by node like the graph around it. What it carries from step to step is a cell's state if the terms
//! that it leaves are those of a cell, and the loop is a layer if it runs once for each position, from the first to the last.

use std::sync::Arc;

use super::axes::{Axis, Size};
use super::body::{Body, Bound, Places, Source, step_plus};
use super::cell::{FoundCell, cell};
use super::network::FoundLayer;
use super::value::{Carried, Content, Flow, Position, Sizes, Value, Vector};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::graph::{Attribute, Nested};
use crate::onnx::tensor::Tensor;

/// The loop whose body is followed.
pub(super) struct Looping {
    /// How often it runs.
    trip: Size,
    /// What the body reads at each position, once it has read it.
    source: Option<Source>,
}

impl<'g> Found<'g> {
    /// A `Loop` over the positions.
    pub(super) fn looped(&mut self, known: &Known<'g>) -> Result<Vec<Value>, Why> {
        let Some(Attribute::Graphs(graphs)) = known.node.attribute("body") else {
            return Err("its body is missing".into());
        };
        let [nested] = graphs.as_slice() else { return Err("it has several bodies".into()) };
        let trip = match known.optional(0).and_then(Value::as_sizes) {
            Some(Sizes::One(Some(trip))) => trip,
            Some(Sizes::List(list)) if list.len() == 1 => {
                list[0].clone().ok_or("its number of steps is not known")?
            }
            _ => return Err("its number of steps is not known".into()),
        };
        if known.optional(1).is_some_and(|condition| !holds(condition)) {
            return Err("its condition may not hold at the start".into());
        }
        let body = Body {
            nested,
            carried: Places { input: 2, output: 1 },
            count: known.inputs.len().saturating_sub(2),
        };
        let scanned = nested.outputs.len().checked_sub(1 + body.count);
        let (Some(_), true) = (scanned, nested.inputs.len() == 2 + body.count) else {
            return Err("its body has other inputs and outputs than the loop".into());
        };
        let initial: Vec<Value> =
            (2..known.inputs.len()).map(|index| known.value(index).cloned()).collect::<Result<_, _>>()?;
        let mut bound = vec![
            (nested.inputs[0].name.as_str(), Value::Sizes(Sizes::One(Some(step_plus(0))))),
            (nested.inputs[1].name.as_str(), Value::Sizes(Sizes::One(Some(Size::fixed(1))))),
        ];
        bound.extend(body.bound(&initial)?);
        let inside = self.follow(nested, bound, Looping { trip: trip.clone(), source: None })?;
        if !inside.outputs.first().is_some_and(holds) {
            return Err("its condition may end it before the last position".into());
        }
        self.layer_of(known, &Followed { body, initial, inside, trip })
    }

    /// A `Scan` over the positions, forward along the first axis.
    pub(super) fn scanned(&mut self, known: &Known<'g>) -> Result<Vec<Value>, Why> {
        let node = known.node;
        let Some(Attribute::Graphs(graphs)) = node.attribute("body") else {
            return Err("its body is missing".into());
        };
        let [nested] = graphs.as_slice() else { return Err("it has several bodies".into()) };
        for name in ["scan_input_directions", "scan_output_directions", "scan_input_axes", "scan_output_axes"]
        {
            if node.ints(name)?.is_some_and(|values| values.iter().any(|&value| value != 0)) {
                return Err(format!("attribute `{name}` is not 0"));
            }
        }
        let read = node.int("num_scan_inputs")?.unwrap_or(0);
        let count = known.inputs.len().checked_sub(1).ok_or("it has no inputs")?;
        if read != 1
            || self.graph.opset < 9
            || nested.inputs.len() != known.inputs.len()
            || nested.outputs.len() < count
        {
            return Err(format!("it reads {read} inputs step by step, expected 1"));
        }
        let name = node.inputs[count].as_str();
        let flow = self.flow_over_positions(known.value(count)?)?;
        let source = Source { name: name.to_owned(), flow, axis: 0 };
        let trip = Size::of(source.flow.axes.first().ok_or("its input has no axis")?);
        let body = Body { nested, carried: Places { input: 0, output: 0 }, count };
        let initial: Vec<Value> =
            (0..count).map(|index| known.value(index).cloned()).collect::<Result<_, _>>()?;
        let mut bound = vec![(nested.inputs[count].name.as_str(), source.at_step()?)];
        bound.extend(body.bound(&initial)?);
        let inside = self.follow(nested, bound, Looping { trip: trip.clone(), source: Some(source) })?;
        self.layer_of(known, &Followed { body, initial, inside, trip })
    }

    /// Follows a body whose inputs have the values `bound`; its names are forgotten afterwards, as another body may use them again.
    fn follow(&mut self, nested: &'g Nested, bound: Bound<'g>, looping: Looping) -> Result<Inside, Why> {
        if self.looping.is_some() {
            return Err("it is within another loop".into());
        }
        let mut names = Vec::new();
        self.looping = Some(looping);
        let outputs = self.follow_nodes(nested, bound, &mut names);
        let source = self.looping.take().and_then(|looping| looping.source);
        for name in names {
            self.values.remove(name);
        }
        Ok(Inside { outputs: outputs?, source })
    }

    /// The outputs of a body; `names` gets what it writes.
    fn follow_nodes(
        &mut self,
        nested: &'g Nested,
        bound: Bound<'g>,
        names: &mut Vec<&'g str>,
    ) -> Result<Vec<Value>, Why> {
        let constant =
            |(name, tensor): (&'g String, &Arc<Tensor>)| (name.as_str(), Value::Constant(tensor.clone()));
        for (name, value) in bound.into_iter().chain(nested.constants.iter().map(constant)) {
            self.check_new(name)?;
            names.push(name);
            self.values.insert(name, value);
        }
        for node in &nested.nodes {
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                self.written(name)?;
            }
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                self.check_new(name)?;
                names.push(name);
            }
            self.step(node);
        }
        nested.outputs.iter().map(|name| self.written(name).cloned()).collect()
    }

    fn check_new(&self, name: &str) -> Result<(), Why> {
        match self.values.contains_key(name) {
            true => Err(format!("its body writes `{name}`, which already exists")),
            false => Ok(()),
        }
    }

    fn written(&self, name: &str) -> Result<&Value, Why> {
        self.values
            .get(name)
            .ok_or_else(|| format!("its body reads `{name}`, which nothing writes before it"))
    }

    /// `Gather` of the current position of a tensor over all positions; `None` for any other node.
    pub(super) fn read_at_step(&mut self, known: &Known<'_>) -> Result<Option<Value>, Why> {
        let is_step =
            |index: &Value| matches!(index, Value::Sizes(Sizes::One(Some(size))) if *size == step_plus(0));
        if self.looping.is_none() || known.node.op != "Gather" || !known.optional(1).is_some_and(is_step) {
            return Ok(None);
        }
        let flow = self.flow_over_positions(known.value(0)?)?;
        let axis = axis_of(known.node.int("axis")?.unwrap_or(0), flow.axes.len())?;
        let source = Source { name: known.node.inputs[0].clone(), flow, axis };
        let value = source.at_step()?;
        let Some(looping) = &mut self.looping else { return Ok(None) };
        if Size::of(&source.flow.axes[axis]) != looping.trip {
            return Err("it does not read every position".into());
        }
        match &looping.source {
            Some(before) if before.name != source.name || before.axis != axis => {
                Err(format!("its step reads `{}` and `{}`", before.name, source.name))
            }
            _ => {
                looping.source = Some(source);
                Ok(Some(value))
            }
        }
    }

    fn flow_over_positions(&mut self, value: &Value) -> Result<Flow, Why> {
        let Value::Flow(flow) = value else {
            return Err(format!("its steps read {}, expected an embedding or a layer", value.describe()));
        };
        let mut flow = flow.clone();
        self.vectors(&mut flow);
        Ok(flow)
    }

    /// The layer that a loop is, and what the loop's outputs are.
    fn layer_of(&mut self, known: &Known<'_>, followed: &Followed<'_>) -> Result<Vec<Value>, Why> {
        let Followed { body, initial, inside, trip } = followed;
        let source = inside.source.as_ref().ok_or("its steps read nothing")?;
        let vectors = body.vectors(initial, &inside.outputs)?;
        let found = cell(&vectors.terms)?;
        let inputs = source.inputs(trip)?;
        let FoundCell { cell, gru_form, gate_activation, h, c, hidden, w, r, b, projection } = found;
        if w.shape.last() != Some(&inputs.features) {
            return Err(format!("its weights are {:?} for {} features", w.shape, inputs.features));
        }
        self.folder.room(w.len() + r.len())?;
        let layer = FoundLayer {
            node: known.node.name.clone(),
            op: known.node.op.clone(),
            cell,
            gru_form,
            gate_activation,
            hidden_size: hidden,
            input_size: inputs.features,
            source: self.layer_input(&source.flow.content, inputs.features)?,
            w,
            r,
            b,
            projection,
            h0: None,
            c0: None,
        };
        let mut layer = self.joined_below(&source.flow.content, layer)?;
        self.set_time(&inputs)?;
        let at = self.layers.len();
        let carried = |vector: Vector| Carried { layer: at, vector };
        let width = layer.width();
        layer.h0 = self.start(Some(&initial[vectors.slots[h]]), carried(Vector::H), width)?;
        if let Some(c) = c {
            layer.c0 = self.start(Some(&initial[vectors.slots[c]]), carried(Vector::C), hidden)?;
        }
        self.layers.push(layer);
        let layer = LoopLayer { at, time: inputs.time.clone() };
        let mut outputs: Vec<Value> = initial.clone();
        for (slot, output) in outputs.iter_mut().enumerate() {
            match vectors.slots.iter().position(|&of| of == slot) {
                Some(place) if place == h => *output = layer.last(&vectors.axes[place]),
                Some(_) => *output = Value::Final([carried(Vector::C)].into()),
                None if body.is_passed_on(slot) => {}
                None => *output = Value::Unknown("a counter of a loop is not known after it".into()),
            }
        }
        for stacked in &inside.outputs[body.carried.output + body.count..] {
            outputs.push(match stacked {
                Value::Flow(Flow { content: Content::Cell(term), axes, .. })
                    if Arc::ptr_eq(term, &vectors.terms[h]) =>
                {
                    layer.all(axes)
                }
                other => Value::Unknown(
                    format!("node `{}`: it collects {}", known.node.name, other.describe()).into(),
                ),
            });
        }
        Ok(outputs)
    }
}

/// A body once it was followed.
struct Followed<'g> {
    body: Body<'g>,
    /// What is carried into the first step.
    initial: Vec<Value>,
    inside: Inside,
    trip: Size,
}

/// What a body makes.
struct Inside {
    outputs: Vec<Value>,
    source: Option<Source>,
}

/// A loop's layer, and what runs along the positions.
struct LoopLayer {
    at: usize,
    time: Axis,
}

impl LoopLayer {
    /// h after the last step, with the axes that it has in a step.
    fn last(&self, axes: &[Axis]) -> Value {
        // With a single position the last is all there is, and the next layer may read it.
        let position = if self.time.is_empty() { Position::All } else { Position::Last };
        Value::Flow(Flow { axes: axes.to_vec(), content: Content::Hidden(self.at), position })
    }

    /// h after each step, along a new first axis.
    fn all(&self, axes: &[Axis]) -> Value {
        let axes = [std::slice::from_ref(&self.time), axes].concat();
        Value::Flow(Flow { axes, content: Content::Hidden(self.at), position: Position::All })
    }
}

/// Whether a condition is known to hold.
fn holds(condition: &Value) -> bool {
    match condition {
        Value::Constant(tensor) => tensor.as_ints().is_some_and(|values| values.len() == 1 && values[0] != 0),
        Value::Sizes(Sizes::One(Some(size))) => size.number().is_some_and(|number| number != 0),
        _ => false,
    }
}

impl Looping {
    /// Whether `a` is less than `b` whenever another step follows.
    pub(super) fn is_less(&self, a: &Size, b: &Size) -> bool {
        let is_early = [step_plus(0), step_plus(1)].contains(a);
        is_early && *b == self.trip
    }
}
