//! A session as the table stores it: everything but its state in 200 bytes, whatever it has read.

use std::sync::Arc;
use std::time::Duration;

use super::memory::{block, shared_block};
use super::moment::{Moment, Timeline, nanos};
use super::origins::{OriginNumber, Origins};
use super::owner::Owners;
use super::{History, NewSession, Record, SessionId, SessionInfo, Snapshot, Standing, StoredName};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{State, TokenId};
use crate::text::{ExtraWords, Joint, Tail};

/// A session in the table.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    state: State,
    position: u64,
    created: Moment,
    last_used: Moment,
    /// Nanoseconds.
    ttl: u64,
    /// Allocated when the session is created, if it can ever need it: reading on changes no bytes.
    extras: Option<Box<Extras>>,
    /// The lower halves of the ids of the tail's tokens.
    tail: [u16; Tail::TOKENS_MAX],
    tail_len: u8,
    joint: Joint,
    busy: Busy,
    origin: OriginNumber,
}

/// What most sessions do not have.
#[derive(Debug)]
struct Extras {
    history: Option<Arc<History>>,
    extra_words: Option<Arc<ExtraWords>>,
    /// The upper halves of the ids of the tail's tokens.
    upper: [u16; Tail::TOKENS_MAX],
}

/// What a session does not know of itself.
pub(super) struct Scene<'a> {
    pub(super) origins: &'a Origins,
    pub(super) owners: &'a Owners,
    pub(super) time: &'a Timeline,
}

/// What a session gets from the table that it enters.
pub(super) struct Beginning {
    pub(super) now: Moment,
    pub(super) ttl: Duration,
    pub(super) origin: OriginNumber,
}

impl Default for Extras {
    fn default() -> Self {
        Self { history: None, extra_words: None, upper: [0; Tail::TOKENS_MAX] }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    Idle,
    Leased,
}

/// The number of tokens whose ids have no upper half.
const NARROW_VOCABULARY: usize = 1 << u16::BITS;

impl Session {
    /// A new session.
    pub(super) fn new(id: SessionId, new: NewSession, beginning: &Beginning) -> Self {
        let NewSession { mut snapshot, extra_words, vocab_size, .. } = new;
        let &Beginning { now, ttl, origin } = beginning;
        let needs_extras =
            snapshot.history.is_some() || extra_words.is_some() || vocab_size > NARROW_VOCABULARY;
        let extras = needs_extras.then(|| Box::new(Extras { extra_words, ..Extras::default() }));
        let mut session = Self {
            id,
            state: snapshot.state.clone(),
            position: 0,
            created: now,
            last_used: now,
            ttl: nanos(ttl),
            extras,
            tail: [0; Tail::TOKENS_MAX],
            tail_len: 0,
            joint: Joint::Open,
            busy: Busy::Idle,
            origin,
        };
        session.stand_at(&mut snapshot);
        session
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.id
    }

    pub(super) fn origin(&self) -> OriginNumber {
        self.origin
    }

    pub(super) fn busy(&self) -> Busy {
        self.busy
    }

    pub(super) fn set_busy(&mut self, busy: Busy) {
        self.busy = busy;
    }

    pub(super) fn set_last_used(&mut self, now: Moment) {
        self.last_used = now;
    }

    pub(super) fn set_created(&mut self, created: Moment) {
        self.created = created;
    }

    /// Whether a use at `now` lets it live noticeably longer than the one before: by an eighth of its time to live.
    pub(super) fn is_prolonged(&self, now: Moment) -> bool {
        self.last_used.passes(now, Duration::from_nanos(self.ttl / 8))
    }

    /// Lets the session stand at `snapshot`, which gets the old state in exchange, to be freed outside the lock.
    pub(super) fn stand_at(&mut self, snapshot: &mut Snapshot) {
        std::mem::swap(&mut self.state, &mut snapshot.state);
        self.position = snapshot.position;
        self.joint = snapshot.tail.joint;
        let tokens = snapshot.tail.tokens();
        self.tail_len = tokens.len() as u8;
        for (lower, &token) in self.tail.iter_mut().zip(tokens) {
            *lower = token as u16;
        }
        let has_upper = tokens.iter().any(|&token| token >> u16::BITS > 0);
        if self.extras.is_none() && !has_upper && snapshot.history.is_none() {
            return;
        }
        let extras = self.extras.get_or_insert_default();
        for (upper, &token) in extras.upper.iter_mut().zip(tokens) {
            *upper = (token >> u16::BITS) as u16;
        }
        std::mem::swap(&mut extras.history, &mut snapshot.history);
    }

