//! Where a request starts: at the start of a model, at a state that it brings, or where a session stands.
//!
//! A request first looks at its target, which does not count as a use of a session. The session is read or leased only when the
//! whole request has been checked. So a request that is refused neither extends a session's life nor stands in the way of a
//! write.

use std::sync::Arc;
use std::time::Duration;

use super::Service;
use crate::api::sessions::Expectation;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::session::{Lease, SessionId, Snapshot, Standing, cannot_go_on, no_longer_served, weights_changed};
use crate::text::ExtraWords;

/// Where a request starts, as it was when the request looked at it.
pub(super) enum Target {
    /// At the start of a model.
    Model(Arc<Served>),
    /// At a state that the request gives.
    Given {
        /// The model that the state belongs to.
        served: Arc<Served>,
        /// The state.
        snapshot: Box<Snapshot>,
    },
    /// Where a session stands.
    Session(SessionTarget),
}

/// A session, as it was when the request looked at it.
pub(super) struct SessionTarget {
    pub(super) id: SessionId,
    /// The session's model.
    pub(super) served: Arc<Served>,
    /// Words that are suggested in it although its model does not know them.
    pub(super) extra_words: Option<Arc<ExtraWords>>,
    position: u64,
}

/// Where new sessions branch off, and what they take over.
pub(super) struct Branch {
    pub(super) snapshot: Snapshot,
    /// The server's own if absent.
    pub(super) ttl: Option<Duration>,
    pub(super) extra_words: Option<Arc<ExtraWords>>,
}

impl Target {
    pub(super) fn served(&self) -> &Arc<Served> {
        match self {
            Self::Model(served) | Self::Given { served, .. } => served,
            Self::Session(session) => &session.served,
        }
    }

    /// Whether the initial tokens of the model are all that was read.
    pub(super) fn is_at_start(&self) -> bool {
        match self {
            Self::Model(_) => true,
            Self::Given { .. } => false,
            Self::Session(session) => session.position == 0,
        }
    }

    /// The session, if it is one.
    pub(super) fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Session(session) => Some(&session.id),
            Self::Model(_) | Self::Given { .. } => None,
        }
    }

    /// Refuses a request for the token after `tokens_read` more tokens if no token precedes it.
    pub(super) fn check_context(&self, tokens_read: usize) -> Result<()> {
        let position = match self {
            Self::Model(_) => 0,
            Self::Given { snapshot, .. } => snapshot.position,
            Self::Session(session) => session.position,
        };
        check_context(self.served(), position + tokens_read as u64)
    }
}

impl Service {
    /// The start of the model `name`, or of the default model.
    ///
    /// # Errors
    /// `ModelNotFound`.
    pub(super) fn model_target(&self, name: Option<&str>) -> Result<Target> {
        Ok(Target::Model(self.named_model(name)?))
    }

    /// The model that the field `model` names, or the default model.
    ///
    /// # Errors
    /// `ModelNotFound`.
    pub(super) fn named_model(&self, name: Option<&str>) -> Result<Arc<Served>> {
        self.catalog().get(name).cloned().map_err(|error| error.at("model"))
    }

    /// The session `id`, whose model must be `model` if that is given.
    ///
    /// # Errors
    /// `InvalidValue` for what cannot be an id and for another model; a session that does not exist, or no longer exists.
    pub(super) fn session_target(&self, id: &str, model: Option<&str>) -> Result<SessionTarget> {
        let id = SessionId::parse(id)?;
        let info = self.sessions.info(&id)?;
        let found = &*info.model;
        if let Some(asked) = model.filter(|asked| *asked != found) {
            let message = format!("`model` is `{asked}`; the model of session `{id}` is `{found}`");
            return Err(Error::invalid("model", message));
        }
        let served = self.model_of_session(&id, found)?;
        let extra_words = self.sessions.extra_words(&id)?;
        Ok(SessionTarget { id, served, extra_words, position: info.position })
    }

