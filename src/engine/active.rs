//! A job that was admitted, and its rows between two turns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::outlet::Flow;
use super::{Answer, Ending, Job, Plan, Start, Submission, Tag};
use crate::error::{Error, ErrorKind};
use crate::lm::{Extent, Joint, Logits, Model, State, TokenId};
use crate::session::{Lease, Snapshot};

/// An admitted job.
pub(super) struct Active {
    pub(super) name: Arc<str>,
    pub(super) model: Arc<dyn Model>,
    pub(super) job: Box<dyn Job>,
    pub(super) rows: Vec<ActiveRow>,
    /// What all that its rows were given to read costs.
    pub(super) plans_cost: u64,
    /// The turn in which it ran last, or was admitted.
    pub(super) last_turn: u64,
    pub(super) deadline: Option<Instant>,
    /// Since when its reader has no room.
    pub(super) parked_since: Option<Instant>,
    /// Set when the job is to end before its rows are done.
    ending: Option<Ending>,
    /// The session's, once its row is done.
    lease: Option<Lease>,
}

/// One sequence of a job.
pub(super) struct ActiveRow {
    pub(super) tag: Tag,
    pub(super) place: Place,
    pub(super) pending: Pending,
    /// Tokens of `pending` that are read and committed.
    pub(super) read: usize,
    pub(super) logits: Logits,
}

/// Where a row's state lives.
pub(super) enum Place {
    Session(Lease),
    Copy(Snapshot),
}

/// What a row has yet to read.
pub(super) enum Pending {
    /// Tokens that the request brought, and how the text stands after them.
    Prompt(Arc<[TokenId]>, Joint),
    /// A token that the job drew, which the client may see already.
    Drawn([TokenId; 1]),
}

impl Active {
    pub(super) fn admit(submission: Submission, turn: u64) -> Self {
        let Submission { name, identity: _, model, start, plans, job, deadline } = submission;
        let places = match start {
            Start::Session(lease) => {
                assert!(plans.len() == 1, "bug: a session is advanced by {} rows, expected one", plans.len());
                vec![Place::Session(lease)]
            }
            Start::Copy(snapshot) => plans.iter().map(|_| Place::Copy(snapshot.clone())).collect(),
        };
        let rows = plans.into_iter().zip(places).map(|(plan, place)| ActiveRow::new(plan, place)).collect();
        let mut active = Self {
            name,
            model,
            job,
            rows,
            plans_cost: 0,
            last_turn: turn,
            deadline,
            parked_since: None,
            ending: None,
            lease: None,
        };
        active.count_cost();
        active
    }

    /// Counts anew what its rows were given to read.
    fn count_cost(&mut self) {
        let extent = self.rows.iter().fold(Extent::default(), |extent, row| {
            let len = row.pending.tokens().len();
            extent.and_row(len, row.logits.positions(len).len())
        });
        self.plans_cost = self.model.cost().of(extent);
    }

    /// Whether its rows may run now: its reader has room, or nothing more will be said to it.
    pub(super) fn runnable(&self) -> bool {
        !self.rows.is_empty() && (self.parked_since.is_none() || self.rows.iter().all(ActiveRow::silent))
    }

