//! An admitted job, from its first turn to its last message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::batch::Outcome;
use super::figures::{EndedText, Figures, Work};
use super::inbox::{Admitted, Length};
use super::job::ModelKey;
use super::row::{ActiveRow, Place, Stage};
use super::rows::{Decision, Rows};
use super::stopwatch::{Place as Standing, Timed};
use super::{Ending, Job, Kept, Start, Submission};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Extent, Logits, Model};
use crate::session::Lease;

/// An admitted job.
pub(super) struct Active {
    pub(super) model_key: ModelKey,
    pub(super) model: Arc<dyn Model>,
    pub(super) job: Box<dyn Job>,
    /// By rising tag.
    pub(super) rows: Vec<ActiveRow>,
    /// The cost of everything that the request has its rows read.
    pub(super) prompts_cost: u64,
    /// Its place in the queue of those that want to run; the lowest has waited longest.
    pub(super) ticket: u64,
    pub(super) deadline: Option<Instant>,
    /// Set when the job is to end before its rows are done.
    ending: Option<Ending>,
    /// Tokens that the job had sent when it was last asked.
    sent: usize,
    /// The lease of its session, once the row on the session has ended.
    lease: Option<Lease>,
    /// Of its model.
    figures: Arc<Figures>,
    /// Given back when it is over.
    _held: Vec<Kept>,
    /// Times it, if anybody wants to know.
    timed: Option<Timed>,
}

impl Active {
    pub(super) fn admit(admitted: Admitted, ticket: u64) -> Self {
        let Admitted { job: submission, figures } = admitted;
        let model_key = submission.model_key();
        let Submission { name: _, identity: _, model, start, plans, job, arrived: _, deadline, held, timed } =
            submission;
        let places = match start {
            Start::Session(lease) => {
                assert!(plans.len() == 1, "bug: a session is advanced by {} rows, expected one", plans.len());
                vec![Place::Session(lease)]
            }
            Start::Copy(snapshot) => plans.iter().map(|_| Place::Copy(snapshot.clone())).collect(),
        };
        let mut rows: Vec<ActiveRow> =
            plans.into_iter().zip(places).map(|(plan, place)| ActiveRow::new(plan, place)).collect();
        rows.sort_by_key(|row| row.tag);
        let mut active = Self {
            model_key,
            model,
            job,
            rows,
            prompts_cost: 0,
            ticket,
            deadline,
            ending: None,
            sent: 0,
            lease: None,
            figures,
            _held: held,
            timed,
        };
        active.time(Standing::Batch);
        active.count_prompts();
        active
    }

    /// Times it where it is from now on.
    pub(super) fn time(&mut self, place: Standing) {
        if let Some(timed) = &mut self.timed {
            timed.move_to(place);
        }
    }

    /// Updates `prompts_cost`.
    fn count_prompts(&mut self) {
        let prompts = self.running().filter(|row| !row.is_drawn());
        let extent =
            prompts.fold(Extent::default(), |extent, row| extent.and(row.extent(row.pending.tokens().len())));
        self.prompts_cost = self.model.cost().of(extent);
    }

    /// Whether it draws tokens, or has more to read than `short_max` costs.
    pub(super) fn length(&self, short_max: u64) -> Length {
        let is_long = self.prompts_cost > short_max || self.job.draws().left > 0;
        if is_long { Length::Long } else { Length::Short }
    }

    /// What it has left to do.
    pub(super) fn work(&self, short_max: u64) -> Work {
        let draws = Some(self.job.draws().left).filter(|&left| left > 0);
        let reading = self.reading_left();
        let cost = self.model.cost();
        let recalls =
            |left| self.rows.iter().map(|row| cost.draw_recalls(&row.place.snapshot().state, left)).sum();
        Work {
            rows: draws.map_or(0, |_| self.rows.len()),
            draws_min: draws,
            recalls: draws.map_or(0, recalls),
            reading: if reading > short_max { reading } else { 0 },
        }
    }

    /// The cost of what is left of the tokens of the request.
    fn reading_left(&self) -> u64 {
        let prompts = self.running().filter(|row| !row.is_drawn());
        let extent =
            prompts.fold(Extent::default(), |extent, row| extent.and(row.extent(row.tokens().len())));
        self.model.cost().of(extent)
    }

    pub(super) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Whether it has a row to run. It has one unless the job is over.
    pub(super) fn runnable(&self) -> bool {
        self.running().next().is_some()
    }

