//! Whether a graph may be read one token at a time: whether reading a text at once gives the same logits and ends in the same state.
//!
//! Where it does not, the graph uses more of a text than its state remembers: attention, a convolution, pooling or a position's index. Each
//! token alone would get other numbers than its model was trained for.

use super::feeding::Length;
use super::opening::{Ids, Opening};
use super::probe::probes;
use super::program::{Outputs, Program};
use super::trace::Trace;
use crate::error::{Error, Result};
use crate::lm::TokenId;

/// A graph that was compiled for one id.
pub(super) struct Positions<'a> {
    pub(super) opening: &'a Opening<'a>,
    pub(super) steps: &'a Program,
    pub(super) vocab_size: usize,
}

/// Lengths to try where the file takes any.
const LENS: [usize; 2] = [4, 7];

impl Positions<'_> {
    /// Compares reading several ids at once with reading one at a time. Returns what its owner should know.
    ///
    /// # Errors
    /// `Load` when they differ, naming the first node that does.
    pub(super) fn check(&self, length: &Length) -> Result<Option<String>> {
        match length {
            // Nothing else can be fed, so that nobody reads the graph in another way.
            Length::One => Ok(None),
            &Length::Fixed { axis, len } => {
                let ids = Ids { axis, len };
                self.compare(ids, &self.opening.compile(ids, &[])?)?;
                Ok(Some(format!(
                    "the file fixes the number of token ids to {len}; it is run with 1, which gave the same numbers"
                )))
            }
            Length::Free { axes } => {
                let mut refusal = None;
                for &axis in axes {
                    match self.check_along(axis)? {
                        None => return Ok(None),
                        Some(error) => refusal = refusal.or(Some(error)),
                    }
                }
                Ok(refusal.map(|error| {
                    format!("the graph does not run on several token ids at once, so it could not be checked that it gives the same numbers one at a time: {error}")
                }))
            }
        }
    }

    /// Compares along the dimension `axis`. Returns why the graph does not run in this way.
    fn check_along(&self, axis: usize) -> Result<Option<Error>> {
        for len in LENS {
            let ids = Ids { axis, len };
            match self.opening.compile(ids, &[]) {
                Ok(whole) => self.compare(ids, &whole)?,
                Err(error) => return Ok(Some(error)),
            }
        }
        Ok(None)
    }

    fn compare(&self, ids: Ids, whole: &Program) -> Result<()> {
        let Ids { len, .. } = ids;
        let tolerance = self.tolerance();
        let failed = |error| Error::load(format!("reading {len} token ids at once: {error}"));
        for tokens in probes(self.vocab_size, len) {
            let state = vec![0.0; self.steps.state_len()];
            let found = whole.run(&tokens, &state).map_err(failed)?;
            let steps = run_steps(self.steps, &tokens).map_err(failed)?;
            let differing = match steps.last() {
                Some(last) if !tolerance.agree(&found.state, &last.state) => "ends in another state",
                _ if !self.same_logits(whole.logits_shape(), &found.logits, &steps) => "gives other logits",
                _ => continue,
            };
            let node = Trace { opening: self.opening, ids, tolerance }.first_difference(&tokens);
            let node = node.map_or_else(String::new, |node| format!(": {node} mixes positions"));
            return Err(Error::load(format!(
                "reading {len} token ids one at a time {differing} than reading them at once{node}; a session only keeps the graph's state, so the logits of a token must follow from it and the state alone"
            )));
        }
        Ok(())
    }

    /// Whether the logits of `steps` are among those that the graph gives for all positions, or for the first or the last.
    fn same_logits(&self, shape: &[usize], found: &[f32], steps: &[Outputs]) -> bool {
        let tolerance = self.tolerance();
        let len = steps.len();
        let vocab_size = self.vocab_size;
        if found.len() == vocab_size {
            let ends = steps.first().into_iter().chain(steps.last());
            return ends.into_iter().any(|step| tolerance.agree(found, &step.logits));
        }
        if found.len() != len * vocab_size {
            return false;
        }
        // `[.., T, V]`, or `[.., V, T]` as a loss over classes takes it.
        let is_vocab_last = shape.last() == Some(&vocab_size);
        let at = |position: usize, token: usize| match is_vocab_last {
            true => found[position * vocab_size + token],
            false => found[token * len + position],
        };
        steps.iter().enumerate().all(|(position, step)| {
            let row: Vec<f32> = (0..vocab_size).map(|token| at(position, token)).collect();
            tolerance.agree(&row, &step.logits)
        })
    }

    /// A tensor that is quantised as a whole is rounded otherwise than each of its positions alone.
    fn tolerance(&self) -> Tolerance {
        let is_quantised = |op: &str| op.starts_with("DynamicQuantize");
        match self.opening.candidate.graph.nodes.iter().any(|node| is_quantised(&node.op)) {
            true => Tolerance(0.1),
            false => Tolerance(1e-3),
        }
    }
}

/// The outputs after each of `tokens`, read one at a time from the zero state.
pub(super) fn run_steps(program: &Program, tokens: &[TokenId]) -> Result<Vec<Outputs>, String> {
    let mut steps: Vec<Outputs> = Vec::new();
    for &token in tokens {
        let zeros = vec![0.0; program.state_len()];
        let state = steps.last().map_or(&zeros, |before| &before.state);
        let step = program.run(&[token], state)?;
        steps.push(step);
    }
    Ok(steps)
}

/// How far two ways of computing the same may be apart, relative to the larger of 1 and the largest value.
#[derive(Clone, Copy)]
pub(super) struct Tolerance(f32);

impl Tolerance {
    pub(super) const fn new(relative: f32) -> Self {
        Self(relative)
    }

    pub(super) fn agree(self, a: &[f32], b: &[f32]) -> bool {
        let largest = a.iter().chain(b).fold(1.0f32, |largest, value| largest.max(value.abs()));
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || (a - b).abs() <= self.0 * largest)
    }
}