    /// Ends the job early. Rows of a session stay until the token that the client has seen is read; all others go at once.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(ending);
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.rows).into_iter().partition(ActiveRow::owes_a_read);
        self.rows = kept;
        self.rows.iter_mut().for_each(|row| row.logits = Logits::None);
        gone.into_iter().for_each(|row| self.keep_lease(row.place));
    }

    /// Ends the job at once: a row of it failed.
    pub(super) fn fail(&mut self, error: Error) {
        self.ending = Some(Ending::Failed(error));
        for row in std::mem::take(&mut self.rows) {
            self.keep_lease(row.place);
        }
    }

    /// Lets out what the job has decided, now that the states it rests on are committed: in a job that has failed they are not.
    pub(super) fn settle(&mut self) {
        if matches!(self.ending, Some(Ending::Failed(_))) {
            return;
        }
        let settled = guarded(|| {
            self.job.settle();
            Ok(())
        });
        settled.unwrap_or_else(|error| self.fail(error));
    }

    /// Whether the job's own reasons to end early count no more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Asks the job how a row goes on that has read all it had. `answer` is what it said on the row's logits, if it saw any.
    pub(super) fn proceed(&mut self, index: usize, answer: Option<Answer>) -> Result<Answer, Error> {
        let tag = self.rows[index].tag;
        match answer {
            _ if self.is_ending() => Ok(Answer::Done),
            Some(answer) => Ok(answer),
            None => guarded(|| self.job.answer(tag, None)),
        }
    }

    /// Takes a row out that is done, and starts rows with `plans` from where it stands.
    pub(super) fn split(&mut self, index: usize, plans: Vec<Plan>) -> Result<(), Error> {
        let row = self.rows.swap_remove(index);
        let snapshot = row.place.snapshot().clone();
        if !plans.is_empty() {
            self.rows
                .extend(plans.into_iter().map(|plan| ActiveRow::new(plan, Place::Copy(snapshot.clone()))));
            self.count_cost();
        }
        self.retire(row)
    }

    fn retire(&mut self, row: ActiveRow) -> Result<(), Error> {
        match row.place {
            Place::Copy(snapshot) if !self.is_ending() => guarded(|| {
                self.job.retire(row.tag, snapshot);
                Ok(())
            }),
            place => {
                self.keep_lease(place);
                Ok(())
            }
        }
    }

    fn keep_lease(&mut self, place: Place) {
        if let Place::Session(lease) = place {
            self.lease = Some(lease);
        }
    }

    /// Frees the session, then says the last word.
    pub(super) fn close(self) {
        let position = self.lease.as_ref().map(|lease| lease.snapshot.position);
        drop(self.lease);
        close(self.job, self.ending.unwrap_or(Ending::Done), position);
    }

    /// Marks the job as parked, or not, as its reader does.
    pub(super) fn park(&mut self, flow: Flow, now: Instant) {
        self.parked_since = match flow {
            Flow::Full => self.parked_since.or(Some(now)),
            Flow::Open | Flow::Gone => None,
        };
    }
}

/// Says the last word of a job that may panic over it.
pub(super) fn close(job: Box<dyn Job>, ending: Ending, position: Option<u64>) {
    // What a panic here leaves unsaid, the reader sees as the end of the channel.
    let _ = catch_unwind(AssertUnwindSafe(|| job.close(ending, position)));
}

/// Calls into a job; its panic is its own failure and nobody else's.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(bug("answering a row's logits")))
}

/// What a client hears of a panic, whose own message goes to the log.
pub(super) fn bug(doing: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a bug in the server: {doing} panicked"))
}

impl ActiveRow {
    fn new(plan: Plan, place: Place) -> Self {
        Self {
            tag: plan.tag,
            place,
            pending: Pending::Prompt(plan.tokens, plan.joint),
            read: 0,
            logits: plan.logits,
        }
    }

    /// Goes on with a token that the job drew.
    pub(super) fn feed(&mut self, token: TokenId, logits: Logits) {
        (self.pending, self.read, self.logits) = (Pending::Drawn([token]), 0, logits);
    }

    pub(super) fn tokens(&self) -> &[TokenId] {
        &self.pending.tokens()[self.read..]
    }

    /// Whether running it produces nothing to send.
    fn silent(&self) -> bool {
        self.is_drawn() && self.logits == Logits::None
    }

    pub(super) fn is_drawn(&self) -> bool {
        matches!(self.pending, Pending::Drawn(_))
    }

    fn owes_a_read(&self) -> bool {
        self.is_drawn() && matches!(self.place, Place::Session(_))
    }

    /// Counts the next `len` tokens as read: the model has swapped in the state after them.
    pub(super) fn commit(&mut self, len: usize) {
        let tokens = &self.pending.tokens()[self.read..self.read + len];
        self.place.snapshot_mut().advance(tokens);
        self.read += len;
        if let Pending::Prompt(tokens, joint) = &self.pending
            && self.read == tokens.len()
            && !tokens.is_empty()
        {
            self.place.snapshot_mut().tail.joint = *joint;
        }
    }

    /// The next `len` tokens beside the state that will read them.
    pub(super) fn split(&mut self, len: usize) -> (&mut State, &[TokenId]) {
        (&mut self.place.snapshot_mut().state, &self.pending.tokens()[self.read..self.read + len])
    }
}

impl Place {
    fn snapshot(&self) -> &Snapshot {
        match self {
            Place::Session(lease) => &lease.snapshot,
            Place::Copy(snapshot) => snapshot,
        }
    }

    fn snapshot_mut(&mut self) -> &mut Snapshot {
        match self {
            Place::Session(lease) => &mut lease.snapshot,
            Place::Copy(snapshot) => snapshot,
        }
    }
}

impl Pending {
    fn tokens(&self) -> &[TokenId] {
        match self {
            Pending::Prompt(tokens, _) => tokens,
            Pending::Drawn(token) => token,
        }
    }
}
