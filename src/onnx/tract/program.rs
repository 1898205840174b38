//! A graph compiled by tract for inputs of one shape.
//!
//! Every run has a fresh run state, because one that is reused keeps what its loops remember, from one session to the next
//! (sonos/tract#2629).

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::{self, SimpleState};
use tract_onnx::tract_hir::infer::Factoid;

use super::guard::{guarded, said};
use super::interface::Interface;
use super::{given, sizes};
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::Hints;
use crate::onnx::graph::{Dim, Element, Graph, Port};
use crate::probe;

/// A graph whose sizes are all known. It holds no state: no run sees what another leaves behind.
pub(super) struct Program {
    runnable: Arc<TypedRunnableModel>,
    /// In the graph's order.
    feeds: Vec<Feed>,
    logits_shape: Vec<usize>,
    /// The tensors that it gives beside its logits and its state.
    traced: Vec<String>,
}

/// What a run gives.
pub(super) struct Outputs {
    /// As the graph has them: logits, or probabilities; of one position or of several, the last one last.
    pub(super) logits: Vec<f32>,
    /// `[state_len]`.
    pub(super) state: Vec<f32>,
    /// Those of [`Source::traced`] that are floats.
    pub(super) traced: Vec<Traced>,
}

/// A tensor inside a graph.
pub(super) struct Traced {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// What an input is fed.
struct Feed {
    datum: DatumType,
    shape: Vec<usize>,
    source: FeedSource,
}

enum FeedSource {
    Tokens,
    /// These values of the state.
    State(Range<usize>),
}

/// What a program is compiled from.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) graph: &'a Graph,
    /// What the manifest says of it.
    pub(super) hints: &'a Hints,
    pub(super) interface: &'a Interface,
    /// The shape of the ids.
    pub(super) tokens: &'a [usize],
    /// Tensors that are wanted beside the logits and the state.
    pub(super) traced: &'a [&'a str],
}

/// Bounds a state, in values.
const STATE_MAX: usize = 1 << 24;

/// The operators that tract implements; it may ignore attributes of theirs.
pub(super) fn operators() -> BTreeSet<String> {
    tract_onnx::onnx().op_register.0.into_keys().collect()
}

impl Program {
    /// Compiles a graph for ids of one shape, and a state of one sequence.
    ///
    /// # Errors
    /// `Load` with what tract says.
    pub(super) fn compile(source: &Source<'_>) -> Result<Self> {
        let Source { interface, traced, .. } = *source;
        let feeds = feeds(source)?;
        let shapes: Vec<_> = feeds.iter().map(|feed| (feed.datum, feed.shape.clone())).collect();
        let outputs: Vec<usize> =
            [interface.logits].into_iter().chain(interface.states.iter().map(|pair| pair.output)).collect();
        let compiled = guarded(|| {
            let mut model = parsed(source)?;
            for (index, (datum, shape)) in shapes.into_iter().enumerate() {
                model.set_input_fact(index, InferenceFact::dt_shape(datum, shape))?;
            }
            sizes::analyse(&mut model)?;
            check_weights(&model)?;
            let outlets = model.output_outlets()?.to_vec();
            let mut outlets: Vec<OutletId> = outputs.iter().map(|&output| outlets[output]).collect();
            let traced: Vec<(&str, OutletId)> =
                traced.iter().filter_map(|&name| Some((name, float_outlet(&model, name)?))).collect();
            outlets.extend(traced.iter().map(|(_, outlet)| outlet));
            model.select_output_outlets(&outlets)?;
            let names: Vec<String> = traced.iter().map(|&(name, _)| name.to_owned()).collect();
            probe::at(|| "the optimisation of the graph");
            Ok((model.into_optimized()?.into_runnable()?, names))
        });
        let (runnable, traced) =
            compiled.map_err(|error| Error::load(format!("tract cannot run it: {error}")))?;
        sizes::check_known(&runnable)?;
        let program = Self { logits_shape: concrete(&runnable, 0)?, runnable, feeds, traced };
        program.check_states(source)?;
        Ok(program)
    }

