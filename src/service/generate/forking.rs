//! The sessions that the choices of a generation become.

use std::sync::Arc;
use std::time::Duration;

use crate::api::generate::SessionPosition;
use crate::engine::jobs::FinishedChoice;
use crate::error::{Error, Result};
use crate::service::refusal::counted;
use crate::session::{NewSession, OnExisting, Sessions, Snapshot};
use crate::telemetry::Metrics;
use crate::text::ExtraWords;

/// What the new sessions take over from where the generation began.
pub(super) struct Forking {
    pub(super) sessions: Sessions,
    pub(super) metrics: Arc<Metrics>,
    pub(super) model: Arc<str>,
    pub(super) vocab_size: usize,
    pub(super) ttl: Option<Duration>,
    pub(super) extra_words: Option<Arc<ExtraWords>>,
}

impl Forking {
    /// Creates a session of each choice whose end is known; of all of them or of none.
    ///
    /// # Errors
    /// `SessionsFull`.
    pub(super) fn create(&self, choices: &[FinishedChoice]) -> Result<Vec<Option<SessionPosition>>> {
        let mut created = Vec::with_capacity(choices.len());
        for choice in choices {
            match choice.snapshot.as_ref().map(|snapshot| self.create_one(snapshot.clone())).transpose() {
                Ok(session) => created.push(session),
                Err(error) => {
                    self.delete(&created)?;
                    return Err(error);
                }
            }
        }
        Ok(created)
    }

    fn create_one(&self, snapshot: Snapshot) -> Result<SessionPosition> {
        let position = snapshot.position;
        let new = NewSession {
            id: None,
            model: self.model.clone(),
            vocab_size: self.vocab_size,
            snapshot,
            ttl: self.ttl,
            extra_words: self.extra_words.clone(),
            on_existing: OnExisting::Refuse,
        };
        let session = counted(&self.metrics, self.sessions.create(new))?;
        Ok(SessionPosition { id: session.id.to_string(), position })
    }

    /// Nobody knows their ids yet.
    fn delete(&self, created: &[Option<SessionPosition>]) -> Result<()> {
        created.iter().flatten().try_for_each(|session| {
            let id = crate::session::SessionId::parse(&session.id);
            self.sessions.delete(&id.map_err(|error| Error::internal(error.message))?, None)
        })
    }
}
