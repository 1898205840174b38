//! One batch: the run of the rows that were chosen, and what their jobs saw of it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::active::{Active, bug, guarded};
use super::choose::Share;
use super::{Answer, BatchReport, Job, Tag};
use crate::error::Error;
use crate::lm::{Logits, Model, Row, RowIndex, Scratch};

/// What came of a share.
pub(super) struct Outcome {
    /// Whether the model has read the row's tokens; if not, the row's state is as it was.
    pub(super) read: Result<(), Error>,
    /// The job's answer, if it saw the row's last logits.
    pub(super) answer: Result<Option<Answer>, Error>,
}

/// Runs the shares, which stand in the order of their jobs, as one batch, and lets each job see the logits that it asked for.
///
/// A panic is one row's bug: then each row runs again, alone, and only one whose own run panics fails.
pub(super) fn run(active: &mut [Active], shares: &[Share], scratch: &mut Scratch) -> Vec<Outcome> {
    let mut batch = Batch::gather(active, shares);
    let together = batch.run(0..shares.len(), scratch);
    let outcomes = (0..shares.len()).map(|row| {
        let ran = if together.is_ok() { Ok(()) } else { batch.run(row..row + 1, scratch) };
        batch.outcome(row, ran)
    });
    outcomes.collect()
}

/// Rows of one model beside those who hear of them.
struct Batch<'a> {
    model: Arc<dyn Model>,
    jobs: Vec<&'a mut dyn Job>,
    rows: Vec<Row<'a>>,
    /// One a row.
    listeners: Vec<Listener>,
}

/// To whom a row's logits go, how far they have come, and what was said to them.
struct Listener {
    /// An index of [`Batch::jobs`].
    job: usize,
    tag: Tag,
    /// Tokens of the row's plan that turns before this one have read.
    read: usize,
    wanted: Logits,
    /// The first position whose logits the job has not seen.
    unheard: usize,
    answer: Result<Option<Answer>, Error>,
}

impl<'a> Batch<'a> {
    fn gather(active: &'a mut [Active], shares: &[Share]) -> Self {
        let model = active[shares[0].job].model.clone();
        let mut jobs: Vec<&mut dyn Job> = Vec::new();
        let mut rows = Vec::with_capacity(shares.len());
        let mut listeners = Vec::with_capacity(shares.len());
        let mut rest = shares;
        for (index, Active { job, rows: own_rows, .. }) in active.iter_mut().enumerate() {
            let own = rest.iter().take_while(|share| share.job == index).count();
            let (own, later) = rest.split_at(own);
            rest = later;
            for (share, row) in own.iter().zip(own_rows.iter_mut()) {
                let last = share.len == row.tokens().len();
                let wanted = if row.logits == Logits::Last && !last { Logits::None } else { row.logits };
                let (tag, read) = (row.tag, row.read);
                listeners.push(Listener { job: jobs.len(), tag, read, wanted, unheard: 0, answer: Ok(None) });
                let (state, tokens) = row.split(share.len);
                rows.push(Row::new(state, tokens, wanted));
            }
            if !own.is_empty() {
                jobs.push(job.as_mut());
            }
        }
        Self { model, jobs, rows, listeners }
    }

    /// Runs a part of the rows; when that panics, their states are as they were.
    fn run(&mut self, part: Range<usize>, scratch: &mut Scratch) -> Result<(), Error> {
        let Self { model, jobs, rows, listeners } = self;
        let (rows, listeners) = (&mut rows[part.clone()], &mut listeners[part]);
        let mut sink = |row: RowIndex, position: usize, logits: &mut [f32]| {
            listeners[row].hear(jobs, position, logits);
        };
        let run = AssertUnwindSafe(|| model.run(rows, scratch, &mut sink));
        catch_unwind(run).map_err(|_| bug("running the model"))
    }

    /// What came of a row whose last run ended as `ran` says.
    fn outcome(&mut self, row: usize, ran: Result<(), Error>) -> Outcome {
        let read = match &self.rows[row].outcome {
            Err(error) if ran.is_ok() => Err(Error::internal(error.to_string())),
            _ => ran,
        };
        Outcome { read, answer: std::mem::replace(&mut self.listeners[row].answer, Ok(None)) }
    }
}

impl Listener {
    /// Lets the job see a row's logits. A row that runs again has the same logits, bit for bit: a job that has seen them and
    /// moved on, drawn from them perhaps, must not do so twice.
    fn hear(&mut self, jobs: &mut [&mut dyn Job], position: usize, logits: &mut [f32]) {
        if position < self.unheard || self.answer.is_err() {
            return;
        }
        self.unheard = position + 1;
        let job = &mut jobs[self.job];
        self.answer = guarded(|| match self.wanted {
            Logits::Last => job.answer(self.tag, Some(logits)).map(Some),
            Logits::Each | Logits::None => job.look(self.tag, self.read + position, logits).map(|()| None),
        });
    }
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
