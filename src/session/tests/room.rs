//! Room in the table: for sessions that are created, and for those that get a larger cache.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::{id, new};
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::lm::{Cache, CacheOptions};

const TTL: Duration = Duration::from_secs(60);

fn table(limits: SessionLimits) -> Sessions {
    Sessions::new(limits, Clock::manual())
}

/// A state with a cache of `window` tokens; without one if that is 0.
fn start(window: usize) -> Snapshot {
    let mut snapshot = new(0, 4).snapshot;
    let options = CacheOptions { window, theta: 0.5, lambda: 0.5 };
    snapshot.state.set_cache((window > 0).then(|| Arc::new(Cache::new(options, 4))));
    snapshot
}

fn create(sessions: &Sessions, number: u8, window: usize) {
    sessions.create(NewSession { snapshot: start(window), ..new(number, 4) }).unwrap();
}

/// Puts a state with a cache of `window` tokens into a session.
fn restart(sessions: &Sessions, number: u8, window: usize) -> Result<()> {
    sessions.lease(&id(number), None)?.restart(start(window))
}

fn bytes_of(window: usize) -> usize {
    let sessions = table(SessionLimits::roomy(TTL));
    create(&sessions, 0, window);
    sessions.stats().bytes
}

const LARGE: usize = 100;

#[test]
fn a_session_that_grows_needs_room_as_a_new_one_does() {
    let small = bytes_of(0);
    let large = bytes_of(LARGE);
    assert!(large > 2 * small);
    for evict in [Evict::Lru, Evict::None] {
        let sessions = table(SessionLimits { bytes_max: large + small, evict, ..SessionLimits::roomy(TTL) });
        (0..3).for_each(|number| create(&sessions, number, 0));
        let grown = restart(&sessions, 0, LARGE);
        let found: Vec<bool> = (0..3).map(|number| sessions.info(&id(number)).is_ok()).collect();
        match evict {
            // It is the one that was not used for longest, and makes no room for itself.
            Evict::Lru => {
                assert_eq!((grown, found), (Ok(()), vec![true, false, true]));
                assert_eq!(sessions.info(&id(1)).unwrap_err().kind, ErrorKind::SessionEvicted);
                assert_eq!(sessions.stats().bytes, large + small);
            }
            Evict::None => {
                assert_eq!(grown.unwrap_err().kind, ErrorKind::SessionsFull);
                assert_eq!((found, sessions.stats().bytes), (vec![true; 3], 3 * small));
                assert_eq!(sessions.look(&id(0)).unwrap().snapshot, start(0), "it stands where it stood");
            }
        }
        assert_eq!(sessions.stats().bytes, sessions.counted_afresh());
    }
}

#[test]
fn no_session_is_evicted_for_one_that_grows_too_large() {
    let sessions = table(SessionLimits { bytes_max: bytes_of(LARGE) - 1, ..SessionLimits::roomy(TTL) });
    (0..2).for_each(|number| create(&sessions, number, 0));
    assert_eq!(restart(&sessions, 0, LARGE).unwrap_err().kind, ErrorKind::SessionsFull);
    assert!(sessions.info(&id(1)).is_ok());
}

#[test]
fn room_is_given_once() {
    let sessions =
        table(SessionLimits { bytes_max: bytes_of(LARGE) + bytes_of(0), ..SessionLimits::roomy(TTL) });
    (0..2).for_each(|number| create(&sessions, number, 0));
    let [mut first, mut second] = [0, 1].map(|number| sessions.lease(&id(number), None).unwrap());
    first.restart(start(LARGE)).unwrap();
    assert_eq!(second.restart(start(LARGE)).unwrap_err().kind, ErrorKind::SessionsFull);
    drop((first, second));
    assert_eq!(sessions.look(&id(0)).unwrap().snapshot, start(LARGE));
    assert_eq!(sessions.look(&id(1)).unwrap().snapshot, start(0));
    assert_eq!(sessions.stats().bytes, sessions.counted_afresh());
}

#[test]
fn a_session_grows_within_what_its_owner_may_have() {
    let bytes_max = bytes_of(LARGE);
    let each_owner = OwnerLimits { sessions_max: Some(2), bytes_max: Some(bytes_max) };
    // Too little room for what is refused: others could be evicted for it.
    let sessions =
        table(SessionLimits { each_owner, bytes_max: bytes_max + bytes_of(0), ..SessionLimits::roomy(TTL) });
    let [alice, bob] = ["alice", "bob"].map(|name| sessions.of(name));
    (0..2).for_each(|number| create(&alice, number, 0));
    create(&bob, 0, 0);
    let refused = restart(&alice, 0, LARGE).unwrap_err();
    assert_eq!((refused.kind, refused.quota), (ErrorKind::RateLimited, Some(bytes_max as u64)));
    assert!(refused.message.contains("`--key-sessions-bytes-max`"), "{}", refused.message);
    assert_eq!(alice.account(), Account { sessions: 2, bytes: 2 * bytes_of(0) });
    alice.delete(&id(1), None).unwrap();
    restart(&alice, 0, LARGE).unwrap();
    assert_eq!(alice.account(), Account { sessions: 1, bytes: bytes_max });
    assert!(bob.info(&id(0)).is_ok());
}

#[test]
fn an_owner_that_has_more_than_it_may_have_can_write_to_it() {
    let before = table(SessionLimits::roomy(TTL));
    (0..2).for_each(|number| create(&before.of("alice"), number, 0));
    let records: Vec<Record> =
        before.names(None, 2).iter().map(|name| before.record(name).unwrap()).collect();
    let restored = |each_owner: OwnerLimits| {
        let sessions = table(SessionLimits { each_owner, ..SessionLimits::roomy(TTL) });
        for record in records.clone() {
            assert!(sessions.restore(Restored { record, vocab_size: 1000 }).unwrap());
        }
        sessions.of("alice")
    };
    let few_bytes = restored(OwnerLimits { sessions_max: None, bytes_max: Some(1) });
    restart(&few_bytes, 0, 0).unwrap();
    assert_eq!(restart(&few_bytes, 0, LARGE).unwrap_err().kind, ErrorKind::RateLimited);
    // A session that grows is not one more.
    restart(&restored(OwnerLimits { sessions_max: Some(1), bytes_max: None }), 0, LARGE).unwrap();
}

/// A creation looks at the clock twice, and what it replaces may expire between the two.
#[test]
fn what_is_replaced_may_expire_while_room_is_made() {
    let clock = Clock::manual();
    let bytes_max = bytes_of(LARGE);
    let sessions = Sessions::new(SessionLimits { bytes_max, ..SessionLimits::roomy(TTL) }, clock.clone());
    let replacing = |window: usize| {
        let new = NewSession { snapshot: start(window), on_existing: OnExisting::Replace, ..new(0, 4) };
        let mut table = sessions.lock_whole();
        let admitted = table.admit(&sessions.name(&id(0)), new, sessions.terms());
        admitted.map(|session| table.insert(session))
    };
    (0..2).for_each(|number| create(&sessions, number, 0));
    clock.advance(TTL);
    replacing(LARGE).unwrap();
    assert_eq!(
        (sessions.account(), sessions.counted_afresh()),
        (Account { sessions: 1, bytes: bytes_max }, bytes_max)
    );
    clock.advance(TTL);
    assert_eq!(replacing(2 * LARGE).unwrap_err().kind, ErrorKind::SessionsFull);
    assert_eq!(sessions.account(), Account::default());
}