    /// The model `name` of the session `id`.
    ///
    /// # Errors
    /// `ModelChanged` if it was unloaded since the request looked at the session.
    pub(super) fn model_of_session(&self, id: &SessionId, name: &str) -> Result<Arc<Served>> {
        let served = self.registry.get(name);
        served.ok_or_else(|| cannot_go_on(id.as_str(), &no_longer_served(name)))
    }

    /// The request was checked against one model. It cannot continue if the session was replaced by one of another, or if the model was
    /// replaced by one of other weights.
    pub(super) fn check_model(
        &self,
        session: &SessionTarget,
        model: &str,
        snapshot: &Snapshot,
    ) -> Result<()> {
        let SessionTarget { id, served, .. } = session;
        if *model == *served.name && *snapshot.identity == *served.identity {
            return Ok(());
        }
        let now = self.model_of_session(id, model)?;
        if *snapshot.identity != *now.identity {
            let why = weights_changed(model, &snapshot.identity, &now.identity);
            return Err(cannot_go_on(id.as_str(), &why));
        }
        let message = format!("session `{id}` was replaced while this request was being checked");
        Err(Error::new(ErrorKind::SessionBusy, message))
    }

    /// The state at `target`: a copy, which moves no session and has no history. This counts as a use of the session.
    ///
    /// # Errors
    /// A session that no longer exists or was replaced.
    pub(super) fn open(&self, target: &Target) -> Result<Snapshot> {
        match target {
            Target::Model(served) => Ok(start_of(served)),
            Target::Given { snapshot, .. } => Ok(Snapshot::clone(snapshot)),
            Target::Session(session) => {
                let standing = self.sessions.read(&session.id)?;
                self.check_model(session, &standing.model, &standing.snapshot)?;
                Ok(Snapshot { history: None, ..standing.snapshot })
            }
        }
    }

    /// The state at `target` for copies that become sessions, which can go back as far as a session at `target` can. This counts as a
    /// use of the session.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn branch(&self, target: &Target) -> Result<Branch> {
        match target {
            Target::Model(_) | Target::Given { .. } => {
                Ok(Branch { snapshot: self.open(target)?, ttl: None, extra_words: None })
            }
            Target::Session(session) => {
                let Standing { model, snapshot, ttl, extra_words } = self.sessions.read(&session.id)?;
                self.check_model(session, &model, &snapshot)?;
                Ok(Branch { snapshot, ttl: Some(ttl), extra_words })
            }
        }
    }

    /// The right to advance a session.
    ///
    /// # Errors
    /// A session that no longer exists or was replaced; `SessionBusy`; `PositionMismatch`.
    pub(super) async fn lease(&self, session: &SessionTarget, expected: Expectation) -> Result<Lease> {
        let _claim = self.claim(&session.id).await?;
        let lease = self.sessions.lease(&session.id, expected.expected_position)?;
        self.check_model(session, lease.model(), &lease.snapshot)?;
        Ok(lease)
    }

    /// As [`Self::lease`], for a request that is right only where the session was when the request looked at it.
    ///
    /// # Errors
    /// As [`Self::lease`]; `SessionBusy` if the session has moved since.
    pub(super) async fn lease_as_seen(
        &self,
        session: &SessionTarget,
        expected: Expectation,
    ) -> Result<Lease> {
        let lease = self.lease(session, expected).await?;
        if lease.snapshot.position == session.position {
            return Ok(lease);
        }
        let message = format!("session `{}` was moved while this request was being checked", session.id);
        Err(Error::new(ErrorKind::SessionBusy, message))
    }
}

/// Position 0 of a model: the state after the manifest's initial tokens.
pub(super) fn start_of(served: &Served) -> Snapshot {
    let start = Snapshot::at_start(served.start.clone(), served.identity.clone());
    Snapshot { tail: served.start_tail.clone(), ..start }
}

/// Refuses a request for a token that no token precedes.
pub(super) fn check_context(served: &Served, tokens_before: u64) -> Result<()> {
    if tokens_before == 0 && served.initial_tokens.is_empty() {
        let message = format!(
            "nothing was read, and model `{}` has no initial tokens; an input of at least one token is required",
            served.name
        );
        return Err(Error::new(ErrorKind::EmptyContext, message));
    }
    Ok(())
}
