//! One batch: the rows that were chosen are run together, and their jobs look at the logits.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::active::{Active, bug, guarded};
use super::choose::Share;
use super::{At, BatchReport, Job, Tag};
use crate::error::Error;
use crate::lm::{Logits, Model, Row, RowIndex, Scratch};

/// The result of a share.
pub(super) struct Outcome {
    pub(super) share: Share,
    /// Whether the model has read the row's tokens. If not, the row's state is unchanged.
    pub(super) read: Result<(), Error>,
    /// Whether the job has accepted the logits that it was shown.
    pub(super) looked: Result<(), Error>,
}

/// Runs `shares`, sorted by job and row, as one batch, and shows each job the logits that it asked for.
///
/// If the run panics, each row is run again, alone, and only a row whose own run panics fails.
pub(super) fn run(active: &mut [Active], shares: &[Share], scratch: &mut Scratch) -> Vec<Outcome> {
    let mut batch = Batch::gather(active, shares);
    let together = batch.run(0..shares.len(), scratch);
    let outcomes = shares.iter().enumerate().map(|(row, &share)| {
        let ran = if together.is_ok() { Ok(()) } else { batch.run(row..row + 1, scratch) };
        Outcome { share, read: batch.read(row, ran), looked: batch.looked(row) }
    });
    outcomes.collect()
}

/// Rows of one model, and the jobs that look at their logits.
struct Batch<'a> {
    model: Arc<dyn Model>,
    jobs: Vec<&'a mut dyn Job>,
    rows: Vec<Row<'a>>,
    /// One for each row.
    listeners: Vec<Listener>,
}

/// The job that a row belongs to, and the logits that it has seen.
struct Listener {
    /// An index of [`Batch::jobs`].
    job: usize,
    tag: Tag,
    /// Tokens of the row's plan that were read in earlier turns.
    read: usize,
    wanted: Logits,
    /// The first position whose logits the job has not seen.
    unheard: usize,
    looked: Result<(), Error>,
}

impl<'a> Batch<'a> {
    fn gather(active: &'a mut [Active], shares: &[Share]) -> Self {
        let model = active[shares[0].job].model.clone();
        let mut jobs: Vec<&mut dyn Job> = Vec::new();
        let mut rows = Vec::with_capacity(shares.len());
        let mut listeners = Vec::with_capacity(shares.len());
        let mut left = shares.iter().peekable();
        for (index, Active { job, rows: own_rows, .. }) in active.iter_mut().enumerate() {
            let count_before = rows.len();
            for (row_index, row) in own_rows.iter_mut().enumerate() {
                let is_chosen = |share: &&Share| share.job == index && share.row == row_index;
                let Some(share) = left.next_if(is_chosen) else { continue };
                let is_last = share.len == row.tokens().len();
                let wanted = if row.logits == Logits::Last && !is_last { Logits::None } else { row.logits };
                listeners.push(Listener {
                    job: jobs.len(),
                    tag: row.tag,
                    read: row.read,
                    wanted,
                    unheard: 0,
                    looked: Ok(()),
                });
                let (state, tokens) = row.state_and_tokens(share.len);
                rows.push(Row::new(state, tokens, wanted));
            }
            if rows.len() > count_before {
                jobs.push(job.as_mut());
            }
        }
        Self { model, jobs, rows, listeners }
    }

    /// Runs some of the rows. If that panics, their states are unchanged.
    fn run(&mut self, part: Range<usize>, scratch: &mut Scratch) -> Result<(), Error> {
        let Self { model, jobs, rows, listeners } = self;
        let (rows, listeners) = (&mut rows[part.clone()], &mut listeners[part]);
        let mut sink = |row: RowIndex, position: usize, logits: &mut [f32]| {
            listeners[row].hear(jobs, position, logits);
        };
        let run = AssertUnwindSafe(|| model.run(rows, scratch, &mut sink));
        catch_unwind(run).map_err(|_| bug("running the model"))
    }

    /// Whether a row has read its tokens; `ran` is the result of its last run.
    fn read(&self, row: usize, ran: Result<(), Error>) -> Result<(), Error> {
        match &self.rows[row].outcome {
            Err(error) if ran.is_ok() => Err(Error::internal(error.to_string())),
            _ => ran,
        }
    }

    fn looked(&self, row: usize) -> Result<(), Error> {
        self.listeners[row].looked.clone()
    }
}

impl Listener {
    /// Shows a row's logits to its job, unless the job has seen them in a run that panicked: they are the same bits, and a job that
    /// adds them up must not see them twice.
    fn hear(&mut self, jobs: &mut [&mut dyn Job], position: usize, logits: &mut [f32]) {
        if position < self.unheard || self.looked.is_err() {
            return;
        }
        self.unheard = position + 1;
        let at = match self.wanted {
            Logits::Last => At::End,
            Logits::Each | Logits::None => At::Before(self.read + position),
        };
        let job = &mut jobs[self.job];
        self.looked = guarded(|| job.look(self.tag, at, logits));
    }
}

/// The figures of a batch.
pub(super) fn report(active: &[Active], shares: &[Share]) -> BatchReport {
    let mut report = BatchReport { rows: shares.len(), ..Default::default() };
    for share in shares {
        let row = &active[share.job].rows[share.row];
        let count = match (row.is_drawn(), row.logits) {
            (true, _) => &mut report.chosen_tokens,
            (false, Logits::Each) => &mut report.scored_tokens,
            (false, _) => &mut report.prompt_tokens,
        };
        *count += share.len;
    }
    report
}
