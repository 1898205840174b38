//! The runtime for graphs that are safe but are not a known network: from a graph to a model that tract runs.

mod feeding;
mod guard;
mod interface;
mod probe;
mod program;
mod safety;
mod scores;
mod sizes;
mod stateful;
mod stems;
mod weights;
mod windowed;

use std::sync::Arc;

use super::graph::{Dim, Graph};
use super::scores::Scores;
use super::{Candidate, Examined, Understanding};
use crate::error::{Error, Result};
use crate::lm::{Backend, Dtype, Model, ModelInfo, TokenId, Window};
use crate::probe::Trial;
use feeding::Feeding;
use interface::{Interface, normaliser};
use probe::{Compared, ignores_past, probes};
use program::{Program, Source, operators};
use safety::check_safe;
use stateful::Stateful;
use weights::WeightCount;
use windowed::Windowed;

/// A graph that runs.
struct Running {
    model: Arc<dyn Model>,
    /// What its logits output holds.
    scores: Scores,
    /// What its owner should know.
    warnings: Vec<String>,
}

/// Ids and states are exact as `f32` below this.
const VOCAB_MAX: usize = 1 << 24;

/// Makes what it can of a graph whose recurrent nodes are all on the allowlist; `understanding` says why it was not lowered.
pub(super) fn examine(candidate: &Candidate<'_>, mut understanding: Understanding) -> Examined {
    let Candidate { graph, hints, .. } = *candidate;
    let interface = check_safe(graph, &operators()).and_then(|()| Interface::detect(graph, hints));
    let running = interface.and_then(|interface| {
        understanding.inputs = interface.inputs(graph);
        understanding.interface = Some(interface.hints(graph));
        understanding.warnings.extend(interface.warnings.clone());
        let running = Opening { candidate, interface: &interface }.run();
        let scores = running.as_ref().map_or(Scores::Logits, |running| running.scores);
        understanding.outputs = interface.outputs(graph, scores);
        running
    });
    let model = running.and_then(|running| match hints.gru_linear_before_reset {
        None => {
            understanding.warnings.extend(running.warnings);
            Ok(running.model)
        }
        Some(_) => Err(Error::load(
            "the manifest sets `gru_linear_before_reset`, which only a graph that is a known network can follow; this one is run as it is",
        )),
    });
    let model = model.map_err(|error| error.within(understanding.cannot_run()));
    Examined { model, understanding }
}

/// A graph whose inputs and outputs are understood.
struct Opening<'a> {
    candidate: &'a Candidate<'a>,
    interface: &'a Interface,
}

