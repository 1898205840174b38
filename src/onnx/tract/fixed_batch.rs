//! A graph whose batch the file fixes to several rows, served as a model of one row.
//!
//! Where the graph also runs with a batch of one and gives the same numbers, that is what is served. Where its nodes hold on to the number
//! of rows, every row of the batch gets a copy of the one that is read. Either way the rows must be read apart from each other.

use super::Running;
use super::batch::Batch;
use super::feeding::Feeding;
use super::opening::{Ids, Opening};
use super::positions::{Tolerance, run_steps};
use super::probe::probes;
use super::program::{Outputs, Program, RowFed, Traced};
use super::trace::followers;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::lower::same_bits;

/// A graph with such a batch.
pub(super) struct FixedBatch<'a> {
    /// The graph for one row.
    pub(super) opening: Opening<'a>,
    pub(super) batch: &'a Batch,
    pub(super) feeding: &'a Feeding,
}

impl FixedBatch<'_> {
    /// Compiles the graph and tries it.
    ///
    /// # Errors
    /// `Load` when tract cannot run it, when it would give other numbers than the graph is for, or when its rows are mixed.
    pub(super) fn run(&self) -> Result<Running> {
        let Self { opening, batch, feeding } = *self;
        let rows = batch.rows;
        let whole = Opening { batch: Some(batch), ..opening };
        let running = whole.fed(feeding)?;
        let vocab_size = running.model.info().vocab_size;
        let program = whole.compile(self.ids(), &[])?;
        self.check_apart(&program, vocab_size)?;
        let alone = self.is_same_alone(&program, vocab_size).then(|| opening.fed(feeding).ok()).flatten();
        Ok(alone.unwrap_or_else(|| {
            let warning = format!(
                "the file fixes the batch to {rows} sequences, and does not run with one: each token is computed {rows} times; export the model with a free batch, or with one of 1"
            );
            Running { warnings: running.warnings.into_iter().chain([warning]).collect(), ..running }
        }))
    }

    /// The ids of a run.
    fn ids(&self) -> Ids {
        match *self.feeding {
            Feeding::Steps(_) => Ids::ONE,
            Feeding::Window { axis, len } => Ids { axis, len },
        }
    }

    /// Checks that the numbers of a row are the same bits whatever the other rows read.
    fn check_apart(&self, program: &Program, vocab_size: usize) -> Result<()> {
        for [ids, others] in self.pairs(vocab_size) {
            let [alike, beside] = run_twice(program, [&ids, &others])?;
            if same_bits(&alike.logits, &beside.logits) && same_bits(&alike.state, &beside.state) {
                continue;
            }
            let node = self.first_mixing(&ids, &others);
            let node = node.map_or_else(String::new, |node| format!(": {node} mixes them"));
            return Err(Error::load(format!(
                "the file fixes the batch to {} sequences, and what one gives depends on the others{node}; a session is one sequence, whose numbers must not depend on others",
                self.batch.rows
            )));
        }
        Ok(())
    }

    /// Whether the graph gives the same with a batch of one.
    fn is_same_alone(&self, whole: &Program, vocab_size: usize) -> bool {
        const TOLERANCE: Tolerance = Tolerance::new(1e-5);
        const STEPS: usize = 4;

        let Ok(alone) = self.opening.compile(self.ids(), &[]) else { return false };
        let agree = |a: &Outputs, b: &Outputs| {
            TOLERANCE.agree(&a.logits, &b.logits) && TOLERANCE.agree(&a.state, &b.state)
        };
        match *self.feeding {
            Feeding::Steps(_) => {
                probes(vocab_size, STEPS).all(|ids| match (run_steps(whole, &ids), run_steps(&alone, &ids)) {
                    (Ok(whole), Ok(alone)) => whole.iter().zip(&alone).all(|(a, b)| agree(a, b)),
                    _ => false,
                })
            }
            Feeding::Window { len, .. } => {
                probes(vocab_size, len).all(|ids| match (whole.run(&ids, &[]), alone.run(&ids, &[])) {
                    (Ok(whole), Ok(alone)) => agree(&whole, &alone),
                    _ => false,
                })
            }
        }
    }

    /// Pairs of different ids: those of the first row, and those of the others.
    fn pairs(&self, vocab_size: usize) -> impl Iterator<Item = [Vec<TokenId>; 2]> {
        let len = self.ids().len;
        let others = probes(vocab_size, len).skip(1).chain(probes(vocab_size, len).take(1));
        probes(vocab_size, len).zip(others).map(|(ids, others)| [ids, others])
    }

    /// The first node whose first row depends on the others, for a message.
    fn first_mixing(&self, ids: &[TokenId], others: &[TokenId]) -> Option<String> {
        let Self { opening, batch, .. } = *self;
        let graph = opening.candidate.graph;
        let whole = Opening { batch: Some(batch), ..opening };
        let program = whole.compile(self.ids(), &followers(graph)).ok()?;
        let [alike, beside] = run_twice(&program, [ids, others]).ok()?;
        let differs = |pair: &(&Traced, &Traced)| {
            !same_bits(&pair.0.first_of(batch.rows), &pair.1.first_of(batch.rows))
        };
        let (first, _) = alike.traced.iter().zip(&beside.traced).find(differs)?;
        let node = graph.nodes.iter().find(|node| node.outputs.contains(&first.name))?;
        Some(format!("node `{}` ({})", node.name, node.op))
    }
}

/// What the first row gives among copies of itself, and among rows that read other ids from another state.
fn run_twice(program: &Program, [ids, others]: [&[TokenId]; 2]) -> Result<[Outputs; 2]> {
    // Any state will do, as long as the two differ and no gate is saturated.
    let state = |first: f32| -> Vec<f32> {
        (0..program.state_len()).map(|at| first * (((at % 7) as f32) - 3.0) / 8.0).collect()
    };
    let own = state(1.0);
    let other = state(-0.5);
    let row = RowFed { ids, state: &own };
    let failed = |error| Error::load(format!("a first run of the graph: {error}"));
    let alike = program.run_beside(row, row).map_err(failed)?;
    let beside = program.run_beside(row, RowFed { ids: others, state: &other }).map_err(failed)?;
    Ok([alike, beside])
}
