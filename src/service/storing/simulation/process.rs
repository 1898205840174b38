//! What a crash takes: a table of sessions, its changes, and the writer that stores them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::disk::Disk;
use crate::catalog::{Catalog, Parts, Registry, Served};
use crate::clock::Clock;
use crate::lm::fake::Fake;
use crate::service::storing::writer::{Anew, Models, Progress, Writer};
use crate::service::storing::{Read, read};
use crate::session::{ChangeLimits, Changes, SessionId, SessionLimits, Sessions, StoredName};
use crate::telemetry::Metrics;
use crate::text::{Tokenizer, TokenizerKind, TokenizerSpec};

pub(super) const TTL: Duration = Duration::from_secs(3600);
/// Fewer than there are names, so that some are evicted.
pub(super) const SESSIONS_MAX: usize = 5;

/// Fewer than there are sessions, so that storing all of them anew takes several steps.
const PAGE: usize = 2;

/// What a crash takes.
pub(in crate::service::storing) struct Process {
    pub(in crate::service::storing) sessions: Sessions,
    pub(in crate::service::storing) changes: Arc<Changes>,
    pub(in crate::service::storing) writer: Writer,
}

impl Process {
    pub(in crate::service::storing) fn start(
        disk: &Disk,
        models: &Models,
        clock: &Clock,
        limits: ChangeLimits,
    ) -> Self {
        let changes = Arc::new(Changes::new(limits));
        let session_limits = SessionLimits { sessions_max: SESSIONS_MAX, ..SessionLimits::roomy(TTL) };
        let sessions = Sessions::noting(session_limits, clock.clone(), Some(changes.clone()));
        let mut store = disk.clone();
        let Read { damaged, unusable, .. } = read(&mut store, models, &sessions).unwrap();
        assert_eq!((damaged, unusable), (0, 0));
        let writer = Writer {
            sessions: sessions.clone(),
            changes: changes.clone(),
            models: models.clone(),
            store: Box::new(store),
            clock: clock.clone(),
            metrics: Metrics::new().store(),
            progress: watch::Sender::new(Progress::default()),
            anew: Anew::No,
            page: PAGE,
        };
        Self { sessions, changes, writer }
    }

    /// The sessions of the owner of this session.
    pub(in crate::service::storing) fn sessions_of(&self, name: &StoredName) -> Sessions {
        name.owner.as_ref().map_or_else(|| self.sessions.clone(), |owner| self.sessions.of(owner))
    }

    /// The sessions that each owner finds.
    pub(super) fn names(&self) -> Vec<StoredName> {
        let owners = [None, Some("alice".into()), Some("bob".into())];
        let of_owner = |owner: Option<Arc<str>>| {
            let nobody = StoredName { owner, id: SessionId::random() };
            let infos = self.sessions_of(&nobody).list(None, usize::MAX);
            infos.into_iter().map(move |info| StoredName { id: info.id, ..nobody.clone() })
        };
        owners.into_iter().flat_map(of_owner).collect()
    }
}

/// That model, served.
pub(in crate::service::storing) fn models() -> Models {
    Arc::new(Registry::new(Catalog::new(vec![Served::clone(&served())], None).unwrap()))
}

/// A scripted model of the words `a` to `z`.
pub(in crate::service::storing) fn served() -> Arc<Served> {
    let words: Vec<String> = ('a'..='z').map(String::from).collect();
    let spec = TokenizerSpec::new(TokenizerKind::Whitespace);
    let parts = Parts {
        name: "fake".into(),
        model: Arc::new(Fake::new(words.len())),
        tokenizer: Arc::new(Tokenizer::new(&spec, words.join("\n").as_bytes()).unwrap()),
        identity: "fake".into(),
        created: std::time::UNIX_EPOCH,
        understanding: None,
    };
    Arc::new(Served::new(parts, vec![0]).unwrap())
}
