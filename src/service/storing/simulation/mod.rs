//! The write-behind protocol as a simulation: clients, a store that is slow or fails, and crashes, in an order that a seed decides.
//!
//! One thread plays all parts, and time stands still unless the seed moves it, so that a run is repeated by its number:
//! `STORE_SEED=17 cargo test simulation`. `STORE_SEEDS` changes how many are run.
//!
//! The sessions belong to several owners, who use the same ids. A process may meet its owners in any order.
//!
//! Safety: whatever happens, a stored session is one that its owner had, stands no earlier than it was known to be stored, and does not come back
//! after its end was stored. Liveness: once the store works, everything is stored in a bounded number of steps.

pub(super) mod disk;
pub(super) mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use disk::{Disk, Fate, Random, with_each_seed};
use process::{Process, SESSIONS_MAX, TTL, models};

use super::Found;
use super::entry;
use super::writer::{Anew, Models, Progress, Step};
use crate::clock::Clock;
use crate::lm::{State, TokenId};
use crate::session::{ChangeLimits, Eviction, Lease, NewSession, OnExisting, Snapshot, StoredName};

/// Sessions of anyone and of two others, with the same ids.
const NAMES: [&str; 6] = ["s0", "s1", "alice/s0", "alice/s1", "bob/s0", "bob/s1"];

/// What is known of a session: a life from its creation to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    /// The number of its life.
    life: u64,
    position: u64,
}

/// A process and its clients.
struct World {
    random: Random,
    clock: Clock,
    disk: Disk,
    models: Models,
    limits: ChangeLimits,
    process: Process,
    leases: Vec<Lent>,
    /// Whose life is whose: that with number 1 is the first.
    lives: Vec<StoredName>,
    /// Where sessions have ever stood.
    ever: BTreeSet<Known>,
    /// What the table shows, by session; `None` after its end.
    now: BTreeMap<StoredName, Option<Known>>,
    /// Where writes under way have led.
    under_way: BTreeMap<StoredName, Known>,
    /// What was stored for certain when nothing waited.
    certain: BTreeMap<StoredName, Certain>,
    /// The lives that had begun then.
    lives_certain: u64,
    /// The sessions that have ended since.
    ended: BTreeSet<StoredName>,
}

/// A session under way.
struct Lent {
    name: StoredName,
    lease: Lease,
}

/// What was stored for certain of a session.
#[derive(Clone, Copy, Debug)]
struct Certain {
    known: Known,
    /// When it may have expired, by what is stored.
    lives_until: SystemTime,
}

/// The state of a life at a position: no other has the same.
fn state(known: Known) -> State {
    State::from(vec![known.life as f32, known.position as f32, 0.5])
}

