//! Trial runs of a compiled graph, which show what its nodes alone do not.

use super::program::Program;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::scores::Scores;

/// A few sequences of `len` ids, spread over the vocabulary.
pub(super) fn probes(vocab_size: usize, len: usize) -> impl Iterator<Item = Vec<TokenId>> {
    const COUNT: usize = 3;

    // Strides without a common divisor with most sizes.
    let id =
        move |probe: usize, place: usize| ((probe * 7919 + place * 104_729 + probe) % vocab_size) as TokenId;
    (0..COUNT).map(move |probe| (0..len).map(|place| id(probe, place)).collect())
}

/// What `rows` are, each what a first run of the graph gave over the vocabulary.
pub(super) fn scores(rows: impl Iterator<Item = Result<Vec<f32>, String>>) -> Result<Scores> {
    let rows: Result<Vec<_>, String> = rows.collect();
    Ok(Scores::of_rows(&rows.map_err(|error| Error::load(format!("a first run of the graph: {error}")))?))
}

/// Whether the logits stay the same when all ids but the last change.
pub(super) fn ignores_past(
    mut ids: Vec<TokenId>,
    run: impl Fn(&[TokenId]) -> Result<Vec<f32>, String>,
) -> bool {
    let whole = run(&ids);
    if let Some((&mut last, past)) = ids.split_last_mut() {
        past.fill(last);
    }
    whole == run(&ids)
}

/// A graph that reads several ids at once, and the same that reads one.
pub(super) struct Compared<'a> {
    pub(super) whole: &'a Program,
    pub(super) steps: &'a Program,
    /// How many ids `whole` reads.
    pub(super) len: usize,
    pub(super) vocab_size: usize,
}

impl Compared<'_> {
    /// Checks that reading the file's own number of ids at once ends in the states that reading one at a time does: else what the graph
    /// does by the number that it was made for, a slice or an unrolled loop, would be wrong for any other.
    ///
    /// # Errors
    /// `Load` when they differ, or a run fails.
    pub(super) fn check_states(&self) -> Result<()> {
        const TOLERANCE: f32 = 1e-3;

        let len = self.len;
        let failed = |error| Error::load(format!("reading {len} token ids at once: {error}"));
        for ids in probes(self.vocab_size, len) {
            let mut state = vec![0.0; self.steps.state_len()];
            let expected = self.whole.run(&ids, &state).map_err(failed)?.state;
            for &id in &ids {
                state = self.steps.run(&[id], &state).map_err(failed)?.state;
            }
            let differs = |(found, expected): (&f32, &f32)| {
                (found - expected).abs() > TOLERANCE * (1.0 + expected.abs())
            };
            if state.iter().zip(&expected).any(differs) {
                return Err(Error::load(format!(
                    "the file fixes the number of token ids to {len}, and reading them one at a time ends in another state; export the file with 1 id, or with a free number of ids"
                )));
            }
        }
        Ok(())
    }
}
