//! The write-behind protocol as a simulation: clients, a store that is slow or fails, and crashes, in an order that a seed decides.
//!
//! One thread plays all parts, and time stands still unless the seed moves it, so that a run is repeated by its number:
//! `STORE_SEED=17 cargo test simulation`. `STORE_SEEDS` changes how many are run.
//!
//! Safety: whatever happens, a stored session is one that existed, stands no earlier than it was known to be stored, and does not come back
//! after its end was stored. Liveness: once the store works, everything is stored in a bounded number of steps.

pub(super) mod disk;
pub(super) mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use disk::{Disk, Fate, Random};
use process::{Process, SESSIONS_MAX, TTL, served};

use super::Found;
use super::entry;
use super::writer::{Anew, Models, Progress, Step};
use crate::clock::Clock;
use crate::lm::{State, TokenId};
use crate::session::{ChangeLimits, Lease, NewSession, OnExisting, SessionId, Snapshot};

const IDS: u64 = 6;

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
    leases: Vec<Lease>,
    lives: u64,
    /// Where sessions have ever stood.
    ever: BTreeSet<Known>,
    /// What the table shows, by session; `None` after its end.
    now: BTreeMap<SessionId, Option<Known>>,
    /// Where writes under way have led.
    under_way: BTreeMap<SessionId, Known>,
    /// What was stored for certain when nothing waited.
    certain: BTreeMap<SessionId, Certain>,
    /// The lives that had begun then.
    lives_certain: u64,
    /// The sessions that have ended since.
    ended: BTreeSet<SessionId>,
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
        let served = served();
        let models = Models::from([(served.name.clone(), served)]);
        // Some worlds have a queue that overflows, and some a checkpoint after each token.
        let sessions_max = if random.below(4) == 0 { 2 } else { 1000 };
        let interval = Duration::from_millis(random.below(2) * 100);
        let limits = ChangeLimits { sessions_max, interval };
        let process = Process::start(&disk, &models, &clock, limits);
        Self {
            random,
            clock,
            disk,
            models,
            limits,
            process,
            leases: Vec::new(),
            lives: 0,
            ever: BTreeSet::new(),
            now: BTreeMap::new(),
            under_way: BTreeMap::new(),
            certain: BTreeMap::new(),
            lives_certain: 0,
            ended: BTreeSet::new(),
        }
    }

    fn id(&mut self) -> SessionId {
        SessionId::parse(&format!("s{}", self.random.below(IDS))).unwrap()
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
        let id = self.id();
        self.lives += 1;
        let known = Known { life: self.lives, position: 0 };
        let new = NewSession {
            id: Some(id.clone()),
            model: "fake".into(),
            vocab_size: 26,
            snapshot: Snapshot::at_start(state(known), "fake".into()),
            ttl: (self.random.below(3) == 0).then_some(TTL / 100),
            extra_words: None,
            on_existing: OnExisting::Replace,
        };
        let is_brief = new.ttl.is_some();
        if self.process.sessions.create(new).is_ok() {
            if is_brief {
                // What was there before has ended, and this may have expired by what is stored of it.
                self.ended.insert(id.clone());
            }
            self.now.insert(id, Some(known));
            self.ever.insert(known);
        }
    }

    fn read(&mut self) {
        let id = self.id();
        drop(self.process.sessions.read(&id));
    }

    fn lease(&mut self) {
        let id = self.id();
        self.leases.extend(self.process.sessions.lease(&id, None));
    }

    fn any_lease(&mut self) -> Option<usize> {
        let count = self.leases.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn advance(&mut self) {
        let Some(lease) = self.any_lease() else { return };
        let lease = &mut self.leases[lease];
        let tokens: Vec<TokenId> = (0..1 + self.random.below(3)).map(|token| token as TokenId).collect();
        let before = known(&lease.snapshot);
        let after = Known { position: before.position + tokens.len() as u64, ..before };
        lease.snapshot.state = state(after);
        lease.snapshot.advance(&tokens);
        lease.reached();
        self.ever.insert(after);
        self.under_way.insert(lease.id().clone(), after);
    }

    fn put_back(&mut self) {
        let Some(lease) = self.any_lease() else { return };
        let lease = self.leases.swap_remove(lease);
        self.under_way.remove(lease.id());
        self.now.insert(lease.id().clone(), Some(known(&lease.snapshot)));
    }

    fn delete(&mut self) {
        let id = self.id();
        drop(self.process.sessions.delete(&id, None));
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
        for (id, known) in &mut self.now {
            if known.is_some() && self.process.sessions.info(id).is_err() {
                *known = None;
                self.ended.insert(id.clone());
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
        self.lives_certain = self.lives;
        self.ended.clear();
        self.certain.clear();
        for (id, known) in &self.now {
            let Some(known) = known else { continue };
            let info = self.process.sessions.info(id).unwrap();
            let life = info.expires_at.duration_since(info.last_used_at).unwrap();
            let position = self.under_way.get(id).filter(|_| self.limits.interval.is_zero());
            let position = position.map_or(known.position, |under_way| under_way.position);
            let known = Known { position, ..*known };
            self.certain.insert(id.clone(), Certain { known, lives_until: info.expires_at - life / 8 });
        }
    }

    /// The process ends without a word, and another starts.
    fn crash(&mut self) {
        self.disk.set(Fate::Written);
        // A session whose end was not stored may have come back, and another may have made room for it.
        let has_evicted = self.disk.entries().len() > SESSIONS_MAX;
        let old = std::mem::replace(
            &mut self.process,
            Process::start(&self.disk, &self.models, &self.clock, self.limits),
        );
        // They go back to the process that is gone.
        self.leases.clear();
        drop(old);
        self.under_way.clear();
        self.now.clear();
        for info in self.process.sessions.list(None, usize::MAX) {
            let standing = self.process.sessions.look(&info.id).unwrap();
            self.now.insert(info.id, Some(known(&standing.snapshot)));
        }
        for number in 0..IDS {
            let id = SessionId::parse(&format!("s{number}")).unwrap();
            let found = self.now.get(&id).copied().flatten();
            if found.is_some() || !has_evicted {
                self.check(&id, found);
            }
        }
        self.settle();
    }

    /// Checks what a new process has found of a session.
    fn check(&self, id: &SessionId, found: Option<Known>) {
        let certain = self.certain.get(id);
        let case = || format!("session `{id}`: {found:?} after {certain:?}");
        let Some(found) = found else {
            let may_be_gone = |certain: &Certain| {
                self.ended.contains(id) || certain.lives_until <= self.clock.date(self.clock.now())
            };
            assert!(certain.is_none_or(may_be_gone), "{}: it was stored and is lost", case());
            return;
        };
        assert!(self.ever.contains(&found), "{}: it never stood there", case());
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
        let listed = self.process.sessions.list(None, usize::MAX);
        let names: BTreeSet<String> = listed.iter().map(|info| info.id.to_string()).collect();
        assert_eq!(entries.keys().cloned().collect::<BTreeSet<_>>(), names);
        for info in listed {
            let record = self.process.sessions.record(&info.id).unwrap();
            let entry =
                entry::read(info.id.as_str(), &entries[info.id.as_str()], |name| self.models.get(name));
            let Ok(Found::Session(found)) = entry else {
                panic!("the entry of `{}` cannot be read", info.id)
            };
            assert_eq!(found.record.snapshot, record.snapshot);
        }
    }
}

/// Runs `play` with each seed, or with the one that `STORE_SEED` names. A failure names its seed.
fn with_each_seed(play: impl Fn(&mut World)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("STORE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORE_SEEDS").unwrap_or(2000),
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&mut World::new(seed))));
        assert!(played.is_ok(), "failed with STORE_SEED={seed}");
    }
}

#[test]
fn simulation_of_safety() {
    with_each_seed(|world| {
        for _ in 0..4 {
            (0..40).for_each(|_| world.act());
            world.crash();
        }
    });
}

#[test]
fn simulation_of_liveness() {
    with_each_seed(|world| {
        for _ in 0..3 {
            (0..40).for_each(|_| world.act());
            world.come_to_rest();
        }
    });
}
