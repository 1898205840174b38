//! Several owners in one table: each finds what it would find if it were alone.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::{id, new};
use crate::clock::Clock;
use crate::error::ErrorKind;

const OWNERS: u16 = 3;

/// A slot of the wheel is a second, and so is the unit of every time here: so what has expired is found at once, in any table.
const TTL_SECONDS: u64 = 4094;

#[derive(Clone, Debug)]
enum Op {
    Create {
        id: u8,
        state_len: usize,
        on_existing: OnExisting,
    },
    Read(u8),
    Lease(u8),
    /// Puts back the lease with this number among those that are out.
    Return(usize),
    Fork(u8, u8),
    Delete(u8),
    List(u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// What an owner does.
    Do(u16, Op),
    Advance(u64),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || 0..5u8;
    let on_existing = prop_oneof![Just(OnExisting::Refuse), Just(OnExisting::Replace)];
    let op = prop_oneof![
        5 => (id(), 1..50usize, on_existing)
            .prop_map(|(id, state_len, on_existing)| Op::Create { id, state_len, on_existing }),
        2 => id().prop_map(Op::Read),
        2 => id().prop_map(Op::Lease),
        2 => any::<usize>().prop_map(Op::Return),
        2 => (id(), id()).prop_map(|(from, to)| Op::Fork(from, to)),
        2 => id().prop_map(Op::Delete),
        1 => id().prop_map(Op::List),
    ];
    let step = prop_oneof![
        12 => (0..OWNERS, op).prop_map(|(owner, op)| Step::Do(owner, op)),
        1 => (0..5000u64).prop_map(Step::Advance),
        1 => (0..60u64).prop_map(Step::Advance),
        1 => Just(Step::Expire),
    ];
    prop::collection::vec(step, 1..150)
}

/// The sessions of an owner, and its leases that are out.
struct One {
    sessions: Sessions,
    leases: Vec<Lease>,
}

/// What an owner sees of what it does.
#[derive(Debug, PartialEq)]
enum Seen {
    Info(Result<SessionInfo, ErrorKind>),
    Position(Result<u64, ErrorKind>),
    Done(Result<(), ErrorKind>),
    List(Vec<SessionInfo>),
}

impl One {
    fn of(sessions: Sessions) -> Self {
        Self { sessions, leases: Vec::new() }
    }

    fn does(&mut self, op: Op) -> Seen {
        let sessions = &self.sessions;
        match op {
            Op::Create { id, state_len, on_existing } => {
                Seen::Info(kind(sessions.create(NewSession { on_existing, ..new(id, state_len) })))
            }
            Op::Read(number) => {
                Seen::Position(kind(sessions.read(&id(number)).map(|standing| standing.snapshot.position)))
            }
            Op::Lease(number) => {
                let lease = sessions.lease(&id(number), None);
                let seen = kind(lease.as_ref().map(|lease| lease.snapshot.position).map_err(Clone::clone));
                self.leases.extend(lease);
                Seen::Position(seen)
            }
            Op::Return(which) if !self.leases.is_empty() => {
                let mut lease = self.leases.swap_remove(which % self.leases.len());
                lease.snapshot.advance(&[7]);
                drop(lease);
                Seen::Done(Ok(()))
            }
            Op::Return(_) => Seen::Done(Ok(())),
            Op::Fork(from, to) => Seen::Info(kind(sessions.read(&id(from)).and_then(|standing| {
                let Standing { model, snapshot, .. } = standing;
                sessions.create(NewSession { model, snapshot, ..new(to, 1) })
            }))),
            Op::Delete(number) => Seen::Done(kind(sessions.delete(&id(number), None))),
            Op::List(limit) => {
                // Pages, each from where the one before has ended; the order is that of the table.
                let limit = usize::from(limit) + 1;
                let mut all: Vec<SessionInfo> = Vec::new();
                loop {
                    let page = sessions.list(all.last().map(|last| &last.id), limit);
                    let is_last = page.len() < limit;
                    all.extend(page);
                    if is_last {
                        break;
                    }
                }
                all.sort_by(|a, b| a.id.cmp(&b.id));
                Seen::List(all)
            }
        }
    }
}

fn kind<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind)
}