    /// Checks that every state comes out as it goes in.
    fn check_states(&self, source: &Source<'_>) -> Result<()> {
        let Source { graph, interface, .. } = *source;
        for (index, pair) in interface.states.iter().enumerate() {
            let found = concrete(&self.runnable, index + 1)?;
            let expected = &self.feeds[pair.input].shape;
            if found != *expected {
                let output = &graph.outputs[pair.output].name;
                let state = &graph.inputs[pair.input].name;
                return Err(Error::load(format!(
                    "the output `{output}` has the shape {found:?}, expected {expected:?} as the state `{state}`"
                )));
            }
        }
        Ok(())
    }

    /// Values of a state.
    pub(super) fn state_len(&self) -> usize {
        let ends = self.feeds.iter().map(|feed| match &feed.source {
            FeedSource::Tokens => 0,
            FeedSource::State(values) => values.end,
        });
        ends.max().unwrap_or(0)
    }

    /// The shape of [`Outputs::logits`].
    pub(super) fn logits_shape(&self) -> &[usize] {
        &self.logits_shape
    }

    /// Reads `ids`, whose number the program was compiled for, from the state `state` `[state_len]`.
    ///
    /// # Errors
    /// What tract says.
    pub(super) fn run(&self, ids: &[TokenId], state: &[f32]) -> Result<Outputs, String> {
        guarded(|| {
            let inputs = self.feeds.iter().map(|feed| feed.value(ids, state));
            let outputs = run_each(&self.runnable, inputs.collect::<TractResult<_>>()?)?;
            let (states, others) = outputs[1..].split_at(outputs.len() - 1 - self.traced.len());
            let mut next = Vec::with_capacity(state.len());
            for output in states {
                next.extend(floats(output)?);
            }
            let traced = self.traced.iter().zip(others).map(|(name, value)| {
                Ok(Traced { name: name.clone(), shape: value.shape().to_vec(), values: floats(value)? })
            });
            let traced = traced.collect::<TractResult<_>>()?;
            Ok(Outputs { logits: floats(&outputs[0])?, state: next, traced })
        })
    }
}

impl Feed {
    fn value(&self, ids: &[TokenId], state: &[f32]) -> TractResult<TValue> {
        fn of<T: Datum + Copy>(shape: &[usize], values: impl Iterator<Item = T>) -> TractResult<Tensor> {
            Tensor::from_shape(shape, &values.collect::<Vec<T>>())
        }
        let ids = ids.iter().copied();
        let tensor = match (&self.source, self.datum) {
            (FeedSource::Tokens, DatumType::I64) => of(&self.shape, ids.map(i64::from))?,
            // Ids are below the vocabulary's size, which is checked to be exact in each of these types.
            (FeedSource::Tokens, DatumType::I32) => of(&self.shape, ids.map(|id| id as i32))?,
            (FeedSource::Tokens, DatumType::F32) => of(&self.shape, ids.map(|id| id as f32))?,
            (FeedSource::Tokens, _) => of(&self.shape, ids.map(f64::from))?,
            (FeedSource::State(values), datum) => {
                let values = Tensor::from_shape(&self.shape, &state[values.clone()])?;
                values.cast_to_dt(datum)?.into_owned()
            }
        };
        Ok(tensor.into_tvalue())
    }
}

/// The file as tract reads it, with the values that the manifest has for inputs.
fn parsed(source: &Source<'_>) -> TractResult<InferenceModel> {
    let Source { path, graph, hints, .. } = *source;
    let reader = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    if hints.inputs.is_empty() {
        return reader.model_for_path(path);
    }
    let mut proto = reader.proto_model_for_path(path)?;
    given::add(&mut proto, graph, hints)?;
    let parsed = reader.parse(&proto, path.parent().and_then(Path::to_str))?;
    match parsed.unresolved_inputs.first() {
        None => Ok(parsed.model),
        Some(name) => Err(TractError::msg(format!("nothing gives `{name}`"))),
    }
}

/// A run in a fresh state, which says what it runs if this process is a child that tries the graph.
fn run_each(runnable: &Arc<TypedRunnableModel>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    SimpleState::new(runnable)?.run_plan_with_eval(inputs, |context, state, node, inputs| {
        probe::at(|| sizes::named(&node.name, &node.op.name()));
        plan::eval(context, state, node, inputs)
    })
}

