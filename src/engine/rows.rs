//! The rows of a job when it decides: what it can see of them, and what it can have them do.

use super::row::{ActiveRow, Pending, Place, Stage};
use super::{RowPlan, Tag};
use crate::error::{Error, Result};
use crate::lm::{Logits, TokenId};
use crate::session::Snapshot;

/// All rows of a job between two turns, as [`Job::decide`](super::Job::decide) sees them.
///
/// A row is *ready* when it has read everything that it was given: its state is committed, and the job has looked at the logits that it
/// asked for. A ready row for which nothing is decided is held: it takes part in no turn, and is ready again at the next
/// decision. A job that compares rows therefore decides nothing until [`Self::all_ready`].
///
/// Decisions take effect together, after the job has made all of them. Each row continues from where its source stands now,
/// whatever is decided for the source itself, so that two rows can change places.
///
/// # Panics
/// Methods that take a tag panic if no row of that tag is ready. This fails the job and affects no other.
pub struct Rows<'a> {
    rows: &'a [ActiveRow],
    decisions: Vec<Decision>,
}

/// A token that a job has chosen, and the row whose logits it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The ready row that the token follows.
    pub from: Tag,
    /// The token. The client may have seen it, so a row on a session reads it even if the job is cancelled.
    pub token: TokenId,
    /// `Last` to continue after it, `None` if it is the last.
    pub logits: Logits,
}

/// What a job has decided about a row.
pub(super) struct Decision {
    row: Tag,
    fate: Fate,
}

enum Fate {
    /// It reads `pending`, starting from `start` if that is not its own state.
    Go { start: Option<Snapshot>, pending: Pending, logits: Logits },
    /// It ends.
    Finish,
}

impl<'a> Rows<'a> {
    /// The rows of a job, sorted by tag.
    pub(super) fn new(rows: &'a [ActiveRow]) -> Self {
        Self { rows, decisions: Vec::new() }
    }

    /// The rows that are ready, by rising tag.
    pub fn ready(&self) -> impl Iterator<Item = Tag> + use<'a> {
        self.rows.iter().filter(|row| row.stage == Stage::Ready).map(|row| row.tag)
    }

    /// Whether all rows are ready.
    pub fn all_ready(&self) -> bool {
        self.rows.iter().all(|row| row.stage == Stage::Ready)
    }

    /// Where a ready row stands.
    pub fn snapshot(&self, row: Tag) -> &'a Snapshot {
        self.get(row).place.snapshot()
    }

    /// Has `row`, which is ready or new, continue from the ready row `feed.from` and read a token that was chosen from its logits.
    pub fn feed(&mut self, row: Tag, feed: Feed) {
        let fate = Fate::Go {
            start: self.start(row, feed.from),
            pending: Pending::Drawn([feed.token]),
            logits: feed.logits,
        };
        self.decisions.push(Decision { row, fate });
    }

    /// Has the row `plan.tag`, which is ready or new, continue from the ready row `from` and read what `plan` says.
    pub fn read(&mut self, from: Tag, plan: RowPlan) {
        let RowPlan { tag, tokens, joint, logits } = plan;
        let fate = Fate::Go { start: self.start(tag, from), pending: Pending::Prompt(tokens, joint), logits };
        self.decisions.push(Decision { row: tag, fate });
    }

    /// Ends a ready row, and returns its snapshot unless the row is on a session.
    pub fn finish(&mut self, row: Tag) -> Option<Snapshot> {
        self.decisions.push(Decision { row, fate: Fate::Finish });
        match &self.get(row).place {
            Place::Copy(snapshot) => Some(snapshot.clone()),
            Place::Session(_) => None,
        }
    }

    pub(super) fn into_decisions(self) -> Vec<Decision> {
        self.decisions
    }

    fn start(&self, row: Tag, from: Tag) -> Option<Snapshot> {
        let source = self.get(from);
        (row != from).then(|| source.place.snapshot().clone())
    }

    fn get(&self, tag: Tag) -> &'a ActiveRow {
        let row = self.rows.binary_search_by_key(&tag, |row| row.tag).map(|index| &self.rows[index]);
        row.ok()
            .filter(|row| row.stage == Stage::Ready)
            .unwrap_or_else(|| panic!("bug: a job decides on row {tag}, which is not ready"))
    }
}

impl Decision {
    /// Whether a row gets tokens of the request to read.
    pub(super) fn brings_prompt(&self) -> bool {
        matches!(self.fate, Fate::Go { pending: Pending::Prompt(..), .. })
    }

    /// Applies the decision to the rows of its job, which are sorted by tag.
    ///
    /// # Errors
    /// If the row is not ready, perhaps because of an earlier decision: a bug of the job.
    pub(super) fn carry_out(self, rows: &mut Vec<ActiveRow>) -> Result<()> {
        let Self { row: tag, fate } = self;
        let place = rows.binary_search_by_key(&tag, |row| row.tag);
        match (place, fate) {
            (Ok(index), fate) if rows[index].stage == Stage::Ready => fate.befall(&mut rows[index]),
            (Err(index), Fate::Go { start: Some(start), pending, logits }) => {
                let place = Place::Copy(start);
                rows.insert(index, ActiveRow { tag, place, pending, read: 0, logits, stage: Stage::Running });
            }
            _ => {
                return Err(Error::internal(format!(
                    "internal error: a job decides on row {tag}, which is not ready"
                )));
            }
        }
        Ok(())
    }
}

impl Fate {
    fn befall(self, row: &mut ActiveRow) {
        let Fate::Go { start, pending, logits } = self else {
            row.stage = Stage::Finished;
            return;
        };
        if let Some(start) = start {
            *row.place.snapshot_mut() = start;
        }
        row.pending = pending;
        row.read = 0;
        row.logits = logits;
        row.stage = Stage::Running;
    }
}
