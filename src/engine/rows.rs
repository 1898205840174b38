//! The rows of a job at the moment when it decides: what it sees of them, and what it can have them do.

use super::row::{ActiveRow, Pending, Place, Stage};
use super::{RowPlan, Tag};
use crate::error::{Error, Result};
use crate::lm::{Logits, TokenId};
use crate::session::Snapshot;

/// All rows of a job between two turns, as [`Job::decide`](super::Job::decide) sees them.
///
/// A row is *ready* when it has run to the end of what it was given: its state is committed, and the job has looked at the logits that it asked for.
/// A ready row that nothing is said about is held: it costs no turn, and is there again the next time that the job decides. So a job that compares
/// rows decides nothing until [`Self::all_ready`].
///
/// What is decided holds together: each row goes on from where its source stood when the job was asked, whatever becomes of the
/// source itself. So two rows can change places.
///
/// # Panics
/// Methods that take a tag panic when no row of that tag is ready, which fails the job and nothing else.
pub struct Rows<'a> {
    rows: &'a [ActiveRow],
    decisions: Vec<Decision>,
}

/// A token that a job has chosen, and the row whose logits it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The ready row that the token follows.
    pub from: Tag,
    /// The token. The client may see it already: a row on a session reads it even when the job is cancelled.
    pub token: TokenId,
    /// `Last` to go on, `None` when this is the end.
    pub logits: Logits,
}

/// What becomes of a row.
pub(super) struct Decision {
    row: Tag,
    fate: Fate,
}

enum Fate {
    /// It reads `pending`, from `start` if that is not where it stands.
    Go { start: Option<Snapshot>, pending: Pending, logits: Logits },
    /// It ends.
    Finish,
}

impl<'a> Rows<'a> {
    /// `rows` stand by rising tag.
    pub(super) fn new(rows: &'a [ActiveRow]) -> Self {
        Self { rows, decisions: Vec::new() }
    }

    /// The rows that are ready, by rising tag.
    pub fn ready(&self) -> impl Iterator<Item = Tag> + use<'a> {
        self.rows.iter().filter(|row| row.stage == Stage::Ready).map(|row| row.tag)
    }

    /// Whether no row has yet to run.
    pub fn all_ready(&self) -> bool {
        self.rows.iter().all(|row| row.stage == Stage::Ready)
    }

    /// Where a ready row stands.
    pub fn snapshot(&self, row: Tag) -> &'a Snapshot {
        self.get(row).place.snapshot()
    }

    /// Has `row`, which is ready or new, read a token that was chosen from the logits of the ready row `feed.from`.
    pub fn feed(&mut self, row: Tag, feed: Feed) {
        let fate = Fate::Go {
            start: self.start(row, feed.from),
            pending: Pending::Drawn([feed.token]),
            logits: feed.logits,
        };
        self.decisions.push(Decision { row, fate });
    }

    /// Has the row `plan.tag`, which is ready or new, read on from where the ready row `from` stands.
    pub fn read(&mut self, from: Tag, plan: RowPlan) {
        let RowPlan { tag, tokens, joint, logits } = plan;
        let fate = Fate::Go { start: self.start(tag, from), pending: Pending::Prompt(tokens, joint), logits };
        self.decisions.push(Decision { row: tag, fate });
    }

    /// Ends a ready row. What it has come to, unless that belongs to a session.
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
    /// Whether it gives a row something to read that the request has brought.
    pub(super) fn brings_prompt(&self) -> bool {
        matches!(self.fate, Fate::Go { pending: Pending::Prompt(..), .. })
    }

    /// Carries the decision out on the rows of its job, which stand by rising tag.
    ///
    /// # Errors
    /// The row is not ready, perhaps because it was decided on before: a bug of the job.
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
