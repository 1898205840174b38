//! Use case: a session reads on.

use super::Service;
use super::failure::WriteFailure;
use super::input::{Use, check_not_empty};
use super::score::{Place, ScoredText};
use super::work::end_of;
use crate::api::append::{AppendRequest, AppendResponse};
use crate::api::unknown::Unknown;
use crate::engine::Start;
use crate::engine::jobs::ReadingPlan;
use crate::error::Result;

impl Service {
    /// Lets a session read on.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a busy session; a full queue. Tokens that were read before the failure stay read:
    /// the failure says where the session stands.
    pub async fn append(&self, id: &str, request: AppendRequest) -> Result<AppendResponse, WriteFailure> {
        self.settled(self.append_now(id, request)).await
    }

    async fn append_now(&self, id: &str, request: AppendRequest) -> Result<AppendResponse, WriteFailure> {
        let AppendRequest { prompt, expected, token_logprobs, next, suggest } = request;
        let session = self.session_target(id, prompt.model.as_deref())?;
        let served = &session.served;
        let purpose = if token_logprobs { Use::Listed } else { Use::Read };
        let prepared = self.prepare_prompt(served, prompt, purpose).await?;
        check_not_empty(&prepared)?;
        let asked = next.map(|question| self.check_question(served, question, "next.")).transpose()?;
        let asked = asked.map(|asked| asked.after(&prepared.tokens));
        let typing = suggest.map(|suggest| self.check_suggest(served, suggest, "suggest.")).transpose()?;
        let typing = typing.map(|typing| typing.in_session(&session));
        let lease = self.lease(&session, expected)?;
        let is_preceded = lease.snapshot.position > 0 || !served.initial_tokens.is_empty();
        let place = Place { served, tail: lease.snapshot.tail.clone(), is_preceded };
        let tail = prepared.tail_after(&place.tail);
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            scored: token_logprobs,
            next: asked.as_ref().map(|asked| asked.query.clone()),
            ..Default::default()
        };
        let mut result = self.read(served, Start::Session(lease), plan).await?;
        let position = result.position.unwrap_or_default();
        let moved = |error| WriteFailure { error, position: Some(position) };
        let suggest = match &typing {
            None => None,
            Some(typing) => {
                let end = end_of(&mut result).map_err(moved)?;
                Some(self.suggestions_after(served, end, typing).await.map_err(moved)?)
            }
        };
        let next =
            asked.map(|asked| asked.answered(served, &tail, result.next)).transpose().map_err(moved)?;
        let scored =
            token_logprobs.then(|| ScoredText::new(&place, &prepared, result.logprobs, Unknown::Include));
        Ok(AppendResponse {
            position,
            token_count: prepared.tokens.len(),
            unknown_count: prepared.unknown_count,
            logprob: scored
                .as_ref()
                .map(|scored| scored.logprobs.iter().flatten().fold(0.0, |sum, logprob| sum + logprob)),
            token_logprobs: scored.map(|scored| scored.tokens(&place)),
            next,
            suggest,
        })
    }
}
