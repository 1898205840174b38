//! An unrolled layer from its last h: the cell that its last step is, and that every step before it is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::canon::{Leaves, Rewriter, Unified};
use super::{Before, Found, Other};
use crate::onnx::fold::Why;
use crate::onnx::recognise::cell::{FoundCell, cell};
use crate::onnx::recognise::network::{FoundLayer, LayerInput};
use crate::onnx::recognise::recurrent::Inputs;
use crate::onnx::recognise::term::{Function, Kind, Term};
use crate::onnx::recognise::value::{Carried, Content, Flow, Position, Value, Vector};

/// A layer that a graph has unrolled.
pub(super) struct UnrolledLayer {
    /// Its place among all layers.
    pub(super) layer: usize,
    /// h after each position.
    pub(super) h: Vec<Arc<Term>>,
    /// c after the last.
    pub(super) c: Option<Arc<Term>>,
}

/// What the steps of a layer read: what runs along the positions, or the h of another layer at the same position.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Read(usize),
    Layer(usize),
}

/// A step whose cell is known: all others must be the same.
struct Model {
    source: Source,
    /// h with the state in places 0 and 1.
    h: Arc<Term>,
    cell: FoundCell,
    /// The states of the last step.
    states: States,
}

/// Places of what a step starts from.
#[derive(Clone, Copy)]
struct States {
    h: usize,
    c: Option<usize>,
}