fn known(snapshot: &Snapshot) -> Known {
    let values = snapshot.state.as_slice();
    assert_eq!((values[1] as u64, values[2]), (snapshot.position, 0.5), "a state belongs to its position");
    Known { life: values[0] as u64, position: snapshot.position }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let clock = Clock::manual();
        let disk = Disk::default();
        let models = models();
        // Some worlds have a queue that overflows, and some a checkpoint after each token.
        let sessions_max = if random.below(4) == 0 { 2 } else { 1000 };
        let interval = Duration::from_millis(random.below(2) * 100);
        let limits = ChangeLimits { sessions_max, interval, eviction: Eviction::Removes };
        let process = Process::start(&disk, &models, &clock, limits);
        Self {
            random,
            clock,
            disk,
            models,
            limits,
            process,
            leases: Vec::new(),
            lives: Vec::new(),
            ever: BTreeSet::new(),
            now: BTreeMap::new(),
            under_way: BTreeMap::new(),
            certain: BTreeMap::new(),
            lives_certain: 0,
            ended: BTreeSet::new(),
        }
    }

    fn name(&mut self) -> StoredName {
        StoredName::parse(NAMES[self.random.below(NAMES.len() as u64) as usize]).unwrap()
    }

    /// One event.
    fn act(&mut self) {
        match self.random.below(16) {
            0..3 => self.create(),
            3..6 => self.lease(),
            6..8 => self.advance(),
            8..10 => self.put_back(),
            10 => self.delete(),
            11 => self.read(),
            12 => self.pass_time(),
            13 => self.set_fate(),
            _ => drop(self.step()),
        }
        self.look();
    }

    fn create(&mut self) {
        let name = self.name();
        self.lives.push(name.clone());
        let known = Known { life: self.lives.len() as u64, position: 0 };
        let new = NewSession {
            id: Some(name.id.clone()),
            model: "fake".into(),
            vocab_size: 26,
            snapshot: Snapshot::at_start(state(known), "fake".into()),
            ttl: (self.random.below(3) == 0).then_some(TTL / 100),
            extra_words: None,
            on_existing: OnExisting::Replace,
        };
        let is_brief = new.ttl.is_some();
        if self.process.sessions_of(&name).create(new).is_ok() {
            if is_brief {
                // What was there before has ended, and this may have expired by what is stored of it.
                self.ended.insert(name.clone());
            }
            self.now.insert(name, Some(known));
            self.ever.insert(known);
        }
    }

    fn read(&mut self) {
        let name = self.name();
        drop(self.process.sessions_of(&name).read(&name.id));
    }

    fn lease(&mut self) {
        let name = self.name();
        let lease = self.process.sessions_of(&name).lease(&name.id, None);
        self.leases.extend(lease.map(|lease| Lent { name, lease }));
    }

    fn any_lease(&mut self) -> Option<usize> {
        let count = self.leases.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn advance(&mut self) {
        let Some(lease) = self.any_lease() else { return };
        let Lent { name, lease } = &mut self.leases[lease];
        let tokens: Vec<TokenId> = (0..1 + self.random.below(3)).map(|token| token as TokenId).collect();
        let before = known(&lease.snapshot);
        let after = Known { position: before.position + tokens.len() as u64, ..before };
        lease.snapshot.state = state(after);
        lease.snapshot.advance(&tokens);
        lease.reached();
        self.ever.insert(after);
        self.under_way.insert(name.clone(), after);
    }

    fn put_back(&mut self) {
        let Some(lease) = self.any_lease() else { return };
        let Lent { name, lease } = self.leases.swap_remove(lease);
        self.under_way.remove(&name);
        self.now.insert(name, Some(known(&lease.snapshot)));
    }

    fn delete(&mut self) {
        let name = self.name();
        drop(self.process.sessions_of(&name).delete(&name.id, None));
    }

    fn pass_time(&mut self) {
        let time = [TTL / 2000, TTL / 200, TTL / 2][self.random.below(3) as usize];
        self.clock.advance(time);
        while self.process.sessions.expire() {}
    }

    fn set_fate(&mut self) {
        let fates = [Fate::Written, Fate::Written, Fate::Refused, Fate::WrittenAndLost, Fate::Panics];
        self.disk.set(fates[self.random.below(fates.len() as u64) as usize]);
    }

    /// What ended: by a client's word, or because it expired or was evicted.
    fn look(&mut self) {
        for (name, known) in &mut self.now {
            if known.is_some() && self.process.sessions_of(name).info(&name.id).is_err() {
                *known = None;
                self.ended.insert(name.clone());
            }
        }
    }

    fn step(&mut self) -> Step {
        let step = self.process.writer.step();
        let nothing_waits = self.process.changes.count() == 0 && self.process.writer.anew == Anew::No;
        if step != Step::Failed && nothing_waits {
            let stored = self.process.writer.progress.borrow().stored;
            assert_eq!(stored, self.process.changes.last(), "nothing waits");
            self.settle();
        }
        step
    }

    /// Everything is stored.
    fn settle(&mut self) {
        self.lives_certain = self.lives.len() as u64;
        self.ended.clear();
        self.certain.clear();
        for (name, known) in &self.now {
            let Some(known) = known else { continue };
            let info = self.process.sessions_of(name).info(&name.id).unwrap();
            let life = info.expires_at.duration_since(info.last_used_at).unwrap();
            let position = self.under_way.get(name).filter(|_| self.limits.interval.is_zero());
            let position = position.map_or(known.position, |under_way| under_way.position);
            let known = Known { position, ..*known };
            self.certain.insert(name.clone(), Certain { known, lives_until: info.expires_at - life / 8 });
        }
    }

    /// The process ends without a word, and another starts.
    fn crash(&mut self) {
        self.disk.set(Fate::Written);
        // A session whose end was not stored may have come back, and another may have made room for it.
        let has_evicted = self.disk.entries().len() > SESSIONS_MAX;
        let next = Process::start(&self.disk, &self.models, &self.clock, self.limits);
        let old = std::mem::replace(&mut self.process, next);
        // They go back to the process that is gone.
        self.leases.clear();
        drop(old);
        self.under_way.clear();
        self.now.clear();
        for name in self.process.names() {
            let standing = self.process.sessions_of(&name).look(&name.id).unwrap();
            self.now.insert(name, Some(known(&standing.snapshot)));
        }
        for name in NAMES.map(|name| StoredName::parse(name).unwrap()) {
            let found = self.now.get(&name).copied().flatten();
            if found.is_some() || !has_evicted {
                self.check(&name, found);
            }
        }
        self.settle();
    }

    /// Checks what a new process has found of a session.
    fn check(&self, name: &StoredName, found: Option<Known>) {
        let certain = self.certain.get(name);
        let case = || format!("session `{name}`: {found:?} after {certain:?}");
        let Some(found) = found else {
            let may_be_gone = |certain: &Certain| {
                self.ended.contains(name) || certain.lives_until <= self.clock.date(self.clock.now())
            };
            assert!(certain.is_none_or(may_be_gone), "{}: it was stored and is lost", case());
            return;
        };
        assert!(self.ever.contains(&found), "{}: it never stood there", case());
        assert_eq!(self.lives[found.life as usize - 1], *name, "{}: it is another's", case());
        match certain.filter(|certain| certain.known.life == found.life) {
            Some(certain) => {
                assert!(found.position >= certain.known.position, "{}: it went back", case());
            }
            None => assert!(found.life > self.lives_certain, "{}: its end was stored", case()),
        }
    }

    /// Once the store works, everything is stored.
    fn come_to_rest(&mut self) {
        self.disk.set(Fate::Written);
        // A group or a page each, and a step for the removal and for each end.
        let steps_max = 8;
        let steps = (0..steps_max).take_while(|_| self.process.writer.step() != Step::Idle).count();
        assert!(steps < steps_max, "it does not come to rest");
        let progress = *self.process.writer.progress.borrow();
        assert_eq!(progress, Progress { stored: self.process.changes.last(), is_failing: false });
        let entries = self.disk.entries();
        let names = self.process.names();
        let keys: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(entries.keys().cloned().collect::<BTreeSet<_>>(), keys);
        for name in self.process.sessions.names(None, usize::MAX) {
            let key = self.process.sessions.stored_name(&name).to_string();
            let record = self.process.sessions.record(&name).unwrap();
            let entry = entry::read(&key, &entries[&key], |name| self.models.get(name));
            let Ok(Found::Session(found)) = entry else { panic!("the entry of `{key}` cannot be read") };
            assert_eq!(found.record.snapshot, record.snapshot);
        }
    }
}

#[test]
fn simulation_of_safety() {
    with_each_seed(2000, |seed| {
        let mut world = World::new(seed);
        for _ in 0..4 {
            (0..40).for_each(|_| world.act());
            world.crash();
        }
    });
}

#[test]
fn simulation_of_liveness() {
    with_each_seed(2000, |seed| {
        let mut world = World::new(seed);
        for _ in 0..3 {
            (0..40).for_each(|_| world.act());
            world.come_to_rest();
        }
    });
}
