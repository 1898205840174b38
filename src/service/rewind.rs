//! Use case: a session goes back to an earlier position.

use super::Service;
use super::target::check_context;
use super::work::end_of;
use crate::api::rewind::{RewindRequest, RewindResponse};
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, Result};
use crate::session::Rewind;

impl Service {
    /// Sets a session back to an earlier position. What follows is what would have followed then.
    ///
    /// A failure leaves the session where it was: the tokens that are read again are read on a copy.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a position out of reach; a busy session; a full queue.
    pub async fn rewind_session(&self, id: &str, request: RewindRequest) -> Result<RewindResponse> {
        self.settled(self.rewind_now(id, request)).await
    }

    async fn rewind_now(&self, id: &str, request: RewindRequest) -> Result<RewindResponse> {
        let RewindRequest { position, expected, next, suggest } = request;
        let session = self.session_target(id, None)?;
        let served = &session.served;
        let position = position
            .ok_or_else(|| Error::invalid("position", "`position` is missing; a position is required"))?;
        let asked = next.map(|question| self.check_question(served, question, "next.")).transpose()?;
        let typing = suggest.map(|suggest| self.check_suggest(served, suggest, "suggest.")).transpose()?;
        let typing = typing.map(|typing| typing.in_session(&session));
        if asked.is_some() || typing.is_some() {
            check_context(served, position)?;
        }
        self.sessions.check_rewind(&session.id, position)?;
        let mut lease = self.lease(&session, expected)?;
        let way = lease.snapshot.rewind(position)?;
        let Rewind { from, tokens, joint, .. } = &way;
        let plan = ReadingPlan {
            tokens: tokens.clone(),
            joint: *joint,
            next: asked.as_ref().map(|asked| asked.query.clone()),
            ..Default::default()
        };
        let mut result = self.read_copy(served, from.clone(), plan).await?;
        let snapshot = end_of(&mut result)?;
        let next = asked.map(|asked| asked.answered(served, &snapshot.tail, result.next)).transpose()?;
        let suggest = match &typing {
            None => None,
            Some(typing) => Some(self.suggestions_after(served, snapshot.clone(), typing).await?),
        };
        lease.snapshot = way.arrive(snapshot);
        Ok(RewindResponse { position, next, suggest })
    }
}
