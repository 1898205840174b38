//! Use case: sessions are created, listed, looked at, copied, reset and deleted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Service;
use super::bounds::Bound;
use super::input::Use;
use super::refusal::counted;
use super::target::start_of;
use super::work::end_of;
use crate::api::sessions::{
    CreateSessionRequest, CreatedSession, Expectation, ForkRequest, Lifetime, ListSessionsQuery,
    SESSION_ID_LENGTH_MAX, Session, SessionList,
};
use crate::api::state::Carried;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::Cache;
use crate::session::{NewSession, OnExisting, PIECE, SessionId, SessionInfo, Standing};

const _: () = assert!(SESSION_ID_LENGTH_MAX == SessionId::LEN_MAX);

/// Checks what is to become the id of a session.
///
/// # Errors
/// `InvalidValue`.
pub fn check_session_id(id: &str) -> Result<()> {
    SessionId::parse(id).map(drop)
}

impl Service {
    /// Creates a session. It exists only when all that was asked has succeeded: a failure leaves an old session with the same
    /// id as it was.
    ///
    /// # Errors
    /// Whatever is wrong with the request; an id that is taken; no room; a full queue.
    pub async fn create_session(&self, request: CreateSessionRequest) -> Result<CreatedSession> {
        self.settled(self.create_now(request)).await
    }

