//! One batch: which rows run together, how much each reads, and the run itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::active::{Active, bug, guarded};
use super::{Answer, BatchReport, EngineLimits, Job};
use crate::error::{Error, ErrorKind};
use crate::lm::{Logits, Row, Scratch};

/// A row's share of a batch: the `row`-th row of the `job`-th job reads `len` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) job: usize,
    pub(super) row: usize,
    pub(super) len: usize,
}

/// What came of a share.
pub(super) struct Outcome {
    /// Whether the model has read the row's tokens; if not, the row's state is as it was.
    pub(super) read: Result<(), Error>,
    /// The job's answer, if it saw the row's last logits.
    pub(super) answer: Result<Option<Answer>, Error>,
}

/// The rows of a turn.
pub(super) struct Choice {
    /// In the order of the jobs.
    pub(super) shares: Vec<Share>,
    /// The job with which the next turn should begin.
    pub(super) next_first: usize,
}

/// The model whose turn it is, by name: the next after `last` of those with rows to run, in a circle.
pub(super) fn next_model(active: &[Active], last: Option<&Arc<str>>) -> Option<Arc<str>> {
    let names = || active.iter().filter(|job| job.runnable()).map(|job| &job.name);
    let after = names().filter(|name| last.is_some_and(|last| *name > last)).min();
    after.or_else(|| names().min()).cloned()
}

/// Chooses the rows of `model` that run in this turn, beginning with the job `first`, and what each reads.
///
/// While several jobs want to run, one takes at most half of the batch. A row that decodes reads its one token; the rows that
/// read prompts share the turn's budget, small while anything decodes.
pub(super) fn choose(active: &[Active], model: &str, first: usize, limits: &EngineLimits) -> Choice {
    let wanting: Vec<usize> = (0..active.len())
        .map(|offset| (first + offset) % active.len())
        .filter(|&job| *active[job].name == *model && active[job].runnable())
        .collect();
    let rows_each_max = if wanting.len() > 1 { limits.rows_max.div_ceil(2) } else { limits.rows_max };
    let mut shares: Vec<Share> = wanting
        .into_iter()
        .flat_map(|job| {
            (0..active[job].rows.len().min(rows_each_max)).map(move |row| Share { job, row, len: 0 })
        })
        .take(limits.rows_max)
        .collect();

    let row = |share: &Share| &active[share.job].rows[share.row];
    let decodes = shares.iter().any(|share| row(share).is_drawn());
    let prompts = shares.iter().filter(|share| row(share).tokens().len() > 1).count();
    let budget = if decodes { limits.prompt_tokens_beside_decode } else { limits.prompt_tokens_alone };
    let chunk_max = (budget / prompts.max(1)).max(1);
    shares.iter_mut().for_each(|share| share.len = row(share).tokens().len().min(chunk_max));
    let next_first = shares.last().map_or(0, |last| last.job + 1);
    shares.sort_unstable_by_key(|share| (share.job, share.row));
    Choice { shares, next_first }
}

/// Runs the shares, which stand in the order of their jobs, as one batch, and lets each job see the logits that it asked for.
pub(super) fn run(active: &mut [Active], shares: &[Share], scratch: &mut Scratch) -> Vec<Outcome> {
    let model = active[shares[0].job].model.clone();
    let mut places = Vec::with_capacity(shares.len());
    let mut jobs: Vec<&mut dyn Job> = Vec::new();
    let mut rows = Vec::with_capacity(shares.len());
    let mut rest = shares;
    for (index, Active { job, rows: own_rows, .. }) in active.iter_mut().enumerate() {
        let own = rest.iter().take_while(|share| share.job == index).count();
        let (own, later) = rest.split_at(own);
        rest = later;
        for (share, row) in own.iter().zip(own_rows.iter_mut()) {
            let last = share.len == row.tokens().len();
            let logits = if row.logits == Logits::Last && !last { Logits::None } else { row.logits };
            places.push((jobs.len(), row.tag, row.read));
            let (state, tokens) = row.split(share.len);
            rows.push(Row::new(state, tokens, logits));
        }
        if !own.is_empty() {
            jobs.push(job.as_mut());
        }
    }

    let mut answers = vec![Ok(None); shares.len()];
    let wants: Vec<Logits> = rows.iter().map(|row| row.logits).collect();
    let mut sink = |row: usize, position: usize, logits: &mut [f32]| {
        let (job, tag, read) = places[row];
        if answers[row].is_ok() {
            answers[row] = guarded(|| match wants[row] {
                Logits::Last => jobs[job].answer(tag, Some(logits)).map(Some),
                Logits::Each | Logits::None => jobs[job].look(tag, read + position, logits).map(|()| None),
            });
        }
    };
    let ran = catch_unwind(AssertUnwindSafe(|| model.run(&mut rows, scratch, &mut sink)));
    let read = |row: &Row<'_>| match (&ran, &row.outcome) {
        (Err(_), _) => Err(bug("running the model")),
        (Ok(()), Err(error)) => Err(Error::new(ErrorKind::Internal, error.to_string())),
        (Ok(()), Ok(())) => Ok(()),
    };
    rows.iter().zip(answers).map(|(row, answer)| Outcome { read: read(row), answer }).collect()
}

/// The batch in figures.
pub(super) fn report(active: &[Active], shares: &[Share]) -> BatchReport {
    let mut report = BatchReport { rows: shares.len(), ..Default::default() };
    for share in shares {
        let row = &active[share.job].rows[share.row];
        let count = match (row.is_drawn(), row.logits) {
            (true, _) => &mut report.generated_tokens,
            (false, Logits::Each) => &mut report.scored_tokens,
            (false, _) => &mut report.prompt_tokens,
        };
        *count += share.len;
    }
    report
}
