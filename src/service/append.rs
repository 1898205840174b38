//! Use case: a session reads on.

use super::Service;
use super::failure::WriteFailure;
use super::input::{Prepared, Use, check_not_empty};
use super::question::Asked;
use super::score::{Place, ScoredText};
use super::suggest::{Suggested, Typing, WordPlace};
use super::target::SessionTarget;
use super::work::end_of;
use crate::api::append::{AppendRequest, AppendResponse};
use crate::api::unknown::Unknown;
use crate::engine::Start;
use crate::engine::jobs::ReadingPlan;
use crate::error::Result;
use crate::session::Lease;

/// What is read and found out, checked.
struct Appending<'a> {
    session: &'a SessionTarget,
    prepared: Prepared,
    token_logprobs: bool,
    asked: Option<Asked>,
    typing: Option<Typing>,
}

impl Service {
    /// Lets a session read on.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a busy session; a full queue. Tokens that were read before the failure stay read:
    /// the failure says where the session stands.
    pub async fn append(&self, id: &str, request: AppendRequest) -> Result<AppendResponse, WriteFailure> {
        self.settled_in(id, self.append_now(id, request)).await
    }

    async fn append_now(&self, id: &str, request: AppendRequest) -> Result<AppendResponse, WriteFailure> {
        let AppendRequest { prompt, expected, token_logprobs, next, suggest } = request;
        let session = self.session_target(id, prompt.model.as_deref())?;
        let served = &session.served;
        let purpose = if token_logprobs { Use::Listed } else { Use::Read };
        let prepared = self.prepare_prompt(served, prompt, purpose).await?;
        check_not_empty(&prepared)?;
        if token_logprobs {
            self.keep(self.room_for_scored(prepared.tokens.len())?);
        }
        let asked = self.check_question_beside(served, next).await?;
        let asked = asked.map(|asked| asked.after(&prepared.tokens));
        let typing = suggest.map(|suggest| self.check_suggest(served, suggest, "suggest.")).transpose()?;
        let typing = typing.map(|typing| typing.in_session(&session));
        let lease = self.lease(&session, expected).await?;
        let appending = Appending { session: &session, prepared, token_logprobs, asked, typing };
        match &appending {
            Appending { typing: Some(typing), asked: None, token_logprobs: false, .. } => {
                self.append_and_suggest(&appending, lease, typing).await
            }
            _ => self.append_and_ask(appending, lease).await,
        }
    }

    /// Reads and completes in one job.
    async fn append_and_suggest(
        &self,
        appending: &Appending<'_>,
        lease: Lease,
        typing: &Typing,
    ) -> Result<AppendResponse, WriteFailure> {
        let read = appending.prepared.clone();
        let place = WordPlace { served: &appending.session.served, start: Start::Session(lease), read };
        let Suggested { suggestions, position, .. } = self.suggestions(place, typing).await?;
        let read = read_to(position.unwrap_or_default(), &appending.prepared);
        Ok(AppendResponse { suggest: Some(suggestions), ..read })
    }

    /// Reads and answers, and then completes.
    async fn append_and_ask(
        &self,
        appending: Appending<'_>,
        lease: Lease,
    ) -> Result<AppendResponse, WriteFailure> {
        let Appending { session, prepared, token_logprobs, asked, typing } = appending;
        let served = &session.served;
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
                let suggested = self.suggestions(WordPlace::at(served, end), typing).await;
                Some(suggested.map_err(|failure| moved(failure.error))?.suggestions)
            }
        };
        let next =
            asked.map(|asked| asked.answered(served, &tail, result.next)).transpose().map_err(moved)?;
        let scored =
            token_logprobs.then(|| ScoredText::new(&place, &prepared, result.logprobs, Unknown::Include));
        Ok(AppendResponse {
            logprob: scored
                .as_ref()
                .map(|scored| scored.logprobs.iter().flatten().fold(0.0, |sum, logprob| sum + logprob)),
            token_logprobs: scored.map(|scored| scored.tokens(&place)),
            next,
            suggest,
            ..read_to(position, &prepared)
        })
    }
}

/// The answer of an append that led to `position`, and found nothing out.
fn read_to(position: u64, prepared: &Prepared) -> AppendResponse {
    AppendResponse {
        position,
        token_count: prepared.tokens.len(),
        unknown_count: prepared.unknown_count,
        logprob: None,
        token_logprobs: None,
        next: None,
        suggest: None,
    }
}
