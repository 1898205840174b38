//! Use case: sessions are made, read on, copied, set back and ended.

use std::time::Duration;

use super::input::{check_context, check_not_empty};
use super::next::{NextView, view};
use super::score::{ScoredToken, scored_tokens};
use super::{Input, Query, Service, start_of};
use crate::engine::Start;
use crate::engine::jobs::{ReadingFailure, ReadingPlan, Scored};
use crate::error::{Error, Result};
use crate::session::{NewSession, OnExisting, SessionId, SessionInfo};

/// A new session, which has read `input`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRequest {
    /// Made up when absent.
    pub id: Option<SessionId>,
    /// The default model when absent.
    pub model: Option<String>,
    /// Read first.
    pub input: Input,
    /// Its time to live after its last use; the server's when absent, which is also the longest.
    pub ttl: Option<Duration>,
    /// What happens to an idle session of the same id.
    pub on_existing: OnExisting,
    /// What is asked of its next token.
    pub next: Option<Query>,
}

/// The session that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateResponse {
    /// The session.
    pub session: SessionInfo,
    /// Words of the input outside the vocabulary.
    pub unknown_count: usize,
    /// The answer about its next token.
    pub next: Option<NextView>,
}

/// A session reads on.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendRequest {
    /// The session.
    pub id: SessionId,
    /// The model that the client thinks it has.
    pub model: Option<String>,
    /// Read; not empty.
    pub input: Input,
    /// Where the session must stand.
    pub expected_position: Option<u64>,
    /// Whether the logprob of each token is asked for.
    pub scored: Scored,
    /// What is asked of the next token.
    pub next: Option<Query>,
}

/// What a session has read. Logprobs are natural.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendResponse {
    /// Where the session stands.
    pub position: u64,
    /// Tokens read.
    pub token_count: usize,
    /// Words outside the vocabulary.
    pub unknown_count: usize,
    /// The tokens' joint logprob, if it was asked for.
    pub logprob: Option<f64>,
    /// The tokens and their logprobs, if they were asked for.
    pub tokens: Option<Vec<ScoredToken>>,
    /// The answer about the next token.
    pub next: Option<NextView>,
}

/// Some of the sessions, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    /// These.
    pub sessions: Vec<SessionInfo>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// Length of a page if a request does not say.
const PAGE: usize = 100;

