//! Trial runs of a compiled graph, which show what its nodes alone do not.

use crate::error::{Error, Result};
use crate::lm::TokenId;

/// A few sequences of `len` ids, spread over the vocabulary; the first begins with its last id, for which a table may be too short.
pub(super) fn probes(vocab_size: usize, len: usize) -> impl Iterator<Item = Vec<TokenId>> {
    const COUNT: usize = 3;

    // Strides without a common divisor with most sizes.
    let id = move |probe: usize, place: usize| match (probe, place) {
        (0, 0) => (vocab_size - 1) as TokenId,
        _ => ((probe * 7919 + place * 104_729 + probe) % vocab_size) as TokenId,
    };
    (0..COUNT).map(move |probe| (0..len).map(|place| id(probe, place)).collect())
}

/// What first runs of the graph gave.
///
/// # Errors
/// `Load` when one of them fails.
pub(super) fn rows(runs: impl Iterator<Item = Result<Vec<f32>, String>>) -> Result<Vec<Vec<f32>>> {
    let rows: Result<_, String> = runs.collect();
    rows.map_err(|error| Error::load(format!("a first run of the graph: {error}")))
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