impl Opening<'_> {
    fn run(&self) -> Result<Running> {
        self.try_first()?;
        let running = match self.interface.feeding {
            Feeding::Steps { fixed } => self.steps(fixed),
            Feeding::Window { axis, len } => self.window(axis, len),
        };
        running.and_then(|running| self.check_scores(running))
    }

    /// Has a child process do first what follows: tract allocates and computes whatever the graph asks for.
    fn try_first(&self) -> Result<()> {
        let Candidate { path, hints, probe, .. } = *self.candidate;
        let Some(probe) = probe else { return Ok(()) };
        let input = serde_json::to_vec(hints).expect("what a manifest says is JSON");
        probe.run(&Trial { kind: "graph", path, input: &input })
    }

    fn graph(&self) -> &Graph {
        self.candidate.graph
    }

    /// The shape of the input for ids, as the file has it.
    fn ids_shape(&self) -> &[Dim] {
        self.graph().inputs[self.interface.tokens].shape.as_deref().unwrap_or_default()
    }

    fn compile(&self, tokens: &[usize]) -> Result<Program> {
        let Candidate { path, graph, .. } = *self.candidate;
        Program::compile(&Source { path, graph, interface: self.interface, tokens })
    }

    /// Reads one id at a time, the state carried; `fixed` is the file's own number of ids where it is not free.
    fn steps(&self, fixed: Option<usize>) -> Result<Running> {
        let ids = vec![1; self.ids_shape().len()];
        let program = self.compile(&ids).map_err(|error| match fixed {
            None => error,
            Some(fixed) => error.within(format!(
                "the file fixes the number of token ids to {fixed}; expected 1, or a free number"
            )),
        })?;
        let mut warnings = Vec::new();
        if let Some(fixed) = fixed {
            self.check_steps(&program)?;
            warnings.push(format!(
                "the file fixes the number of token ids to {fixed}; it is run with 1, which gave the same states"
            ));
        }
        let vocab_size = vocab_size(program.logits_shape().iter().product())?;
        let state = vec![0.0; program.state_len()];
        let runs = probes(vocab_size, 1).map(|ids| Ok(program.run(&ids, &state)?.logits));
        let scores = probe::scores(runs)?;
        let info = info(self.graph(), vocab_size, Stateful::state_len(program.state_len()));
        Ok(Running { model: Arc::new(Stateful { info, program, scores }), scores, warnings })
    }

    /// Compares reading the file's own number of ids at once with reading one at a time.
    fn check_steps(&self, steps: &Program) -> Result<()> {
        let shape = self.ids_shape().iter().map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(_) | Dim::Unknown => 1,
        });
        let shape: Vec<usize> = shape.collect();
        let whole = self.compile(&shape)?;
        let vocab_size = vocab_size(steps.logits_shape().iter().product())?;
        Compared { whole: &whole, steps, len: shape.iter().product(), vocab_size }.check_states()
    }

    /// Reads the last `len` ids at once, along the dimension `axis` of the input.
    fn window(&self, axis: usize, len: usize) -> Result<Running> {
        let mut ids = vec![1; self.ids_shape().len()];
        if let Some(size) = ids.get_mut(axis) {
            *size = len;
        }
        let program = self.compile(&ids)?;
        let shape = program.logits_shape();
        let values: usize = shape.iter().product();
        let vocab_size = vocab_size(shape.last().copied().unwrap_or(0))?;
        if values != vocab_size && values != len * vocab_size {
            return Err(Error::load(format!(
                "the logits have the shape {shape:?}, expected one or {len} positions of the vocabulary's size"
            )));
        }
        let pad = self.pad(len, vocab_size)?;
        let last = values - vocab_size..values;
        let run =
            |ids: &[TokenId]| program.run(ids, &[]).map(|outputs| outputs.logits[last.clone()].to_vec());
        let scores = probe::scores(probes(vocab_size, len).map(|ids| run(&ids)))?;
        if len > 1 && probes(vocab_size, len).all(|ids| ignores_past(ids, run)) {
            return Err(Error::load(format!(
                "the logits follow from the last of {len} token ids alone, expected from all; a batch was taken for them, or the state is lost"
            )));
        }
        let info = info(self.graph(), vocab_size, len);
        let window = Window { len, pad };
        let model = Arc::new(Windowed { info, program, scores, last, window });
        Ok(Running { model, scores, warnings: Vec::new() })
    }

    /// What stands in a window of `len` ids before the first token.
    fn pad(&self, len: usize, vocab_size: usize) -> Result<TokenId> {
        // A window of one id is full after the first token, and before it there is nothing to predict from.
        let pad = self.candidate.hints.pad.or((len == 1).then_some(0));
        match pad {
            None => Err(Error::load(format!(
                "the graph reads the last {len} token ids: `onnx.pad` in the manifest names the entry that stands before the first"
            ))),
            Some(pad) if pad as usize >= vocab_size => {
                Err(Error::load(format!("`onnx.pad` is the id {pad}, expected one below {vocab_size}")))
            }
            Some(pad) => Ok(pad),
        }
    }

    /// Refuses a graph whose own probabilities are not over the vocabulary.
    fn check_scores(&self, running: Running) -> Result<Running> {
        let output = &self.graph().outputs[self.interface.logits].name;
        let Some(node) = normaliser(self.graph(), output) else { return Ok(running) };
        let expected = if node.op == "Softmax" { Scores::Probabilities } else { Scores::LogProbabilities };
        match running.scores == expected {
            true => Ok(running),
            false => Err(Error::load(format!(
                "node `{}` ({}) does not normalise over the vocabulary, the last dimension of `{output}`",
                node.name, node.op
            ))),
        }
    }
}

fn vocab_size(found: usize) -> Result<usize> {
    match (1..=VOCAB_MAX).contains(&found) {
        true => Ok(found),
        false => Err(Error::load(format!("the logits are of {found} tokens, expected 1 to {VOCAB_MAX}"))),
    }
}

fn info(graph: &Graph, vocab_size: usize, state_len: usize) -> ModelInfo {
    let WeightCount { parameter_count, dtype } = WeightCount::of(graph);
    ModelInfo {
        cell: None,
        vocab_size,
        hidden_sizes: Vec::new(),
        state_len,
        parameter_count,
        weights_dtype: dtype,
        effective_dtype: Dtype::F32,
        backend: Backend::Tract,
    }
}

#[cfg(test)]
mod tests;