/// The sessions of the owner with this number; 0 is anyone.
fn of(table: &Sessions, number: u16) -> Sessions {
    if number == 0 { table.clone() } else { table.of(&format!("owner-{number}")) }
}

fn limits(each_owner: OwnerLimits) -> SessionLimits {
    SessionLimits {
        sessions_max: 1000,
        bytes_max: 1 << 20,
        ttl: Duration::from_secs(TTL_SECONDS),
        evict: Evict::Lru,
        // It counts from the moment at which a use of the table, by anyone, has noticed the end.
        gone_ttl: Duration::from_secs(1 << 30),
        gone_max: 1000,
        rewind_max: usize::MAX,
        each_owner,
    }
}

proptest! {
    #[test]
    fn each_owner_sees_what_it_would_see_alone(
        steps in steps(),
        sessions_max in prop_oneof![Just(None), (1..4usize).prop_map(Some)],
        bytes_max in prop_oneof![Just(None), (500..2000usize).prop_map(Some)],
    ) {
        let limits = limits(OwnerLimits { sessions_max, bytes_max });
        let clock = Clock::manual();
        let table = Sessions::new(limits.clone(), clock.clone());
        let mut shared: Vec<One> = (0..OWNERS).map(|number| One::of(of(&table, number))).collect();
        let alone = |_| One::of(Sessions::new(limits.clone(), clock.clone()));
        let mut alone: Vec<One> = (0..OWNERS).map(alone).collect();
        for step in steps {
            match step {
                Step::Do(who, op) => {
                    let who = usize::from(who);
                    prop_assert_eq!(shared[who].does(op.clone()), alone[who].does(op));
                }
                Step::Advance(seconds) => clock.advance(Duration::from_secs(seconds)),
                Step::Expire => {
                    while table.expire() {}
                    alone.iter().for_each(|one| while one.sessions.expire() {});
                }
            }
            let accounts: Vec<Account> = shared.iter().map(|one| one.sessions.account()).collect();
            let bytes: usize = accounts.iter().map(|account| account.bytes).sum();
            prop_assert_eq!(bytes, table.counted_afresh());
            for account in accounts {
                prop_assert!(account.sessions <= sessions_max.unwrap_or(usize::MAX));
                prop_assert!(account.bytes <= bytes_max.unwrap_or(usize::MAX));
            }
        }
    }
}

#[test]
fn a_session_that_is_gone_is_gone_for_its_owner_only() {
    let clock = Clock::manual();
    let table = Sessions::new(limits(OwnerLimits::default()), clock.clone());
    let [alice, bob] = ["alice", "bob"].map(|name| table.of(name));
    alice.create(new(0, 1)).unwrap();
    clock.advance(Duration::from_secs(TTL_SECONDS));
    assert_eq!(alice.info(&id(0)).unwrap_err().kind, ErrorKind::SessionExpired);
    assert_eq!(bob.info(&id(0)).unwrap_err().kind, ErrorKind::SessionNotFound);
    bob.create(new(0, 1)).unwrap();
    assert_eq!(
        alice.info(&id(0)).unwrap_err().kind,
        ErrorKind::SessionExpired,
        "another's id revives nothing"
    );
}

#[test]
fn what_one_owner_may_have_is_named_and_no_other_loses_a_session_for_it() {
    let each = OwnerLimits { sessions_max: Some(1), bytes_max: None };
    let table = Sessions::new(SessionLimits { sessions_max: 2, ..limits(each) }, Clock::manual());
    let [alice, bob] = ["alice", "bob"].map(|name| table.of(name));
    alice.create(new(0, 1)).unwrap();
    bob.create(new(0, 1)).unwrap();
    let error = alice.create(new(1, 1)).unwrap_err();
    assert_eq!((error.kind, error.quota), (ErrorKind::RateLimited, Some(1)));
    assert!(error.message.contains("`--key-sessions-max`"), "{}", error.message);
    assert!(alice.info(&id(0)).is_ok() && bob.info(&id(0)).is_ok());
    let again = NewSession { on_existing: OnExisting::Replace, ..new(0, 1) };
    assert!(alice.create(again).is_ok(), "a session in the place of another is not one more");
}