    fn tail(&self) -> Tail {
        let upper = |index: usize| self.extras.as_ref().map_or(0, |extras| extras.upper[index]);
        let lower = self.tail[..usize::from(self.tail_len)].iter().enumerate();
        let tokens: Vec<TokenId> = lower
            .map(|(index, &lower)| TokenId::from(lower) | TokenId::from(upper(index)) << u16::BITS)
            .collect();
        Tail::new(&tokens, self.joint)
    }

    fn snapshot(&self, origins: &Origins) -> Snapshot {
        Snapshot {
            state: self.state.clone(),
            identity: origins[self.origin].identity.clone(),
            position: self.position,
            tail: self.tail(),
            history: self.history().cloned(),
        }
    }

    pub(super) fn standing(&self, origins: &Origins) -> Standing {
        Standing {
            model: origins[self.origin].model.clone(),
            snapshot: self.snapshot(origins),
            ttl: Duration::from_nanos(self.ttl),
            extra_words: self.extra_words(),
        }
    }

    pub(super) fn expires(&self) -> Moment {
        self.last_used.after(Duration::from_nanos(self.ttl))
    }

    /// Whether it has not been used for its time to live. A busy session is in use.
    pub(super) fn has_expired(&self, now: Moment) -> bool {
        self.busy == Busy::Idle && self.expires() <= now
    }

    pub(super) fn extra_words(&self) -> Option<Arc<ExtraWords>> {
        self.extras.as_ref()?.extra_words.clone()
    }

    fn history(&self) -> Option<&Arc<History>> {
        self.extras.as_ref()?.history.as_ref()
    }

    pub(super) fn check_rewind(&self, position: u64) -> Result<()> {
        History::of(self.history())?.check(position)
    }

    /// Refuses a write to a session that is busy or stands elsewhere.
    pub(super) fn check_writable(&self, expected_position: Option<u64>) -> Result<()> {
        self.check_idle()?;
        let found = self.position;
        match expected_position {
            Some(expected) if expected != found => {
                let message =
                    format!("session `{}` stands at position {found}, expected {expected}", self.id);
                Err(Error::new(ErrorKind::PositionMismatch, message).at("expected_position"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_idle(&self) -> Result<()> {
        match self.busy {
            Busy::Idle => Ok(()),
            Busy::Leased => {
                let message = format!("session `{}` is busy: another write is running on it", self.id);
                Err(Error::new(ErrorKind::SessionBusy, message))
            }
        }
    }

    pub(super) fn info(&self, origins: &Origins, time: &Timeline) -> SessionInfo {
        SessionInfo {
            id: self.id.clone(),
            model: origins[self.origin].model.clone(),
            position: self.position,
            state_bytes: self.state.bytes(),
            created_at: time.date(self.created),
            last_used_at: time.date(self.last_used),
            expires_at: time.date(self.expires()),
            busy: self.busy == Busy::Leased,
        }
    }

    /// The session for a store. A write that has led to `checkpoint` is under way if there is one.
    pub(super) fn record(&self, scene: &Scene<'_>, checkpoint: Option<Snapshot>) -> Record {
        let Standing { model, snapshot, ttl, extra_words } = self.standing(scene.origins);
        let snapshot = checkpoint.unwrap_or(snapshot);
        let owner = scene.owners.name(scene.origins[self.origin].owner).cloned();
        Record {
            name: StoredName { owner, id: self.id.clone() },
            model,
            snapshot: Snapshot { history: None, ..snapshot },
            rewind_tokens: self.history().map_or(0, |history| history.tokens_max()),
            ttl,
            extra_words,
            created_at: scene.time.date(self.created),
            last_used_at: scene.time.date(self.last_used),
        }
    }

    /// Bytes of the memory that this session takes beyond its entries in the arrays of the table.
    ///
    /// A state that forks share is counted for each of them, because each gets its own when it reads on.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes_with(&self.state)
    }

    /// The same with another state.
    pub(super) fn heap_bytes_with(&self, state: &State) -> usize {
        let state_bytes = state.bytes();
        let history = self.history().map_or(0, |history| history.bytes(state_bytes));
        let extra_words = self.extra_words().map_or(0, |words| words.bytes());
        let marks = self.history().map_or(0, |history| history.marks_max());
        let cache = state.cache().map_or(0, |cache| cache.bytes_max(marks));
        let extras = self.extras.as_ref().map_or(0, |_| block(size_of::<Extras>()));
        self.id.heap_bytes() + shared_block(state_bytes) + extras + history + extra_words + cache
    }
}

const _: () = assert!(Tail::TOKENS_MAX <= u8::MAX as usize);