impl Found<'_> {
    /// The unrolled layer, by its place among such, whose step at the position `at` leaves `h`.
    pub(super) fn unrolled_layer(&mut self, h: &Arc<Term>, at: usize) -> Result<usize, Why> {
        let is_own = |layer: &super::UnrolledLayer| layer.h.get(at).is_some_and(|own| Arc::ptr_eq(own, h));
        if let Some(place) = self.unrolled.layers.iter().position(is_own) {
            return Ok(place);
        }
        if at != self.unrolled.last() {
            return Err(format!("it uses h of position {at}, and not of every position"));
        }
        if let Some(other) = self.unrolled.others.get(&Arc::as_ptr(h)) {
            return Err(other.why.clone());
        }
        let layer = self.model(h, at).and_then(|model| self.steps_of(&model, h));
        match layer {
            Ok(layer) => self.unrolled.layers.push(layer),
            Err(why) => {
                let other = Other { _term: h.clone(), why: why.clone() };
                self.unrolled.others.insert(Arc::as_ptr(h), other);
                return Err(why);
            }
        }
        Ok(self.unrolled.layers.len() - 1)
    }

    /// The cell that the last step is, by its h.
    fn model(&mut self, h: &Arc<Term>, at: usize) -> Result<Model, Why> {
        let source = self.source(h, at)?;
        let own = self.own_step(source, h, at)?;
        let states: Vec<usize> = Leaves::of(&own).states.into_iter().collect();
        let orders: &[States] = match *states.as_slice() {
            [h] => &[States { h, c: None }],
            [a, b] => &[States { h: a, c: Some(b) }, States { h: b, c: Some(a) }],
            _ => return Err("its step is none of an RNN, a GRU or an LSTM".into()),
        };
        let mut refusal = None;
        for &states in orders {
            let renamed = renamed(&own, states)?;
            let carried = match states.c {
                None => vec![renamed.clone()],
                Some(_) => [Some(renamed.clone()), c_of(&renamed)].into_iter().flatten().collect(),
            };
            match cell(&carried) {
                Ok(cell) if cell.h == 0 && cell.c.is_some() == states.c.is_some() => {
                    return Ok(Model { source, h: renamed, cell, states });
                }
                Ok(_) => {}
                Err(why) => refusal = Some(why),
            }
        }
        Err(refusal.unwrap_or_else(|| "its step is none of an RNN, a GRU or an LSTM".into()))
    }

    /// What a step with this h reads.
    fn source(&mut self, h: &Arc<Term>, at: usize) -> Result<Source, Why> {
        let leaves = Leaves::of(h);
        for below in &leaves.multiplied {
            if let Ok(layer) = self.unrolled_layer(below, at) {
                return Ok(Source::Layer(layer));
            }
        }
        match leaves.reads.into_iter().collect::<Vec<_>>()[..] {
            [read] => Ok(Source::Read(read)),
            [] => Err("its step reads nothing".into()),
            _ => Err("its step reads more than one vector of its position".into()),
        }
    }

    /// A step's h as a term over what it reads and its own state.
    fn own_step(&self, source: Source, h: &Arc<Term>, at: usize) -> Result<Arc<Term>, Why> {
        let below = match source {
            Source::Read(_) => None,
            Source::Layer(layer) => self.unrolled.layers[layer].h.get(at),
        };
        let replace = |term: &Arc<Term>| {
            let is_input = match (&term.kind, source) {
                (Kind::Read(read), Source::Read(own)) => *read == own,
                _ => below.is_some_and(|below| Arc::ptr_eq(below, term)),
            };
            is_input.then_some(Kind::Input)
        };
        let step = Rewriter::new(&replace).rewritten(h)?;
        match Leaves::of(&step).reads.is_empty() {
            true => Ok(step),
            false => Err("its step reads more than one vector of its position".into()),
        }
    }

    /// Follows the layer from its last step to its first.
    fn steps_of(&mut self, model: &Model, last: &Arc<Term>) -> Result<UnrolledLayer, Why> {
        let mut h = vec![last.clone()];
        let mut states = Some(model.states);
        for at in (0..self.unrolled.last()).rev() {
            let carried = states.ok_or("its first steps start from zeros")?;
            let before = self.left_at(carried.h, at)?;
            if let Some(c) = carried.c {
                let c = self.left_at(c, at)?;
                if !c_of(&before).is_some_and(|own| Arc::ptr_eq(&own, &c)) {
                    return Err(self.other_step(&before, at, "has another c"));
                }
            }
            states = self.same_step(model, &before, at)?;
            h.push(before);
        }
        h.reverse();
        let layer = self.layers.len();
        let starts = self.starts_of(states)?;
        self.push_unrolled(model, last)?;
        let width = self.layers[layer].width();
        for (vector, input) in starts {
            self.start(Some(&Value::State([input].into())), Carried { layer, vector }, width)?;
        }
        Ok(UnrolledLayer { layer, h, c: c_of(last) })
    }

    /// What the step at the position `at` left in a place.
    fn left_at(&self, place: usize, at: usize) -> Result<Arc<Term>, Why> {
        match &self.unrolled.before[place] {
            Before::Step { term, at: left } if *left == at => Ok(term.clone()),
            _ => Err(format!(
                "the step at position {} does not start from what the one before it leaves",
                at + 1
            )),
        }
    }

    /// Checks that a step is that of `model`. Returns what it starts from, and none for zeros.
    fn same_step(&self, model: &Model, h: &Arc<Term>, at: usize) -> Result<Option<States>, Why> {
        let refused = |found: &str| self.other_step(h, at, found);
        let own = self.own_step(model.source, h, at).map_err(|why| refused(&format!("differs: {why}")))?;
        let mut unified = Unified::default();
        if Leaves::of(&own).states.is_empty() && at == 0 {
            let zeros = |term: &Arc<Term>| matches!(term.kind, Kind::State(_)).then_some(Kind::Zero);
            let first = Rewriter::new(&zeros).rewritten(&model.h)?;
            return match unified.unify(&first, &own) {
                true => Ok(None),
                false => Err(refused("differs")),
            };
        }
        if !unified.unify(&model.h, &own) {
            return Err(refused("differs"));
        }
        let h = unified.states.get(&0).copied().ok_or_else(|| refused("has no state"))?;
        Ok(Some(States { h, c: unified.states.get(&1).copied() }))
    }

    fn other_step(&self, h: &Arc<Term>, at: usize, found: &str) -> Why {
        let node = self.node_of(h);
        format!(
            "the step at position {at}, which ends in node `{node}`, {found}; expected the same operators and weights at every position"
        )
    }

    /// The node that computes a term.
    fn node_of(&self, term: &Arc<Term>) -> String {
        let is_own = |name: &String| match self.values.get(name.as_str()) {
            Some(Value::Flow(Flow { content: Content::Cell(own), .. })) => Arc::ptr_eq(own, term),
            _ => false,
        };
        let node = self.graph.nodes.iter().find(|node| node.outputs.iter().any(is_own));
        node.map_or_else(String::new, |node| node.name.clone())
    }

    /// The inputs that the first step starts from.
    fn starts_of(&self, states: Option<States>) -> Result<Vec<(Vector, usize)>, Why> {
        let Some(States { h, c }) = states else { return Ok(Vec::new()) };
        let places = [Some((Vector::H, h)), c.map(|c| (Vector::C, c))];
        let start = |(vector, place): (Vector, usize)| match self.unrolled.before[place] {
            Before::Input { input, .. } => Ok((vector, input)),
            Before::Step { .. } => Err("its first step starts from another step".into()),
        };
        places.into_iter().flatten().map(start).collect()
    }

    /// Adds the layer of `model` to those of the network.
    fn push_unrolled(&mut self, model: &Model, last: &Arc<Term>) -> Result<(), Why> {
        let FoundCell {
            cell, gru_form, gate_activation, hidden, ref w, ref r, ref b, ref projection, ..
        } = model.cell;
        let features = w.shape[2];
        self.folder.room(w.len() + r.len())?;
        let source = match model.source {
            Source::Layer(below) => {
                LayerInput::Layer { place: self.unrolled.layers[below].layer, norms: Vec::new() }
            }
            Source::Read(read) => {
                let content = self.unrolled.sources[read].clone();
                self.layer_input(&content, features)?
            }
        };
        let flow = Flow { axes: Vec::new(), content: Content::Hidden(0), position: Position::All };
        let time = self.unrolled.time.into_iter().collect();
        self.set_time(&Inputs { flow: &flow, time, rows: Vec::new(), features, is_batch_first: false })?;
        let steps = self.unrolled.len();
        self.layers.push(FoundLayer {
            node: self.node_of(last),
            op: format!("{} of {steps} step{} written out", cell.name(), if steps == 1 { "" } else { "s" }),
            cell,
            gru_form,
            gate_activation,
            hidden_size: hidden,
            input_size: features,
            source,
            w: w.clone(),
            r: r.clone(),
            b: b.clone(),
            projection: projection.clone(),
            h0: None,
            c0: None,
        });
        Ok(())
    }
}

/// `step` with its states in places 0, for h, and 1, for c.
fn renamed(step: &Arc<Term>, states: States) -> Result<Arc<Term>, Why> {
    let mut places = BTreeMap::from([(states.h, 0)]);
    places.extend(states.c.map(|c| (c, 1)));
    let replace = |term: &Arc<Term>| match &term.kind {
        Kind::State(state) => places.get(state).map(|&place| Kind::State(place)),
        _ => None,
    };
    Rewriter::new(&replace).rewritten(step)
}

/// c of an LSTM whose h is `o * tanh(c)`.
pub(super) fn c_of(h: &Term) -> Option<Arc<Term>> {
    let Kind::Product(a, b) = &h.kind else { return None };
    [b, a].into_iter().find_map(|factor| match &factor.kind {
        Kind::Activated(Function::Tanh, c) => Some(c.clone()),
        _ => None,
    })
}
