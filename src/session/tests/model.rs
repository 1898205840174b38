//! The table beside a model of it that is too simple to be wrong: a vector of sessions, searched from end to end.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use crate::clock::Clock;
use crate::error::ErrorKind;

const IDS: u8 = 12;
/// A slot of the wheel is a second, and so is the unit of every time here: so what has expired is found at once.
const TTL_MAX: u64 = 4094;

#[derive(Clone, Debug)]
enum Op {
    Create {
        id: u8,
        state_len: usize,
        ttl: Option<u64>,
        on_existing: OnExisting,
    },
    Read(u8),
    Lease(u8),
    /// Advances the session by a token and puts it back.
    Return(usize),
    Delete(u8),
    Advance(u64),
    Expire,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let id = || 0..IDS;
    let on_existing = prop_oneof![Just(OnExisting::Refuse), Just(OnExisting::Replace)];
    let ttl = prop_oneof![Just(None), (1..100u64).prop_map(Some), (1..TTL_MAX).prop_map(Some)];
    let op = prop_oneof![
        8 => (id(), 1..100usize, ttl, on_existing).prop_map(|(id, state_len, ttl, on_existing)| {
            Op::Create { id, state_len, ttl, on_existing }
        }),
        4 => id().prop_map(Op::Read),
        3 => id().prop_map(Op::Lease),
        3 => any::<usize>().prop_map(Op::Return),
        2 => id().prop_map(Op::Delete),
        2 => (0..60u64).prop_map(Op::Advance),
        1 => (0..5000u64).prop_map(Op::Advance),
        1 => Just(Op::Expire),
    ];
    prop::collection::vec(op, 1..120)
}

/// A session of the model.
#[derive(Clone, Debug)]
struct One {
    id: u8,
    position: u64,
    bytes: usize,
    expires: u64,
    ttl: u64,
    /// Grows with each use.
    used: u64,
    busy: bool,
}

struct Model {
    live: Vec<One>,
    why: BTreeMap<u8, ErrorKind>,
    limits: SessionLimits,
    now: u64,
    uses: u64,
}

impl Model {
    /// Ends what has expired.
    fn pass(&mut self) {
        let now = self.now;
        let expired = self.live.iter().filter(|one| !one.busy && one.expires <= now).map(|one| one.id);
        self.why.extend(expired.map(|id| (id, ErrorKind::SessionExpired)));
        self.live.retain(|one| one.busy || one.expires > now);
    }

    fn get(&mut self, id: u8) -> Result<&mut One, ErrorKind> {
        let why = self.why.get(&id).copied().unwrap_or(ErrorKind::SessionNotFound);
        self.live.iter_mut().find(|one| one.id == id).ok_or(why)
    }

    fn use_of(&mut self, id: u8) -> Result<&mut One, ErrorKind> {
        self.uses += 1;
        let uses = self.uses;
        let now = self.now;
        let one = self.get(id)?;
        one.used = uses;
        one.expires = now + one.ttl;
        Ok(one)
    }

    fn idle(&mut self, id: u8) -> Result<(), ErrorKind> {
        if self.get(id)?.busy { Err(ErrorKind::SessionBusy) } else { Ok(()) }
    }

    fn create(&mut self, new: One, on_existing: OnExisting) -> Result<(), ErrorKind> {
        if self.get(new.id).is_ok() {
            self.idle(new.id)?;
            if on_existing == OnExisting::Refuse {
                return Err(ErrorKind::SessionExists);
            }
        }
        let may_evict = self.limits.evict == Evict::Lru && new.bytes <= self.limits.bytes_max;
        loop {
            let others = || self.live.iter().filter(|one| one.id != new.id);
            let bytes: usize = others().map(|one| one.bytes).sum();
            if others().count() < self.limits.sessions_max && bytes + new.bytes <= self.limits.bytes_max {
                break;
            }
            let oldest = others().filter(|one| !one.busy).min_by_key(|one| one.used).map(|one| one.id);
            let oldest = oldest.filter(|_| may_evict).ok_or(ErrorKind::SessionsFull)?;
            self.live.retain(|one| one.id != oldest);
            self.why.insert(oldest, ErrorKind::SessionEvicted);
        }
        self.live.retain(|one| one.id != new.id);
        self.why.remove(&new.id);
        self.live.push(new);
        Ok(())
    }
}

fn name(id: u8) -> SessionId {
    SessionId::parse(&format!("s{id}")).unwrap()
}