    /// Whether its next turn sends nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.running().all(ActiveRow::is_silent)
    }

    fn running(&self) -> impl Iterator<Item = &ActiveRow> {
        self.rows.iter().filter(|row| row.stage == Stage::Running)
    }

    /// Ends the job early. A row on a session stays until it has read the token that the client may have seen, and so does one whose
    /// end the job wants to know; all others end at once.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        let wants_ends = ending != Ending::Cancelled && self.job.wants_ends();
        self.ending = Some(ending);
        let stays = |row: &ActiveRow| row.owes_a_read() && (wants_ends || row.is_on_session());
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.rows).into_iter().partition(stays);
        self.rows = kept;
        self.rows.iter_mut().for_each(|row| row.logits = Logits::None);
        gone.into_iter().for_each(|row| self.retire(row));
    }

    /// Ends the job at once, because it or one of its rows failed.
    pub(super) fn fail(&mut self, error: Error) {
        self.ending = Some(Ending::Failed(error));
        for row in std::mem::take(&mut self.rows) {
            self.keep_lease(row.place);
        }
    }

    /// Whether the job is ending early already.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Counts what its rows have read in a batch, and lets the job decide if one of them has become ready. Returns how many tokens the
    /// job has then sent.
    pub(super) fn commit(&mut self, outcomes: &[Outcome]) -> usize {
        if let Some(timed) = &self.timed {
            timed.turn();
        }
        let mut is_asked = false;
        for Outcome { share, read, .. } in outcomes {
            let row = &mut self.rows[share.row];
            if read.is_ok() {
                row.commit(share.len);
            }
            is_asked |= row.stage == Stage::Ready;
        }
        // Only now, because the states beside a row that failed have advanced and must be counted too.
        let failed =
            outcomes.iter().find_map(|outcome| outcome.read.as_ref().and(outcome.looked.as_ref()).err());
        let decided = match failed {
            Some(error) => Err(error.clone()),
            None if is_asked => self.decide(),
            None => Ok(()),
        };
        decided.unwrap_or_else(|error| self.fail(error));
        let before = std::mem::replace(&mut self.sent, self.job.sent());
        self.sent - before
    }

    fn decide(&mut self) -> Result<()> {
        if self.is_ending() {
            // The rows that were left have read what the client has seen.
            let gone: Vec<ActiveRow> = self.rows.extract_if(.., |row| row.stage == Stage::Ready).collect();
            gone.into_iter().for_each(|row| self.retire(row));
            return Ok(());
        }
        let mut rows = Rows::new(&self.rows);
        guarded(|| self.job.decide(&mut rows))?;
        let decisions = rows.into_decisions();
        self.carry_out(decisions)
    }

    fn carry_out(&mut self, decisions: Vec<Decision>) -> Result<()> {
        let brings_prompts = decisions.iter().any(Decision::brings_prompt);
        for decision in decisions {
            decision.carry_out(&mut self.rows)?;
        }
        let gone: Vec<ActiveRow> = self.rows.extract_if(.., |row| row.stage == Stage::Finished).collect();
        gone.into_iter().for_each(|row| self.keep_lease(row.place));
        if brings_prompts {
            self.count_prompts();
        }
        if !self.rows.is_empty() && self.rows.iter().all(|row| row.stage == Stage::Ready) {
            return Err(Error::internal("internal error: a job holds all of its rows"));
        }
        Ok(())
    }

    /// Lets a row go because the job ends early.
    fn retire(&mut self, row: ActiveRow) {
        match row.place {
            Place::Session(lease) => self.lease = Some(lease),
            Place::Copy(snapshot) => self.job.left(row.tag, snapshot),
        }
    }

    fn keep_lease(&mut self, place: Place) {
        if let Place::Session(lease) = place {
            self.lease = Some(lease);
        }
    }

    /// Frees the session and stops its time, then lets the job send its last message.
    pub(super) fn close(self) {
        let drawn = self.job.draws().drawn;
        if self.ending.is_none() && drawn > 0 {
            self.figures.ended(EndedText { drawn, is_early: self.job.ended_early() });
        }
        let position = self.lease.as_ref().map(|lease| lease.snapshot.position);
        drop(self.lease);
        drop(self.timed);
        close(self.job, self.ending.unwrap_or(Ending::Done), position);
    }
}

/// Lets a job send its last message, and ignores a panic.
pub(super) fn close(job: Box<dyn Job>, ending: Ending, position: Option<u64>) {
    // After a panic the reader sees the end of the channel without a last message.
    let _ = catch_unwind(AssertUnwindSafe(|| job.close(ending, position)));
}

/// Calls into a job. A panic fails the job and nothing else.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(bug("answering a row's logits")))
}

/// The error that a client gets for a panic. The message of the panic itself goes to the log.
pub(super) fn bug(doing: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("internal error: {doing} panicked"))
}
