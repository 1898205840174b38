//! Use case: a session goes back to an earlier position.

use std::sync::Arc;

use super::Service;
use super::input::Prepared;
use super::question::Asked;
use super::suggest::{Suggested, Typing, WordPlace};
use super::target::check_context;
use super::work::end_of;
use crate::api::question::Distribution;
use crate::api::rewind::{RewindRequest, RewindResponse};
use crate::api::suggest::Suggestions;
use crate::catalog::Served;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, Result};
use crate::session::{Rewind, Snapshot};

impl Service {
    /// Sets a session back to an earlier position. What follows is what would have followed then.
    ///
    /// A failure leaves the session where it was: the tokens that are read again are read on a copy.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a position out of reach; a busy session; a full queue.
    pub async fn rewind_session(&self, id: &str, request: RewindRequest) -> Result<RewindResponse> {
        self.settled_in(id, self.rewind_now(id, request)).await
    }

    async fn rewind_now(&self, id: &str, request: RewindRequest) -> Result<RewindResponse> {
        let RewindRequest { position, expected, next, suggest } = request;
        let session = self.session_target(id, None)?;
        let served = &session.served;
        let position = position
            .ok_or_else(|| Error::invalid("position", "`position` is missing; a position is required"))?;
        let asked = self.check_question_beside(served, next).await?;
        let typing = suggest.map(|suggest| self.check_suggest(served, suggest, "suggest.")).transpose()?;
        let typing = typing.map(|typing| typing.in_session(&session));
        if asked.is_some() || typing.is_some() {
            check_context(served, position)?;
        }
        self.sessions.check_rewind(&session.id, position)?;
        let mut lease = self.lease(&session, expected).await?;
        let way = lease.snapshot.rewind(position)?;
        let Arrived { snapshot, next, suggest } = match (asked, &typing) {
            // One job reads and completes.
            (None, Some(typing)) => {
                let read = Prepared::of_past(way.tokens.clone(), way.joint);
                self.arrive_and_suggest(WordPlace { read, ..WordPlace::at(served, way.from.clone()) }, typing)
                    .await?
            }
            (asked, None) => self.arrive_and_ask(served, &way, asked).await?,
            (asked, Some(typing)) => {
                let Arrived { snapshot, next, .. } = self.arrive_and_ask(served, &way, asked).await?;
                Arrived { next, ..self.arrive_and_suggest(WordPlace::at(served, snapshot), typing).await? }
            }
        };
        lease.snapshot = way.arrive(snapshot);
        Ok(RewindResponse { position, next, suggest })
    }

    /// Completes a word at `place`, which is the end of the way.
    async fn arrive_and_suggest(&self, place: WordPlace<'_>, typing: &Typing) -> Result<Arrived> {
        let suggested = self.suggestions(place, typing).await.map_err(|failure| failure.error)?;
        let Suggested { suggestions, after_text, .. } = suggested;
        Ok(Arrived { snapshot: after_text, next: None, suggest: Some(suggestions) })
    }

    /// Goes the way, and answers what comes next at its end.
    async fn arrive_and_ask(
        &self,
        served: &Arc<Served>,
        way: &Rewind,
        asked: Option<Asked>,
    ) -> Result<Arrived> {
        let plan = ReadingPlan {
            tokens: way.tokens.clone(),
            joint: way.joint,
            next: asked.as_ref().map(|asked| asked.query.clone()),
            ..Default::default()
        };
        let mut result = self.read_copy(served, way.from.clone(), plan).await?;
        let snapshot = end_of(&mut result)?;
        let next = asked.map(|asked| asked.answered(served, &snapshot.tail, result.next)).transpose()?;
        Ok(Arrived { snapshot, next, suggest: None })
    }
}

/// The end of the way back, and what was found out there.
struct Arrived {
    snapshot: Snapshot,
    next: Option<Distribution>,
    suggest: Option<Suggestions>,
}