    async fn create_now(&self, request: CreateSessionRequest) -> Result<CreatedSession> {
        let CreateSessionRequest {
            id,
            prompt,
            lifetime,
            replace,
            rewind_tokens,
            extra_words,
            state,
            cache,
            next,
        } = request;
        let ttl = self.ttl(lifetime)?;
        Bound { param: "rewind_tokens", max: self.config.sessions.rewind_max, option: "--rewind-max" }
            .number(rewind_tokens)?;
        let id = id.as_deref().map(SessionId::parse).transpose()?;
        let on_existing = if replace { OnExisting::Replace } else { OnExisting::Refuse };
        if let Some(id) = &id {
            self.sessions.check_free(id, on_existing).map_err(or_replace)?;
        }
        let carried = Carried { state, cache, ..Carried::default() };
        let target = self.start_target(prompt.model.as_deref(), &carried).await?;
        let served = target.served();
        let prepared = self.prepare_prompt(served, prompt, Use::Read).await?;
        let extra_words = self.extra_words(served, extra_words, "extra_words")?;
        let asked = self.check_question_beside(served, next).await?;
        let asked = asked.map(|asked| asked.after(&prepared.tokens));
        if asked.is_some() {
            target.check_context(prepared.tokens.len())?;
        }
        let start = self.open(&target)?.with_history(rewind_tokens);
        let tail = prepared.tail_after(&start.tail);
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            next: asked.as_ref().map(|asked| asked.query.clone()),
            ..Default::default()
        };
        let mut result = self.read_copy(served, start, plan).await?;
        let snapshot = end_of(&mut result)?;
        let next = asked.map(|asked| asked.answered(served, &tail, result.next)).transpose()?;
        let _claim = self.claim_new(id.as_ref()).await?;
        let session = self.add_session(NewSession {
            id,
            model: served.name.clone(),
            vocab_size: served.model.info().vocab_size,
            snapshot,
            ttl,
            extra_words,
            on_existing,
        });
        let session = session.map_err(or_replace)?;
        Ok(CreatedSession { session, unknown_count: prepared.unknown_count, next })
    }

    /// A page of the list of sessions.
    ///
    /// # Errors
    /// `InvalidValue` for an id that cannot be one and for a `limit` out of range.
    pub async fn list_sessions(&self, query: &ListSessionsQuery) -> Result<SessionList> {
        let after = query.after.as_deref().map(SessionId::parse).transpose();
        let after = after.map_err(|error| error.at("after"))?;
        let max = self.config.sessions.sessions_page_max;
        let limit = query.limit.unwrap_or(ListSessionsQuery::LIMIT_DEFAULT.min(max));
        Bound { param: "limit", max, option: "--sessions-page-max" }.number_above_0(limit)?;
        let model = query.model.as_deref().map(|name| self.named_model(Some(name))).transpose()?;
        let name = model.as_ref().map(|model| &*model.name);
        let mut sessions = self.page_of_sessions(after, limit + 1, name).await;
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        let next_after = sessions.last().filter(|_| has_more).map(|last| last.id.to_string());
        let data = sessions.into_iter().map(described).collect();
        Ok(SessionList { object: "list", data, has_more, next_after })
    }

    /// At most `limit` sessions after `after`, of this model if one is given. They are looked at in pieces, between which other requests
    /// use the table and the thread: it may take a million to find one.
    async fn page_of_sessions(
        &self,
        mut after: Option<SessionId>,
        limit: usize,
        model: Option<&str>,
    ) -> Vec<SessionInfo> {
        let mut found = Vec::new();
        if model.is_some_and(|model| !self.sessions.has_any_of(model)) {
            return found;
        }
        loop {
            let wanted = limit - found.len();
            let piece = if model.is_some() { PIECE } else { PIECE.min(wanted) };
            let looked_at = self.sessions.list(after.as_ref(), piece);
            let is_last = looked_at.len() < piece;
            after = looked_at.last().map(|last| last.id.clone());
            let of_model = |info: &SessionInfo| model.is_none_or(|model| *info.model == *model);
            found.extend(looked_at.into_iter().filter(of_model).take(wanted));
            if is_last || found.len() == limit {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The session `id`. Looking at it is no use of it.
    ///
    /// # Errors
    /// An id that cannot be one; a session that does not exist, or no longer exists.
    pub fn session(&self, id: &str) -> Result<Session> {
        Ok(described(self.sessions.info(&SessionId::parse(id)?)?))
    }

    /// Deletes a session.
    ///
    /// # Errors
    /// As [`Self::session`]; `SessionBusy`; `PositionMismatch`.
    pub async fn delete_session(&self, id: &str, expected: Expectation) -> Result<()> {
        self.settled(self.delete_now(id, expected)).await
    }

    async fn delete_now(&self, id: &str, expected: Expectation) -> Result<()> {
        let id = SessionId::parse(id)?;
        let _claim = self.claim(&id).await?;
        self.sessions.delete(&id, expected.expected_position)
    }

    /// Copies a session. This is a read: a busy session is copied as it stood before the running write.
    ///
    /// # Errors
    /// As [`Self::session`]; an id that is taken; no room.
    pub async fn fork_session(&self, id: &str, request: &ForkRequest) -> Result<Session> {
        self.settled(self.fork_now(id, request)).await
    }

    async fn fork_now(&self, id: &str, request: &ForkRequest) -> Result<Session> {
        let id = SessionId::parse(id)?;
        let copy = request.id.as_deref().map(SessionId::parse).transpose()?;
        let given = self.ttl(request.lifetime)?;
        let _claim = self.claim_new(copy.as_ref()).await?;
        let Standing { model, snapshot, ttl, extra_words } = self.sessions.read(&id)?;
        let ttl = given.or(Some(ttl));
        let vocab_size = self.model_of_session(&id, &model)?.model.info().vocab_size;
        self.add_session(NewSession {
            id: copy,
            model,
            vocab_size,
            snapshot,
            ttl,
            extra_words,
            on_existing: OnExisting::Refuse,
        })
    }

    /// Sets a session back to its model's start, where a cache is empty.
    ///
    /// # Errors
    /// As [`Self::session`]; `SessionBusy`; `PositionMismatch`.
    pub async fn reset_session(&self, id: &str, expected: Expectation) -> Result<Session> {
        self.settled_in(id, self.reset_now(id, expected)).await
    }

    async fn reset_now(&self, id: &str, expected: Expectation) -> Result<Session> {
        let session = self.session_target(id, None)?;
        let mut lease = self.lease(&session, expected).await?;
        let mut start = start_of(&session.served);
        let emptied = |cache: &Arc<Cache>| Arc::new(Cache::new(cache.options(), cache.width()));
        start.state.set_cache(lease.snapshot.state.cache().map(emptied));
        lease.restart(start)?;
        drop(lease);
        Ok(described(self.sessions.info(&session.id)?))
    }

    pub(super) fn add_session(&self, new: NewSession) -> Result<Session> {
        counted(&self.metrics, self.sessions.create(new)).map(described)
    }

    fn ttl(&self, lifetime: Lifetime) -> Result<Option<Duration>> {
        let Some(seconds) = lifetime.ttl_seconds else { return Ok(None) };
        let max = self.config.sessions.session_ttl;
        let accepted = |ttl: &Duration| !ttl.is_zero() && *ttl <= max;
        match Duration::try_from_secs_f64(seconds).ok().filter(accepted) {
            Some(ttl) => Ok(Some(ttl)),
            None => {
                let max = max.as_secs_f64();
                let message = format!(
                    "`ttl_seconds` is {seconds}; it must be above 0, and the maximum is {max} (`--session-ttl`)"
                );
                Err(Error::invalid("ttl_seconds", message))
            }
        }
    }
}

/// Says what a creation can do about an id that is taken, unlike a fork.
fn or_replace(error: Error) -> Error {
    match error.kind {
        ErrorKind::SessionExists => {
            Error { message: format!("{}, or `replace` must be true", error.message), ..error }
        }
        _ => error,
    }
}

/// A session as its clients see it.
pub(super) fn described(info: SessionInfo) -> Session {
    Session {
        id: info.id.to_string(),
        model: info.model.to_string(),
        position: info.position,
        state_bytes: info.state_bytes,
        created_at: rfc3339(info.created_at),
        last_used_at: rfc3339(info.last_used_at),
        expires_at: rfc3339(info.expires_at),
        busy: info.busy,
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
