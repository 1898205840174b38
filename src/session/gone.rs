//! Why sessions no longer exist, for as long as a client may still ask.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::moment::Moment;
use super::owner::Name;
use super::{Closed, SessionLimits, cannot_go_on};
use crate::error::{Error, ErrorKind};

/// Sessions that ended without being deleted. Bounded in number and in time.
#[derive(Debug, Default)]
pub(super) struct Gone {
    why: HashMap<Name, (Ending, Moment)>,
    /// In the order in which they ended; a name that ended twice is here twice.
    order: VecDeque<(Moment, Name)>,
    unusable: Unusables,
}

/// Stored sessions whose weights are not here: as many as a store had at the start, or at most as many as the table may have.
#[derive(Debug, Default)]
struct Unusables {
    /// With the time at which they would have expired.
    why: HashMap<Name, (Arc<str>, Moment)>,
    /// In the order in which they would have expired; a name may be here that is in use again.
    order: BTreeSet<(Moment, Name)>,
}

/// A stored session whose weights are not here.
pub(super) struct UnusableSession {
    pub(super) name: Name,
    pub(super) why: Arc<str>,
    /// When it would have expired.
    pub(super) until: Moment,
}

/// How a session ended that was not ended by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Expired,
    Evicted,
    /// The store has a session that another server wrote, and that stands at `position`.
    Diverged {
        position: u64,
    },
}

impl Ending {
    pub(super) fn closed(self) -> Closed {
        match self {
            Self::Expired => Closed::Expired,
            Self::Evicted => Closed::Evicted,
            Self::Diverged { .. } => Closed::Diverged,
        }
    }
}

/// A session that has ended.
pub(super) struct GoneSession {
    pub(super) name: Name,
    pub(super) why: Ending,
    /// When it ended.
    pub(super) at: Moment,
}

impl Gone {
    /// Remembers why a session ended.
    pub(super) fn remember(&mut self, gone: GoneSession, limits: &SessionLimits) {
        let GoneSession { name, why, at } = gone;
        let until = at.after(limits.gone_ttl);
        self.why.insert(name.clone(), (why, until));
        self.order.push_back((until, name));
        while self.order.len() > limits.gone_max {
            self.pop();
        }
    }

    /// Forgets up to `count_max` of those that ended long ago. Returns whether there may be more.
    pub(super) fn forget(&mut self, count_max: usize, now: Moment) -> bool {
        for _ in 0..count_max {
            if self.order.front().is_none_or(|(until, _)| *until > now) {
                return false;
            }
            self.pop();
        }
        true
    }

    /// Forgets a name, which is in use again.
    pub(super) fn revive(&mut self, name: &Name) {
        self.why.remove(name);
        self.unusable.why.remove(name);
    }

    /// Remembers stored sessions that are of no use.
    pub(super) fn set_unusable(&mut self, sessions: Vec<UnusableSession>) {
        for UnusableSession { name, why, until } in sessions {
            self.unusable.why.insert(name.clone(), (why, until));
            self.unusable.order.insert((until, name));
        }
    }

    /// Takes up to `count_max` of those that would have expired by now.
    pub(super) fn expired(&mut self, count_max: usize, now: Moment) -> Vec<Name> {
        let mut expired = Vec::new();
        while expired.len() < count_max
            && self.unusable.order.first().is_some_and(|(until, _)| *until <= now)
            && let Some(first) = self.unusable.pop()
        {
            expired.extend(first);
        }
        expired
    }

    /// Forgets the first to expire of those that are more than `count_max`, if there is one.
    pub(super) fn forget_unusable(&mut self, count_max: usize) -> Option<Name> {
        while self.unusable.order.len() > count_max {
            if let Some(first) = self.unusable.pop().flatten() {
                return Some(first);
            }
        }
        None
    }

    /// Whether this is the name of one of them.
    pub(super) fn holds(&self, name: &Name) -> bool {
        self.unusable.why.contains_key(name)
    }

    /// Forgets one of them. Returns whether it was there.
    pub(super) fn leave(&mut self, name: &Name) -> bool {
        self.unusable.why.remove(name).is_some()
    }

    /// The answer to a request for a session that is not there.
    pub(super) fn error(&self, name: &Name, now: Moment) -> Error {
        let id = &name.id;
        if let Some((why, _)) = self.unusable.why.get(name) {
            return cannot_go_on(id.as_str(), why);
        }
        match self.why.get(name).filter(|(_, until)| *until > now) {
            Some((Ending::Expired, _)) => Error::new(
                ErrorKind::SessionExpired,
                format!("session `{id}` expired: it was not used for its time to live"),
            ),
            Some((Ending::Evicted, _)) => Error::new(
                ErrorKind::SessionEvicted,
                format!("session `{id}` was evicted to make room for others"),
            ),
            Some((Ending::Diverged { position }, _)) => diverged(name, *position),
            None => Error::new(ErrorKind::SessionNotFound, format!("session `{id}` does not exist")),
        }
    }

    /// Says that a session has diverged, once.
    pub(super) fn take_divergence(&mut self, name: &Name) -> Option<Error> {
        let &(Ending::Diverged { position }, _) = self.why.get(name)? else { return None };
        self.why.remove(name);
        Some(diverged(name, position))
    }

    /// Whether a session has diverged, and nobody was told yet.
    pub(super) fn has_diverged(&self, name: &Name) -> bool {
        matches!(self.why.get(name), Some((Ending::Diverged { .. }, _)))
    }

    fn pop(&mut self) {
        let Some((until, name)) = self.order.pop_front() else { return };
        if self.why.get(&name).is_some_and(|(_, latest)| *latest == until) {
            self.why.remove(&name);
        }
    }
}

impl Unusables {
    /// Takes the first to expire: its name, or `None` if that is in use again or will expire later than it was to.
    fn pop(&mut self) -> Option<Option<Name>> {
        let (until, name) = self.order.pop_first()?;
        if self.why.get(&name).is_none_or(|(_, latest)| *latest != until) {
            return Some(None);
        }
        self.why.remove(&name);
        Some(Some(name))
    }
}

/// The answer to a request for a session whose last writes here are lost.
pub(super) fn diverged(name: &Name, position: u64) -> Error {
    let message = format!(
        "session `{}` has diverged: another server wrote to it first, and what was written here is lost; it is stored at position {position}",
        name.id
    );
    Error::new(ErrorKind::SessionDiverged, message).standing_at(position)
}