impl Service {
    /// Makes a session. It is there only when all that was asked has succeeded: a failure leaves the old one of the same id as it was.
    ///
    /// # Errors
    /// Whatever is wrong with the request, an id that is taken, no room, a full queue.
    pub async fn create_session(&self, request: CreateRequest) -> Result<CreateResponse> {
        self.check_ttl(request.ttl)?;
        if let Some(id) = &request.id {
            self.sessions.check_free(id, request.on_existing)?;
        }
        let served = self.catalog.get(request.model.as_deref())?;
        let prepared = self.prepare(served, request.input, "").await?;
        let start = start_of(served);
        let tail = prepared.tail_after(&start.tail);
        let next = request.next.as_ref().map(|query| self.resolve(served, query, "next.")).transpose()?;
        if next.is_some() {
            check_context(served, prepared.tokens.len() as u64)?;
        }
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            next: next.clone(),
            ..Default::default()
        };
        let result = self.read(served, Start::Copy(start), plan).await.map_err(|failure| failure.error)?;
        let next = match (&request.next, &next) {
            (Some(asked), Some(resolved)) => Some(view(served, &tail, (asked, resolved), result.next)?),
            _ => None,
        };
        let session = self.add_session(NewSession {
            id: request.id,
            model: served.name.clone(),
            snapshot: result
                .snapshot
                .ok_or_else(|| Error::internal("a bug in the server: a reading led nowhere"))?,
            ttl: request.ttl,
            on_existing: request.on_existing,
        })?;
        Ok(CreateResponse { session, unknown_count: prepared.unknown_count, next })
    }

    /// Lets a session read on.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a busy session; a full queue. The failure says where the session stands: tokens that were
    /// read before it stay read.
    pub async fn append(&self, request: AppendRequest) -> Result<AppendResponse, ReadingFailure> {
        let refused = |error| ReadingFailure { error, position: None };
        let AppendRequest { id, model, expected_position, .. } = &request;
        let (served, lease) = self.lease(id, model.as_deref(), *expected_position).map_err(refused)?;
        let prepared = self.prepare(served, request.input, "").await.map_err(refused)?;
        check_not_empty(&prepared).map_err(refused)?;
        let next = request.next.as_ref().map(|query| self.resolve(served, query, "next."));
        let next = next.transpose().map_err(refused)?;
        let before = lease.snapshot.tail.clone();
        let preceded = lease.snapshot.position > 0 || !served.initial_tokens.is_empty();
        let tail = prepared.tail_after(&before);
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            scored: request.scored,
            next: next.clone(),
            ..Default::default()
        };
        let result = self.read(served, Start::Session(lease), plan).await?;
        let position = result.position.unwrap_or_default();
        let late = |error| ReadingFailure { error, position: Some(position) };
        let next = match (&request.next, &next) {
            (Some(asked), Some(resolved)) => {
                Some(view(served, &tail, (asked, resolved), result.next).map_err(late)?)
            }
            _ => None,
        };
        let logprobs: Vec<Option<f64>> = result
            .logprobs
            .into_iter()
            .enumerate()
            .map(|(index, logprob)| Some(logprob).filter(|_| index > 0 || preceded))
            .collect();
        let scored = request.scored == Scored::Yes;
        Ok(AppendResponse {
            position,
            token_count: prepared.tokens.len(),
            unknown_count: prepared.unknown_count,
            logprob: scored.then(|| logprobs.iter().flatten().sum()),
            tokens: scored.then(|| scored_tokens(served, &before, &prepared, &logprobs)),
            next,
        })
    }

    /// The sessions after `after`, at most `limit`.
    ///
    /// # Errors
    /// `InvalidValue` when `limit` is 0 or more than `--sessions-page-max`.
    pub fn list_sessions(&self, after: Option<&SessionId>, limit: Option<usize>) -> Result<SessionPage> {
        let limit_max = self.sessions_page_max;
        let limit = limit.unwrap_or(PAGE.min(limit_max));
        if limit == 0 || limit > limit_max {
            let message = format!("`limit` is {limit}, expected 1 to {limit_max} (`--sessions-page-max`)");
            return Err(Error::invalid("limit", message));
        }
        let mut sessions = self.sessions.list(after, limit + 1);
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        Ok(SessionPage { sessions, has_more })
    }

    /// A copy of a session, under a name of its own.
    ///
    /// # Errors
    /// No such session, a name that is taken, no room.
    pub fn fork(
        &self,
        id: &SessionId,
        copy: Option<SessionId>,
        ttl: Option<Duration>,
    ) -> Result<SessionInfo> {
        self.check_ttl(ttl)?;
        let (model, snapshot) = self.sessions.read(id)?;
        self.add_session(NewSession { id: copy, model, snapshot, ttl, on_existing: OnExisting::Refuse })
    }

    /// Sets a session back to its model's start.
    ///
    /// # Errors
    /// No such session, a busy one, one that stands elsewhere.
    pub fn reset(&self, id: &SessionId, expected_position: Option<u64>) -> Result<SessionInfo> {
        let model = self.sessions.info(id)?.model;
        self.sessions.reset(id, start_of(self.catalog.get(Some(&model))?), expected_position)
    }

    fn check_ttl(&self, ttl: Option<Duration>) -> Result<()> {
        let ttl_max = self.sessions.limits().ttl;
        match ttl {
            Some(ttl) if ttl.is_zero() || ttl > ttl_max => {
                let (found, max) = (ttl.as_secs_f64(), ttl_max.as_secs_f64());
                let message = format!(
                    "`ttl_seconds` is {found}, expected more than 0 and at most {max} (`--session-ttl`)"
                );
                Err(Error::invalid("ttl_seconds", message))
            }
            _ => Ok(()),
        }
    }
}
