//! A store that fails, a store that is slow, and entries that are damaged.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt;

use super::entry::{self, Found};
use super::simulation::disk::{Disk, Fate};
use super::simulation::process::{Process, models, served};
use super::writer::{Anew, Step};
use super::{Keeping, Kept, Settling};
use crate::clock::Clock;
use crate::config::Config;
use crate::session::{
    ChangeLimits, Eviction, NewSession, OnExisting, Record, Reload, SessionId, Sessions, Snapshot, StoredName,
};
use crate::telemetry::Metrics;
use crate::text::ExtraWords;

fn id(name: &str) -> SessionId {
    SessionId::parse(name).unwrap()
}

fn create(sessions: &Sessions, name: &str) {
    let served = served();
    let new = NewSession {
        id: Some(id(name)),
        model: served.name.clone(),
        vocab_size: served.model.info().vocab_size,
        snapshot: Snapshot::at_start(served.start.clone(), served.identity.clone()),
        ttl: None,
        extra_words: None,
        on_existing: OnExisting::Refuse,
    };
    sessions.create(new).unwrap();
}

/// How long a test waits for what should happen immediately.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_store_that_fails_costs_no_request_and_catches_up() {
    let metrics = Metrics::new();
    let models = models();
    let disk = Disk::default();
    let mut config = Config::default();
    config.sessions.store_flush = Duration::ZERO;
    let limits = crate::service::session_limits(&config);
    let clock = Clock::system();
    let keeping = Keeping { config: &config, limits, models: &models, metrics: &metrics, clock: &clock };
    let Kept { sessions, storing } = keeping.over(Box::new(disk.clone())).unwrap();
    let storing = storing.unwrap();
    let mut settling = Settling { changes: storing.changes.clone(), progress: storing.progress.clone() };
    for (fate, name) in [(Fate::Refused, "a"), (Fate::Panics, "b")] {
        disk.set(fate);
        create(&sessions, name);
        // Nobody waits for a store that fails.
        tokio::time::timeout(PATIENCE, settling.settle()).await.unwrap();
        assert!(sessions.info(&id(name)).is_ok());
        assert!(!disk.entries().contains_key(name));
    }
    assert!(metrics.store().errors() > 0);
    disk.set(Fate::Written);
    let mut progress = storing.progress.clone();
    let last = storing.changes.last();
    let caught_up = progress.wait_for(|progress| progress.stored >= last && !progress.is_failing);
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap().unwrap();
    assert_eq!(disk.entries().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    create(&sessions, "c");
    tokio::time::timeout(PATIENCE, settling.settle()).await.unwrap();
    assert!(disk.entries().contains_key("c"), "it is waited for again");
    drop(storing);
}

#[test]
fn an_answer_waits_for_what_changed_before_it_and_for_nothing_later() {
    let models = models();
    let limits = ChangeLimits { sessions_max: 10, interval: Duration::ZERO, eviction: Eviction::Removes };
    let mut process = Process::start(&Disk::default(), &models, &Clock::manual(), limits);
    let progress = process.writer.progress.subscribe();
    let settling = || Settling { changes: process.changes.clone(), progress: progress.clone() };
    let mut idle = settling();
    assert!(idle.settle().now_or_never().is_some(), "nothing has changed");
    create(&process.sessions, "a");
    let mut first = settling();
    let mut waits = Box::pin(first.settle());
    assert!(waits.as_mut().now_or_never().is_none());
    let mut second = settling();
    assert_eq!(process.writer.step(), Step::Wrote);
    create(&process.sessions, "b");
    assert!(waits.now_or_never().is_some());
    assert!(second.settle().now_or_never().is_none(), "the second session is not stored");
}

/// A process whose queue has overflowed, so that all its sessions are to be stored anew: in two steps or more.
fn overflown(disk: &Disk) -> Process {
    let limits = ChangeLimits { sessions_max: 2, interval: Duration::ZERO, eviction: Eviction::Removes };
    let process = Process::start(disk, &models(), &Clock::manual(), limits);
    ["a", "b", "c", "d", "e"].into_iter().for_each(|name| create(&process.sessions, name));
    process
}

