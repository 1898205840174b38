//! The table under random use: its accounts are always true, its limits always hold.

mod changed;
mod model;
mod owners;
mod room;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::error::ErrorKind;

#[derive(Clone, Debug)]
enum Op {
    Create { id: u8, state_len: usize, rewind_tokens: usize, on_existing: OnExisting },
    Read(u8),
    Lease(u8),
    Return(usize),
    Delete(u8),
    Fork(u8, u8),
    Advance(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let id = || 0..6u8;
    let on_existing = prop_oneof![Just(OnExisting::Refuse), Just(OnExisting::Replace)];
    let op = prop_oneof![
        4 => (id(), 1..200usize, 0..50usize, on_existing).prop_map(|(id, state_len, rewind_tokens, on_existing)| {
            Op::Create { id, state_len, rewind_tokens, on_existing }
        }),
        2 => id().prop_map(Op::Read),
        3 => id().prop_map(Op::Lease),
        3 => any::<usize>().prop_map(Op::Return),
        1 => id().prop_map(Op::Delete),
        1 => (id(), id()).prop_map(|(id, copy)| Op::Fork(id, copy)),
        1 => (1..40u64).prop_map(Op::Advance),
    ];
    prop::collection::vec(op, 1..80)
}

fn id(number: u8) -> SessionId {
    SessionId::parse(&format!("s{number}")).unwrap()
}

fn new(number: u8, state_len: usize) -> NewSession {
    NewSession {
        id: Some(id(number)),
        model: if number.is_multiple_of(2) { "even" } else { "odd" }.into(),
        vocab_size: 1000,
        snapshot: Snapshot::at_start(State::zeros(state_len), "weights".into()),
        ttl: None,
        extra_words: None,
        on_existing: OnExisting::Refuse,
    }
}

fn sessions(evict: Evict) -> (Sessions, Clock) {
    let clock = Clock::manual();
    let limits = SessionLimits {
        sessions_max: 4,
        bytes_max: 6000,
        ttl: Duration::from_secs(60),
        evict,
        gone_ttl: Duration::from_secs(100),
        gone_max: 3,
        rewind_max: usize::MAX,
        each_owner: OwnerLimits::default(),
    };
    (Sessions::new(limits, clock.clone()), clock)
}

proptest! {
    #[test]
    fn the_accounts_are_true_and_the_limits_hold(
        ops in ops(),
        evict in prop_oneof![Just(Evict::Lru), Just(Evict::None)],
    ) {
        let (sessions, clock) = sessions(evict);
        let mut leases = Vec::new();
        for op in ops {
            match op {
                Op::Create { id, state_len, rewind_tokens, on_existing } => {
                    let mut new = NewSession { on_existing, ..new(id, state_len) };
                    new.snapshot = new.snapshot.with_history(rewind_tokens);
                    let _ = sessions.create(new);
                }
                Op::Read(number) => drop(sessions.read(&id(number))),
                Op::Lease(number) => leases.extend(sessions.lease(&id(number), None)),
                Op::Return(which) if !leases.is_empty() => drop(leases.swap_remove(which % leases.len())),
                Op::Return(_) => {}
                Op::Delete(number) => drop(sessions.delete(&id(number), None)),
                Op::Fork(number, copy) => {
                    if let Ok(Standing { model, snapshot, .. }) = sessions.read(&id(number)) {
                        let _ = sessions.create(NewSession { model, snapshot, ..new(copy, 1) });
                    }
                }
                Op::Advance(seconds) => clock.advance(Duration::from_secs(seconds)),
            }
            let stats = sessions.stats();
            prop_assert_eq!(stats.busy, leases.len());
            prop_assert_eq!(stats.bytes, sessions.counted_afresh());
            prop_assert!(stats.bytes <= 6000);
            let listed = sessions.list(None, usize::MAX);
            prop_assert!(listed.len() <= 4);
            // Sessions that have expired take memory until they are removed, but do not exist for clients.
            prop_assert!(listed.len() <= stats.by_model.values().sum::<usize>());
            for lease in &leases {
                prop_assert!(sessions.info(lease.id()).is_ok_and(|info| info.busy), "a leased session stays");
            }
        }
        drop(leases);
        clock.advance(Duration::from_secs(61));
        prop_assert_eq!(sessions.list(None, usize::MAX), []);
        while sessions.expire() {}
        prop_assert_eq!((sessions.stats().bytes, sessions.stats().busy), (0, 0));
    }
}

#[test]
fn reads_forks_and_leases_share_one_state() {
    let (sessions, _clock) = sessions(Evict::Lru);
    sessions.create(new(0, 100)).unwrap();
    let Standing { model, snapshot, .. } = sessions.read(&id(0)).unwrap();
    let values = snapshot.state.as_slice().as_ptr();
    let lease = sessions.lease(&id(0), None).unwrap();
    assert_eq!(lease.snapshot.state.as_slice().as_ptr(), values);
    drop(lease);
    sessions.create(NewSession { model, snapshot, ..new(1, 1) }).unwrap();
    assert_eq!(sessions.read(&id(1)).unwrap().snapshot.state.as_slice().as_ptr(), values);
}

#[test]
fn a_lease_that_advances_leaves_a_fork_where_it_was() {
    let (sessions, _clock) = sessions(Evict::Lru);
    sessions.create(new(0, 2)).unwrap();
    let fork = sessions.read(&id(0)).unwrap().snapshot;
    let mut lease = sessions.lease(&id(0), None).unwrap();
    lease.snapshot.state.replace(&[1.0, 2.0]);
    drop(lease);
    assert_eq!(sessions.read(&id(0)).unwrap().snapshot.state.as_slice(), [1.0, 2.0]);
    assert_eq!(fork.state.as_slice(), [0.0, 0.0]);
}

#[test]
fn a_state_is_refused_by_weights_that_did_not_make_it() {
    let snapshot = new(0, 1).snapshot;
    assert_eq!(snapshot.check_made_by("weights"), Ok(()));
    let error = snapshot.check_made_by("others").unwrap_err();
    assert_eq!(error.kind, ErrorKind::StateMismatch);
    assert!(error.message.contains("`weights`") && error.message.contains("`others`"), "{}", error.message);
}

#[test]
fn the_session_unused_for_longest_goes_and_says_so_for_a_while() {
    let (sessions, clock) = sessions(Evict::Lru);
    for number in 0..4 {
        sessions.create(new(number, 1)).unwrap();
        clock.advance(Duration::from_secs(1));
    }
    sessions.read(&id(0)).unwrap();
    sessions.create(new(4, 1)).unwrap();
    assert_eq!(sessions.info(&id(1)).unwrap_err().kind, ErrorKind::SessionEvicted);
    assert!(sessions.info(&id(0)).is_ok());
    clock.advance(Duration::from_secs(59));
    assert_eq!(sessions.info(&id(2)).unwrap_err().kind, ErrorKind::SessionExpired);
    clock.advance(Duration::from_secs(100));
    assert_eq!(sessions.info(&id(2)).unwrap_err().kind, ErrorKind::SessionNotFound);
}

#[test]
fn a_full_table_that_may_not_evict_refuses_and_keeps_what_it_has() {
    let (sessions, _clock) = sessions(Evict::None);
    (0..4).for_each(|number| drop(sessions.create(new(number, 1)).unwrap()));
    assert_eq!(sessions.create(new(4, 1)).unwrap_err().kind, ErrorKind::SessionsFull);
    assert_eq!(sessions.list(None, 10).len(), 4);
}

/// A table of `count` sessions, all of which have expired.
fn expired(count: usize) -> (Sessions, Clock) {
    let clock = Clock::manual();
    let limits = SessionLimits {
        sessions_max: count,
        bytes_max: usize::MAX,
        ttl: Duration::from_secs(60),
        evict: Evict::None,
        gone_ttl: Duration::from_secs(100),
        gone_max: count,
        rewind_max: usize::MAX,
        each_owner: OwnerLimits::default(),
    };
    let sessions = Sessions::new(limits, clock.clone());
    for number in 0..count {
        let id = SessionId::parse(&format!("s{number}")).unwrap();
        sessions.create(NewSession { id: Some(id), ..new(0, 1) }).unwrap();
    }
    clock.advance(Duration::from_secs(60));
    (sessions, clock)
}

fn held(sessions: &Sessions) -> usize {
    sessions.stats().by_model.values().sum()
}

#[test]
fn no_use_of_the_table_waits_for_all_that_has_expired() {
    let (sessions, _clock) = expired(5000);
    assert_eq!(sessions.info(&id(17)).unwrap_err().kind, ErrorKind::SessionExpired);
    assert_eq!(sessions.list(None, 10), []);
    assert!(held(&sessions) > 4900, "{} sessions were removed by three calls", 5000 - held(&sessions));
    let mut pieces = 1;
    while sessions.expire() {
        pieces += 1;
    }
    assert_eq!((held(&sessions), sessions.stats().bytes), (0, 0));
    assert!(pieces > 10, "{pieces} pieces");
}

#[test]
fn an_expired_session_makes_room_and_its_id_is_free() {
    let (sessions, _clock) = expired(100);
    let full = held(&sessions);
    sessions.create(new(99, 1)).unwrap();
    sessions.create(new(100, 1)).unwrap();
    assert!(held(&sessions) <= full);
    assert_eq!(sessions.list(None, 10).len(), 2);
}

#[test]
fn the_reason_of_an_end_is_forgotten_in_time_however_many_there_are() {
    let (sessions, clock) = expired(1000);
    while sessions.expire() {}
    clock.advance(Duration::from_secs(100));
    assert_eq!(sessions.info(&id(200)).unwrap_err().kind, ErrorKind::SessionNotFound);
}
