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

use super::batch::Batch;
use super::guard::{guarded, said};
use super::interface::Interface;
use super::proto::proto;
use super::rows::Rows;
use super::sizes;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::graph::{Dim, Element, Graph, Port};
use crate::probe;

/// A graph whose sizes are all known. It holds no state: no run sees what another leaves behind.
pub(super) struct Program {
    runnable: Arc<TypedRunnableModel>,
    /// In the graph's order.
    feeds: Vec<Feed>,
    /// Of the row in the first place.
    logits_shape: Vec<usize>,
    /// Where that row is in the logits and in each state that comes out, if there are others beside it.
    rows_out: Vec<Rows>,
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

impl Traced {
    /// The values of the first of `rows` rows, if a dimension is as long; else all values.
    pub(super) fn first_of(&self, rows: usize) -> Vec<f32> {
        let Some(axis) = self.shape.iter().position(|&size| size == rows) else { return self.values.clone() };
        let inner: usize = self.shape[axis + 1..].iter().product();
        let blocks = self.values.chunks(inner * rows);
        blocks.flat_map(|block| block[..inner].iter().copied()).collect()
    }
}

/// What one row of a batch reads, and from which state `[state_len]`.
#[derive(Clone, Copy)]
pub(super) struct RowFed<'a> {
    pub(super) ids: &'a [TokenId],
    pub(super) state: &'a [f32],
}

/// What an input is fed.
struct Feed {
    datum: DatumType,
    /// Of one row.
    shape: Vec<usize>,
    /// Where the rows are, if there are several.
    rows: Option<Rows>,
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
    pub(super) interface: &'a Interface,
    /// The batch that it is run with; `None` for one row.
    pub(super) batch: Option<&'a Batch>,
    /// The shape of the ids of one row.
    pub(super) tokens: &'a [usize],
    /// Tensors that are wanted beside the logits and the state.
    pub(super) traced: &'a [&'a str],
}

/// Bounds a state, in values, those of all rows of a batch together.
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
        let shapes: Vec<_> = feeds.iter().map(|feed| (feed.datum, feed.fed_shape())).collect();
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
        let found = concrete(&runnable, 0)?;
        let feed = &feeds[interface.tokens];
        let of_logits = source
            .batch
            .map(|batch| Rows::of_logits(&found, &feed.fed_shape(), batch.axes[interface.tokens]));
        let of_logits = of_logits.transpose()?;
        let logits_shape = of_logits.as_ref().map_or_else(|| found.clone(), |rows| rows.shape_of_row(&found));
        let of_states = interface.states.iter().filter_map(|pair| feeds[pair.input].rows.clone());
        let rows_out = of_logits.into_iter().chain(of_states).collect();
        let program = Self { logits_shape, runnable, feeds, rows_out, traced };
        program.check_states(source)?;
        Ok(program)
    }

    /// Checks that every state comes out as it goes in.
    fn check_states(&self, source: &Source<'_>) -> Result<()> {
        let Source { graph, interface, .. } = *source;
        for (index, pair) in interface.states.iter().enumerate() {
            let found = concrete(&self.runnable, index + 1)?;
            let expected = self.feeds[pair.input].fed_shape();
            if found != expected {
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
        let row = RowFed { ids, state };
        self.run_beside(row, row)
    }

    /// Reads `row` in the first place of a batch whose other places `others` has; what comes out is the first row's.
    ///
    /// # Errors
    /// What tract says.
    pub(super) fn run_beside(&self, row: RowFed<'_>, others: RowFed<'_>) -> Result<Outputs, String> {
        guarded(|| {
            let inputs = self.feeds.iter().map(|feed| feed.value(row, others));
            let outputs = run_each(&self.runnable, inputs.collect::<TractResult<_>>()?)?;
            let (states, others) = outputs[1..].split_at(outputs.len() - 1 - self.traced.len());
            let first = |index: usize, value: &TValue| match self.rows_out.get(index) {
                Some(rows) => floats(&rows.first_of(value)?),
                None => floats(value),
            };
            let mut next = Vec::with_capacity(row.state.len());
            for (index, output) in states.iter().enumerate() {
                next.extend(first(index + 1, output)?);
            }
            let traced = self.traced.iter().zip(others).map(|(name, value)| {
                Ok(Traced { name: name.clone(), shape: value.shape().to_vec(), values: floats(value)? })
            });
            let traced = traced.collect::<TractResult<_>>()?;
            Ok(Outputs { logits: first(0, &outputs[0])?, state: next, traced })
        })
    }
}

impl Feed {
    /// The shape of all rows.
    fn fed_shape(&self) -> Vec<usize> {
        self.rows.as_ref().map_or_else(|| self.shape.clone(), |rows| rows.shape(&self.shape))
    }

    fn value(&self, row: RowFed<'_>, others: RowFed<'_>) -> TractResult<TValue> {
        let first = self.row(row)?;
        let all = match &self.rows {
            Some(rows) => rows.joined(&first, &self.row(others)?)?,
            None => first,
        };
        Ok(all.into_tvalue())
    }

    /// What one row is fed.
    fn row(&self, RowFed { ids, state }: RowFed<'_>) -> TractResult<Tensor> {
        fn of<T: Datum + Copy>(shape: &[usize], values: impl Iterator<Item = T>) -> TractResult<Tensor> {
            Tensor::from_shape(shape, &values.collect::<Vec<T>>())
        }
        let ids = ids.iter().copied();
        Ok(match (&self.source, self.datum) {
            (FeedSource::Tokens, DatumType::I64) => of(&self.shape, ids.map(i64::from))?,
            // Ids are below the vocabulary's size, which is checked to be exact in each of these types.
            (FeedSource::Tokens, DatumType::I32) => of(&self.shape, ids.map(|id| id as i32))?,
            (FeedSource::Tokens, DatumType::F32) => of(&self.shape, ids.map(|id| id as f32))?,
            (FeedSource::Tokens, _) => of(&self.shape, ids.map(f64::from))?,
            (FeedSource::State(values), datum) => {
                let values = Tensor::from_shape(&self.shape, &state[values.clone()])?;
                values.cast_to_dt(datum)?.into_owned()
            }
        })
    }
}

/// The graph as tract reads it.
fn parsed(source: &Source<'_>) -> TractResult<InferenceModel> {
    let Source { path, graph, .. } = *source;
    let reader = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let parsed = reader.parse(&proto(&reader, path, graph)?, path.parent().and_then(Path::to_str))?;
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
        let rows = source.batch.map(|batch| Rows::along(batch.axes[index], batch.rows));
        if index == source.interface.tokens {
            let shape = source.tokens.to_vec();
            feeds.push(Feed { datum, shape, rows, source: FeedSource::Tokens });
            continue;
        }
        let batch = source.interface.batch.as_ref();
        let shape = one_sequence(&batch.map_or_else(|| port.clone(), |batch| batch.row_of(port, index)))?;
        let start = end;
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        let count = source.batch.map_or(1, |batch| batch.rows);
        let is_bounded = |after: &usize| after.checked_mul(count).is_some_and(|all| all <= STATE_MAX);
        let after = len.and_then(|len| len.checked_add(start)).filter(is_bounded);
        end = after.ok_or_else(|| {
            Error::load(format!("the state `{port}` is too large; the maximum is {STATE_MAX} values in all"))
        })?;
        feeds.push(Feed { datum, shape, rows, source: FeedSource::State(start..end) });
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

fn floats(value: &Tensor) -> TractResult<Vec<f32>> {
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