#[tokio::test]
async fn what_is_stored_anew_is_tried_again_although_nothing_changes() {
    let disk = Disk::default();
    let Process { changes, writer, .. } = overflown(&disk);
    // What must go is removed, and what has waited is written with a page. Then nothing waits, and the rest fails.
    disk.plan([Fate::Written, Fate::Written, Fate::Refused, Fate::Refused]);
    let mut progress = writer.progress.subscribe();
    let thread = std::thread::spawn(move || writer.run(Duration::ZERO));
    let last = changes.last();
    let caught_up = progress.wait_for(|progress| progress.stored >= last && !progress.is_failing);
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap().unwrap();
    assert_eq!(disk.entries().into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    changes.close();
    thread.join().unwrap();
}

#[test]
fn a_writer_ends_although_all_is_to_be_stored_anew_and_the_store_fails() {
    let disk = Disk::default();
    let Process { changes, mut writer, .. } = overflown(&disk);
    assert_eq!(writer.step(), Step::Wrote);
    assert_eq!((changes.count(), writer.anew != Anew::No), (0, true));
    disk.set(Fate::Refused);
    changes.close();
    writer.run(Duration::ZERO);
    assert!(disk.entries().len() < 5);
}

fn record() -> Record {
    let words = vec![("submarine".into(), -0.5), ("ünder".into(), -1.25)];
    let served = served();
    let mut snapshot = Snapshot::at_start(served.start.clone(), served.identity.clone());
    snapshot.advance(&[3, 1, 4]);
    Record {
        name: StoredName::parse("alice/s.1").unwrap(),
        model: served.name.clone(),
        snapshot,
        rewind_tokens: 70,
        ttl: Duration::from_secs(90),
        extra_words: Some(Arc::new(ExtraWords::of_shares(words))),
        created_at: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
        last_used_at: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    }
}

/// Everything of a record that can be compared.
fn shown(record: &Record) -> String {
    let words: Vec<_> = record.extra_words.iter().flat_map(|words| words.shares()).collect();
    format!("{record:?} {words:?}")
}

fn read(key: &str, bytes: &[u8]) -> Option<Record> {
    let served = served();
    match entry::read(key, bytes, |name| (*name == *served.name).then(|| served.clone())) {
        Ok(Found::Session(session)) => Some(session.record),
        Ok(Found::Unusable(_)) | Err(_) => None,
    }
}

#[test]
fn an_entry_is_the_session_that_was_written() {
    let record = record();
    let bytes = entry::write(&served(), &record).unwrap();
    assert_eq!(shown(&read("alice/s.1", &bytes).unwrap()), shown(&record));
    assert!(
        ["s.1", "alice/s.2", "bob/s.1"].iter().all(|key| read(key, &bytes).is_none()),
        "an entry belongs to its key"
    );
}

#[test]
fn a_session_goes_back_as_far_as_the_limits_allow_whatever_its_entry_says() {
    let limits = crate::service::session_limits(&Config::default());
    let rewind_max = limits.rewind_max;
    let sessions = Sessions::new(limits, Clock::system());
    for (asked, given) in [(usize::MAX, rewind_max), (rewind_max + 1, rewind_max), (70, 70), (0, 0)] {
        let record = Record { rewind_tokens: asked, ..record() };
        let bytes = entry::write(&served(), &record).unwrap();
        let served = |_: &str| Some(served());
        let Ok(Found::Session(restored)) = entry::read("alice/s.1", &bytes, served) else {
            panic!("an entry of {asked} tokens is read")
        };
        assert_eq!(restored.record.rewind_tokens, asked, "the entry says so, and its checksum covers it");
        assert_eq!(sessions.restore(*restored.clone()), Ok(true));
        let name = &sessions.names(None, 1)[0];
        assert_eq!(sessions.record(name).unwrap().rewind_tokens, given);
        assert_eq!(sessions.reload(*restored), Ok(Reload::Placed));
        assert_eq!(sessions.record(name).unwrap().rewind_tokens, given);
    }
}

#[test]
fn an_extra_word_has_a_share() {
    for (log_share, is_read) in [
        (0.0, true),
        (f64::NEG_INFINITY, true),
        (f64::MIN_POSITIVE, false),
        (f64::INFINITY, false),
        (f64::NAN, false),
    ] {
        let words = ExtraWords::of_shares(vec![("submarine".into(), log_share)]);
        let record = Record { extra_words: Some(Arc::new(words)), ..record() };
        let bytes = entry::write(&served(), &record).unwrap();
        assert_eq!(read("alice/s.1", &bytes).is_some(), is_read, "{log_share}");
    }
}

/// A byte of padding may change without a consequence; anything else is found.
#[test]
fn an_entry_with_any_damage_is_refused_or_means_the_same() {
    let record = record();
    let bytes = entry::write(&served(), &record).unwrap();
    let mut refused = 0;
    for place in 0..bytes.len() {
        for flip in [1, 0x20, 0x80] {
            let mut damaged = bytes.clone();
            damaged[place] ^= flip;
            match read("alice/s.1", &damaged) {
                Some(found) => assert_eq!(shown(&found), shown(&record), "byte {place} ^ {flip}"),
                None => refused += 1,
            }
        }
    }
    assert!(refused > 3 * bytes.len() - 100, "{refused} of {}", 3 * bytes.len());
    assert!(
        (0..bytes.len()).all(|len| read("alice/s.1", &bytes[..len]).is_none()),
        "an entry that was cut is refused"
    );
}
