//! From a graph whose inputs and outputs are understood to a model that tract runs, checked by first runs.

use std::sync::Arc;

use super::Running;
use super::batch::Batch;
use super::feeding::{Feeding, Length};
use super::fixed_batch::FixedBatch;
use super::head::Head;
use super::interface::Interface;
use super::positions::Positions;
use super::probe::{self, ignores_past, probes};
use super::program::{Program, Source};
use super::stateful::Stateful;
use super::weights::WeightCount;
use super::windowed::Windowed;
use crate::error::{Error, Result};
use crate::lm::{Backend, Dtype, ModelInfo, TokenId, Window};
use crate::onnx::Candidate;
use crate::onnx::graph::{Dim, Graph};
use crate::onnx::scores::Scores;
use crate::probe::Trial;

/// A graph whose inputs and outputs are understood.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) interface: &'a Interface,
    /// The batch that it is run with; `None` for one row.
    pub(super) batch: Option<&'a Batch>,
}

/// Ids and states are exact as `f32` below this.
const VOCAB_MAX: usize = 1 << 24;

impl Opening<'_> {
    /// Compiles the graph and tries it.
    ///
    /// # Errors
    /// `Load` when tract cannot run it, or would give other numbers than the graph is for.
    pub(super) fn run(&self) -> Result<Running> {
        let feeding = self.interface.feeding.clone()?;
        self.try_first()?;
        match &self.interface.batch {
            None => self.fed(&feeding),
            Some(batch) => FixedBatch { opening: *self, batch, feeding: &feeding }.run(),
        }
    }

    /// The same for a graph that is fed in this way.
    pub(super) fn fed(&self, feeding: &Feeding) -> Result<Running> {
        match feeding {
            Feeding::Steps(length) => self.steps(length),
            &Feeding::Window { axis, len } => self.window(axis, len),
        }
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

    fn logits_name(&self) -> &str {
        &self.graph().outputs[self.interface.logits].name
    }

    /// The shape of the input for ids, as the file has it.
    fn ids_shape(&self) -> &[Dim] {
        self.graph().inputs[self.interface.tokens].shape.as_deref().unwrap_or_default()
    }

    /// The graph for `len` ids along the dimension `axis` of their input, and one along all others; also with the tensors `traced` as
    /// outputs.
    ///
    /// # Errors
    /// `Load` with what tract says.
    pub(super) fn compile(&self, Ids { axis, len }: Ids, traced: &[&str]) -> Result<Program> {
        let Candidate { path, graph, .. } = *self.candidate;
        let Self { interface, batch, .. } = *self;
        let mut tokens = vec![1; self.ids_shape().len()];
        if let Some(size) = tokens.get_mut(axis) {
            *size = len;
        }
        Program::compile(&Source { path, graph, interface, batch, tokens: &tokens, traced })
    }

    /// Reads one id at a time, the state carried.
    fn steps(&self, length: &Length) -> Result<Running> {
        let program = self.compile(Ids::ONE, &[]).map_err(|error| match length {
            Length::One | Length::Free { .. } => error,
            Length::Fixed { len, .. } => error.within(format!(
                "the file fixes the number of token ids to {len}; expected 1, or a free number"
            )),
        })?;
        let vocab_size = self.vocab_size(program.logits_shape().iter().product())?;
        let state = vec![0.0; program.state_len()];
        let runs = probes(vocab_size, 1).map(|ids| Ok(program.run(&ids, &state)?.logits));
        let scores = self.scores(runs)?;
        let warning = Positions { opening: self, steps: &program, vocab_size }.check(length)?;
        let info = info(self.candidate.file, vocab_size, Stateful::state_len(program.state_len()));
        let model = Arc::new(Stateful { info, program, scores });
        Ok(Running { model, scores, warnings: warning.into_iter().collect() })
    }

    /// Reads the last `len` ids at once, along the dimension `axis` of the input.
    fn window(&self, axis: usize, len: usize) -> Result<Running> {
        let program = self.compile(Ids { axis, len }, &[])?;
        let shape = program.logits_shape();
        let values: usize = shape.iter().product();
        let vocab_size = self.vocab_size(shape.last().copied().unwrap_or(0))?;
        if values != vocab_size && values != len * vocab_size {
            return Err(Error::load(format!(
                "the logits have the shape {shape:?}, expected one or {len} positions of the vocabulary's size"
            )));
        }
        let pad = self.pad(len, vocab_size)?;
        let last = values - vocab_size..values;
        let run =
            |ids: &[TokenId]| program.run(ids, &[]).map(|outputs| outputs.logits[last.clone()].to_vec());
        let scores = self.scores(probes(vocab_size, len).map(|ids| run(&ids)))?;
        if len > 1 && probes(vocab_size, len).all(|ids| ignores_past(ids, run)) {
            return Err(Error::load(format!(
                "the logits follow from the last of {len} token ids alone, expected from all; a batch was taken for them, or the state is lost"
            )));
        }
        let info = info(self.candidate.file, vocab_size, len);
        let window = Window { len, pad };
        let model = Arc::new(Windowed { info, program, scores, last, window });
        Ok(Running { model, scores, warnings: Vec::new() })
    }

    /// What the logits are by the graph and by `runs`.
    fn scores(&self, runs: impl Iterator<Item = Result<Vec<f32>, String>>) -> Result<Scores> {
        Head::of(self.graph(), self.interface.logits).scores(&probe::rows(runs)?)
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

    /// The size of the vocabulary, which the logits and everything that ids are looked up in must have.
    fn vocab_size(&self, found: usize) -> Result<usize> {
        if !(1..=VOCAB_MAX).contains(&found) {
            return Err(Error::load(format!("the logits are of {found} tokens, expected 1 to {VOCAB_MAX}")));
        }
        self.candidate.facts.check_sizes(found, self.logits_name())?;
        Ok(found)
    }
}

/// How many ids are fed, and along which dimension.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub(super) axis: usize,
    pub(super) len: usize,
}

impl Ids {
    pub(super) const ONE: Self = Self { axis: 0, len: 1 };
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