/// What each input is fed. The values of states follow each other in the order of the inputs.
fn feeds(source: &Source<'_>) -> Result<Vec<Feed>> {
    let mut end = 0usize;
    let mut feeds = Vec::new();
    for (index, port) in source.graph.inputs.iter().enumerate() {
        let datum = datum(port)?;
        if index == source.interface.tokens {
            feeds.push(Feed { datum, shape: source.tokens.to_vec(), source: FeedSource::Tokens });
            continue;
        }
        let shape = one_sequence(port)?;
        let start = end;
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        let after = len.and_then(|len| len.checked_add(start)).filter(|&after| after <= STATE_MAX);
        end = after.ok_or_else(|| {
            Error::load(format!("the state `{port}` is too large; the maximum is {STATE_MAX} values in all"))
        })?;
        feeds.push(Feed { datum, shape, source: FeedSource::State(start..end) });
    }
    Ok(feeds)
}

/// The shape of a state with one sequence in it.
fn one_sequence(port: &Port) -> Result<Vec<usize>> {
    let Some(shape) = &port.shape else {
        return Err(Error::load(format!("the state `{}` has no shape, expected one", port.name)));
    };
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(_) | Dim::Unknown => 1,
    };
    Ok(shape.iter().map(size).collect())
}

fn datum(port: &Port) -> Result<DatumType> {
    Ok(match port.element {
        Element::F32 => DatumType::F32,
        Element::F16 => DatumType::F16,
        Element::F64 => DatumType::F64,
        Element::I64 => DatumType::I64,
        Element::I32 => DatumType::I32,
        _ => {
            return Err(Error::load(format!(
                "the input `{port}` has a type that cannot be fed; expected i64, i32, f16, f32 or f64"
            )));
        }
    })
}

fn concrete(runnable: &Arc<TypedRunnableModel>, output: usize) -> Result<Vec<usize>> {
    let fact = runnable.model().output_fact(output).map_err(|error| Error::load(said(&error)))?;
    fact.shape.as_concrete().map(<[usize]>::to_vec).ok_or_else(|| {
        Error::load(format!("the shape of an output is not known before it runs, found {:?}", fact.shape))
    })
}

/// The outlet of the tensor `name`, if it holds floats.
fn float_outlet(model: &InferenceModel, name: &str) -> Option<OutletId> {
    let outlet = model.find_outlet_label(name)?;
    let datum = model.outlet_fact(outlet).ok()?.datum_type.concretize()?;
    matches!(datum, DatumType::F16 | DatumType::F32 | DatumType::F64).then_some(outlet)
}

fn floats(value: &TValue) -> TractResult<Vec<f32>> {
    Ok(value.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// Refuses a recurrent node whose weights are not of the sizes that its input and its operator ask for: tract does not look.
fn check_weights(model: &InferenceModel) -> TractResult<()> {
    for node in model.nodes() {
        let gates = match &*node.op.name() {
            "RNN" => 1,
            "GRU" => 3,
            "LSTM" => 4,
            _ => continue,
        };
        let shape = |slot: usize| -> TractResult<Vec<i64>> {
            let Some(&input) = node.inputs.get(slot) else { return Ok(Vec::new()) };
            let dims = model.outlet_fact(input)?.shape.concretize();
            let sizes: Result<Vec<i64>, _> = dims.unwrap_or_default().iter().map(TDim::to_i64).collect();
            Ok(sizes?)
        };
        let x = shape(0)?;
        let w = shape(1)?;
        let r = shape(2)?;
        let fits = match (&x[..], &w[..], &r[..]) {
            (&[_, _, features], &[_, rows, width], &[_, r_rows, hidden]) => {
                features == width && rows == r_rows && rows == gates * hidden
            }
            _ => false,
        };
        if !fits {
            let name = &node.name;
            return Err(TractError::msg(format!(
                "node `{name}`: its input is {x:?}, its `W` {w:?} and its `R` {r:?}, which do not belong together"
            )));
        }
    }
    Ok(())
}
