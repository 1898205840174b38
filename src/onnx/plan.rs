//! A graph that tract runs: shapes fixed, opened and run under guard.
//!
//! Every run has a fresh run state: one that is used again keeps what its loops remember from one session to the next
//! (sonos/tract#2629). Panics of tract become errors.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::{Arc, Once};

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::graph::{Dim, Element, Graph, Port};
use super::interface::Interface;
use crate::error::{Error, Result};
use crate::lm::TokenId;

/// A graph whose sizes are all known. It holds no state: what one run leaves behind, no other sees.
pub(super) struct Plan {
    runnable: Arc<TypedRunnableModel>,
    /// In the graph's order.
    inputs: Vec<Input>,
    /// Values of the state that each output after the first gives.
    states: Vec<Range<usize>>,
    logits_shape: Vec<usize>,
}

/// What a run gives.
pub(super) struct Outputs {
    /// As the graph has them: logits, or probabilities; of one position or of several, the last one last.
    pub(super) logits: Vec<f32>,
    /// `[state_len]`.
    pub(super) state: Vec<f32>,
}

struct Input {
    datum: DatumType,
    shape: Vec<usize>,
    feed: Feed,
}

enum Feed {
    Tokens,
    State(Range<usize>),
}

/// Bounds a state, in values.
const STATE_MAX: usize = 1 << 24;

/// The operators that tract has, whatever it makes of their attributes.
pub(super) fn operators() -> BTreeSet<String> {
    tract_onnx::onnx().op_register.0.into_keys().collect()
}

impl Plan {
    /// Opens the file with ids of the shape `tokens`, and a state of one sequence.
    ///
    /// # Errors
    /// `Load` with what tract says.
    pub(super) fn open(
        path: &Path,
        graph: &Graph,
        (interface, tokens): (&Interface, &[usize]),
    ) -> Result<Self> {
        let (inputs, states) = feeds(graph, interface, tokens)?;
        let shapes: Vec<_> = inputs.iter().map(|input| (input.datum, input.shape.clone())).collect();
        let outputs: Vec<usize> =
            [interface.logits].into_iter().chain(interface.states.iter().map(|pair| pair.output)).collect();
        let runnable = guarded(|| {
            let mut model = tract_onnx::onnx()
                .with_ignore_output_shapes(true)
                .with_ignore_value_info(true)
                .model_for_path(path)?;
            for (index, (datum, shape)) in shapes.into_iter().enumerate() {
                model.set_input_fact(index, InferenceFact::dt_shape(datum, shape))?;
            }
            model.analyse(false)?;
            check_weights(&model)?;
            let outlets = model.output_outlets()?.to_vec();
            let outlets: Vec<OutletId> = outputs.iter().map(|&output| outlets[output]).collect();
            model.select_output_outlets(&outlets)?;
            model.into_optimized()?.into_runnable()
        });
        let runnable = runnable.map_err(|error| Error::load(format!("tract cannot run it: {error}")))?;
        let logits_shape = concrete(&runnable, 0)?;
        for (index, (pair, range)) in interface.states.iter().zip(&states).enumerate() {
            let (found, input) = (concrete(&runnable, index + 1)?, &inputs[pair.input]);
            if found != input.shape {
                let (output, state) = (&graph.outputs[pair.output].name, &graph.inputs[pair.input].name);
                let expected = &input.shape;
                return Err(Error::load(format!(
                    "the output `{output}` has the shape {found:?}, expected {expected:?} as the state `{state}`"
                )));
            }
            debug_assert_eq!(range.len(), found.iter().product::<usize>());
        }
        Ok(Self { runnable, inputs, states, logits_shape })
    }

    /// Values of a state.
    pub(super) fn state_len(&self) -> usize {
        self.states.last().map_or(0, |last| last.end)
    }

    /// The shape of [`Outputs::logits`].
    pub(super) fn logits_shape(&self) -> &[usize] {
        &self.logits_shape
    }