fn kind<T>(result: Result<T>) -> Result<(), ErrorKind> {
    result.map(drop).map_err(|error| error.kind)
}

fn bytes_of(sessions: &Sessions, state_len: usize) -> usize {
    let new = super::new(0, state_len);
    sessions.create(new).unwrap();
    sessions.stats().bytes
}

proptest! {
    #[test]
    fn the_table_is_a_vector_of_sessions(
        ops in ops(),
        evict in prop_oneof![Just(Evict::Lru), Just(Evict::None)],
    ) {
        let clock = Clock::manual();
        let limits = SessionLimits {
            sessions_max: 6,
            bytes_max: 3000,
            ttl: Duration::from_secs(TTL_MAX),
            evict,
            gone_ttl: Duration::from_secs(1 << 30),
            gone_max: 10_000,
            rewind_max: usize::MAX,
            each_owner: OwnerLimits::default(),
        };
        let sessions = Sessions::new(limits.clone(), clock.clone());
        let one = bytes_of(&Sessions::new(limits.clone(), clock.clone()), 4) - 4 * size_of::<f32>();
        let mut model = Model { live: Vec::new(), why: BTreeMap::new(), limits, now: 0, uses: 0 };
        let mut leases: Vec<Lease> = Vec::new();
        for op in ops {
            model.pass();
            match op {
                Op::Create { id, state_len, ttl, on_existing } => {
                    // Multiples of four values leave the rounding of blocks as it is.
                    let state_len = state_len.next_multiple_of(4);
                    let bytes = one + state_len * size_of::<f32>();
                    let new = NewSession {
                        ttl: ttl.map(Duration::from_secs),
                        on_existing,
                        ..super::new(id, state_len)
                    };
                    model.uses += 1;
                    let ttl = ttl.unwrap_or(TTL_MAX);
                    let expires = model.now + ttl;
                    let used = model.uses;
                    let one = One { id, position: 0, bytes, expires, ttl, used, busy: false };
                    prop_assert_eq!(kind(sessions.create(new)), model.create(one, on_existing));
                }
                Op::Read(id) => {
                    prop_assert_eq!(kind(sessions.read(&name(id))), model.use_of(id).map(drop));
                }
                Op::Lease(id) => {
                    let leased = sessions.lease(&name(id), None);
                    let expected = model.idle(id).and_then(|()| model.get(id).map(|one| one.busy = true));
                    prop_assert_eq!(leased.as_ref().map(drop).map_err(|error| error.kind), expected);
                    leases.extend(leased);
                }
                Op::Return(which) if !leases.is_empty() => {
                    let mut lease = leases.swap_remove(which % leases.len());
                    lease.snapshot.advance(&[7]);
                    let id: u8 = lease.id().as_str()[1..].parse().unwrap();
                    drop(lease);
                    let one = model.use_of(id).unwrap();
                    one.position += 1;
                    one.busy = false;
                }
                Op::Return(_) => {}
                Op::Delete(id) => {
                    let deleted = kind(sessions.delete(&name(id), None));
                    prop_assert_eq!(deleted, model.idle(id));
                    if model.idle(id).is_ok() {
                        model.live.retain(|one| one.id != id);
                    }
                }
                Op::Advance(seconds) => {
                    clock.advance(Duration::from_secs(seconds));
                    model.now += seconds;
                }
                Op::Expire => drop(sessions.expire()),
            }
            model.pass();
            check(&sessions, &mut model)?;
        }
    }
}

/// Every session, by its id and in the list, page by page.
fn check(sessions: &Sessions, model: &mut Model) -> Result<(), TestCaseError> {
    let mut listed: Vec<SessionId> = Vec::new();
    loop {
        let page = sessions.list(listed.last(), 2);
        listed.extend(page.iter().map(|info| info.id.clone()));
        if page.len() < 2 {
            break;
        }
    }
    listed.sort();
    let mut expected: Vec<SessionId> = model.live.iter().map(|one| name(one.id)).collect();
    expected.sort();
    prop_assert_eq!(listed, expected);
    for id in 0..IDS {
        let found = sessions.info(&name(id)).map_err(|error| error.kind);
        let found = found.map(|info| (info.position, info.busy));
        prop_assert_eq!(found, model.get(id).map(|one| (one.position, one.busy)), "session {}", id);
    }
    prop_assert_eq!(sessions.stats().bytes, sessions.counted_afresh());
    Ok(())
}