    /// Reads `ids`, as many as the plan was opened for, in the state `state` `[state_len]`.
    ///
    /// # Errors
    /// What tract says.
    pub(super) fn run(&self, ids: &[TokenId], state: &[f32]) -> Result<Outputs, String> {
        guarded(|| {
            let inputs = self.inputs.iter().map(|input| input.value(ids, state));
            let outputs = self.runnable.run(inputs.collect::<TractResult<_>>()?)?;
            let mut next = Vec::with_capacity(state.len());
            for output in &outputs[1..] {
                next.extend(floats(output)?);
            }
            Ok(Outputs { logits: floats(&outputs[0])?, state: next })
        })
    }
}

impl Input {
    fn value(&self, ids: &[TokenId], state: &[f32]) -> TractResult<TValue> {
        fn of<T: Datum + Copy>(shape: &[usize], values: impl Iterator<Item = T>) -> TractResult<Tensor> {
            Tensor::from_shape(shape, &values.collect::<Vec<T>>())
        }
        let ids = ids.iter().copied();
        let tensor = match (&self.feed, self.datum) {
            (Feed::Tokens, DatumType::I64) => of(&self.shape, ids.map(i64::from))?,
            // Ids are below the vocabulary's size, which is checked to be exact in each of these types.
            (Feed::Tokens, DatumType::I32) => of(&self.shape, ids.map(|id| id as i32))?,
            (Feed::Tokens, DatumType::F32) => of(&self.shape, ids.map(|id| id as f32))?,
            (Feed::Tokens, _) => of(&self.shape, ids.map(f64::from))?,
            (Feed::State(range), datum) => {
                let values = Tensor::from_shape(&self.shape, &state[range.clone()])?;
                values.cast_to_dt(datum)?.into_owned()
            }
        };
        Ok(tensor.into_tvalue())
    }
}

/// What goes into each input, and where the values of each state lie.
fn feeds(graph: &Graph, interface: &Interface, tokens: &[usize]) -> Result<(Vec<Input>, Vec<Range<usize>>)> {
    let mut states: Vec<Range<usize>> = Vec::new();
    let mut inputs = Vec::new();
    for (index, port) in graph.inputs.iter().enumerate() {
        let datum = datum(port)?;
        if index == interface.tokens {
            inputs.push(Input { datum, shape: tokens.to_vec(), feed: Feed::Tokens });
            continue;
        }
        let shape = one_sequence(port)?;
        let start = states.last().map_or(0, |last| last.end);
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        let end = len.and_then(|len| len.checked_add(start)).filter(|&end| end <= STATE_MAX);
        let Some(end) = end else {
            return Err(Error::load(format!(
                "the state `{port}` is too large, expected {STATE_MAX} values at most"
            )));
        };
        states.push(start..end);
        inputs.push(Input { datum, shape, feed: Feed::State(start..end) });
    }
    Ok((inputs, states))
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
        _ => return Err(Error::load(format!("the input `{port}` is of a type that is not fed"))),
    })
}

fn concrete(runnable: &Arc<TypedRunnableModel>, output: usize) -> Result<Vec<usize>> {
    let fact = runnable.model().output_fact(output).map_err(|error| Error::load(said(&error)))?;
    fact.shape.as_concrete().map(<[usize]>::to_vec).ok_or_else(|| {
        Error::load(format!("the shape of an output is not known before it runs, found {:?}", fact.shape))
    })
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
        let (x, w, r) = (shape(0)?, shape(1)?, shape(2)?);
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

/// Runs `work`; a panic is an error too, and is told as one alone.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    thread_local! {
        static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();

    // The usual hook would write a message, and with a backtrace take longer than the load.
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                usual(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    // What `work` leaves half done is its own: run states are fresh, plans immutable.
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(false);
    match done {
        Ok(done) => done.map_err(|error| said(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(format!("it panicked: {}", short(text)))
        }
    }
}

/// An error with its causes, on one line.
fn said(error: &TractError) -> String {
    short(&format!("{error:#}"))
}

/// Errors of tract can hold a whole node.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 400;

    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_on_one_line() {
        let found = guarded::<()>(|| panic!("range end\n  index {} out of range.", 4));
        assert_eq!(found.unwrap_err(), "it panicked: range end index 4 out of range");
        let found = guarded::<()>(|| Err(TractError::msg("inner").context("outer")));
        assert_eq!(found.unwrap_err(), "outer: inner");
        assert!(short(&"x".repeat(1000)).len() < 500);
    }
}
