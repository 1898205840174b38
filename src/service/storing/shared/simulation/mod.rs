//! The protocol of a shared store as a simulation: clients, servers that crash, and lines to the store that lose questions and replies, in
//! an order that a seed decides.
//!
//! One thread plays all parts, and time stands still unless the seed moves it, so that a run is repeated by its number:
//! `STORE_SEED=17 cargo test simulation`. `STORE_SEEDS` changes how many are run.
//!
//! Safety: what is stored is only ever replaced by what continues it, and does not come back after its end; a copy without anything of its
//! own is a beginning of what is stored. Both hold while the store has anything of the session, if only the mark of its deletion. And what a server
//! has met is what is stored. Liveness: once the lines work and claims of the dead have passed, every server settles in a bounded number of steps,
//! and can write to every session, one after the other.

mod line;
mod safety;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use line::{Fate, Line};
use safety::Past;
use tokio::sync::oneshot;

use super::{Answer, Ask, Findings, Replica, Terms, Wish};
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::lm::State;
use crate::service::storing::simulation::disk::{Random, with_each_seed};
use crate::service::storing::simulation::process::models;
use crate::service::storing::writer::{Models, Step};
use crate::session::{
    ChangeLimits, Changes, Eviction, Lease, NewSession, OnExisting, SessionId, SessionLimits, Sessions,
    Snapshot,
};
use crate::store::{self, Shelf};
use crate::telemetry::Metrics;

const IDS: [&str; 3] = ["a", "b", "c"];
const REPLICAS: u64 = 3;
const TTL: Duration = Duration::from_secs(3600);
const HOLD: Duration = Duration::from_secs(10);

/// A server, and what a crash takes.
struct Server {
    replica: Replica,
    line: Line,
    leases: Vec<Lease>,
}

/// A state that a session had: what it continues, and which life it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    before: Option<usize>,
    life: usize,
    position: u64,
}

struct World {
    random: Random,
    clock: Clock,
    shelf: Shelf,
    models: Models,
    servers: Vec<Server>,
    /// Servers that have ever been.
    births: u64,
    nodes: Vec<Node>,
    /// What was stored of each session before the last event.
    stored: [Option<usize>; IDS.len()],
    past: [Past; IDS.len()],
}

fn id(index: usize) -> SessionId {
    SessionId::parse(IDS[index]).unwrap()
}

fn state(node: usize, position: u64) -> State {
    State::from(vec![node as f32, position as f32, 0.5])
}

fn node_of(snapshot: &Snapshot) -> usize {
    let values = snapshot.state.as_slice();
    assert_eq!(values[1] as u64, snapshot.position, "a state belongs to its position");
    values[0] as usize
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = Clock::manual();
        let mut world = Self {
            random: Random(seed),
            shelf: Shelf::new(clock.clone()),
            clock,
            models: models(),
            servers: Vec::new(),
            births: 0,
            nodes: Vec::new(),
            stored: [None; IDS.len()],
            past: Default::default(),
        };
        world.servers = (0..REPLICAS).map(|_| world.server()).collect();
        world
    }

    fn server(&mut self) -> Server {
        self.births += 1;
        let interval = Duration::from_millis(self.random.below(2) * 100);
        // Some have room for fewer sessions than there are.
        let sessions_max = 2 + self.random.below(2) as usize;
        let changes =
            Arc::new(Changes::new(ChangeLimits { sessions_max: 1000, interval, eviction: Eviction::Keeps }));
        let limits = SessionLimits { sessions_max, ..SessionLimits::roomy(TTL) };
        let line = Line { shelf: self.shelf.clone(), fate: Arc::new(Mutex::new(Fate::Made)) };
        let replica = Replica {
            sessions: Sessions::noting(limits, self.clock.clone(), Some(changes.clone())),
            changes,
            models: self.models.clone(),
            store: Box::new(line.clone()),
            clock: self.clock.clone(),
            metrics: Metrics::new().store(),
            terms: Terms { me: store::Replica(self.births), hold: HOLD, mark: TTL },
            findings: Findings::default(),
        };
        Server { replica, line, leases: Vec::new() }
    }

    fn any(&mut self) -> (usize, usize) {
        let server = self.random.below(REPLICAS) as usize;
        (server, self.random.below(IDS.len() as u64) as usize)
    }

    /// One event.
    fn act(&mut self) {
        let (server, which) = self.any();
        match self.random.below(20) {
            0..2 => self.create(server, which),
            2..7 => self.begin(server, which),
            7..10 => self.advance(server),
            10..13 => drop(self.end(server)),
            13 => self.delete(server, which),
            14 => drop(self.read(server, which)),
            15 => self.pass_time(),
            16 => self.set_fate(server),
            17 if self.random.below(4) == 0 => self.servers[server] = self.server(),
            _ => drop(self.servers[server].replica.step()),
        }
        self.look();
    }

    /// What the service asks before a use or a write.
    fn ask(&mut self, server: usize, which: usize, wish: Wish) -> Answer {
        let replica = &mut self.servers[server].replica;
        let name = replica.sessions.name(&id(which));
        if wish == Wish::Read {
            replica.sessions.tell_divergence(&name)?;
            if replica.sessions.is_unstored(&name) {
                return Ok(None);
            }
        }
        let (answer, mut answered) = oneshot::channel();
        replica.answer(vec![Ask { name, wish, answer }]);
        answered.try_recv().unwrap()
    }

    fn node(&mut self, before: Option<usize>) -> usize {
        let number = self.nodes.len();
        let node = match before {
            Some(before) => {
                let Node { life, position, .. } = self.nodes[before];
                Node { before: Some(before), life, position: position + 1 }
            }
            None => Node { before: None, life: number, position: 0 },
        };
        self.nodes.push(node);
        number
    }

    fn create(&mut self, server: usize, which: usize) {
        if self.ask(server, which, Wish::Read).is_err() {
            return;
        }
        let Ok(_claim) = self.ask(server, which, Wish::Create) else { return };
        let node = self.node(None);
        let on_existing = if self.random.below(2) == 0 { OnExisting::Replace } else { OnExisting::Refuse };
        let new = NewSession {
            id: Some(id(which)),
            model: "fake".into(),
            vocab_size: 26,
            snapshot: Snapshot::at_start(state(node, 0), "fake".into()),
            ttl: None,
            extra_words: None,
            on_existing,
        };
        let sessions = &self.servers[server].replica.sessions;
        let _ = sessions.create(new);
    }

    fn begin(&mut self, server: usize, which: usize) {
        if self.read(server, which).is_none() {
            return;
        }
        let Ok(_claim) = self.ask(server, which, Wish::Write) else { return };
        let server = &mut self.servers[server];
        server.leases.extend(server.replica.sessions.lease(&id(which), None));
    }

    fn advance(&mut self, server: usize) {
        let count = self.servers[server].leases.len() as u64;
        if count == 0 {
            return;
        }
        let which = self.random.below(count) as usize;
        let before = node_of(&self.servers[server].leases[which].snapshot);
        let after = self.node(Some(before));
        let lease = &mut self.servers[server].leases[which];
        lease.snapshot.state = state(after, self.nodes[after].position);
        lease.snapshot.advance(&[7]);
        lease.reached();
    }

    fn end(&mut self, server: usize) -> Option<Lease> {
        let count = self.servers[server].leases.len() as u64;
        (count > 0)
            .then(|| self.random.below(count) as usize)
            .map(|which| self.servers[server].leases.remove(which))
    }

    fn delete(&mut self, server: usize, which: usize) {
        if self.read(server, which).is_none() {
            return;
        }
        let Ok(_claim) = self.ask(server, which, Wish::Write) else { return };
        let _ = self.servers[server].replica.sessions.delete(&id(which), None);
    }

    /// What a client sees that has met the session; `None` if it does not exist, or has diverged.
    fn read(&mut self, server: usize, which: usize) -> Option<usize> {
        self.ask(server, which, Wish::Read).ok()?;
        let replica = &self.servers[server].replica;
        let name = replica.sessions.name(&id(which));
        let found = replica.sessions.read(&id(which)).ok().map(|standing| node_of(&standing.snapshot));
        if !replica.is_failing() && !replica.sessions.is_unstored(&name) {
            assert_eq!(found, self.stored_node(which), "what was met is what is stored");
        }
        found
    }

    fn pass_time(&mut self) {
        let time = [HOLD / 4, HOLD * 2, TTL / 3][self.random.below(3) as usize];
        self.advance_clock(time);
        for server in &self.servers {
            while server.replica.sessions.expire() {}
            server.replica.renew();
        }
    }

    fn set_fate(&mut self, server: usize) {
        let fates = [Fate::Made, Fate::Made, Fate::Lost, Fate::RepliesLost, Fate::Torn];
        let fate = fates[self.random.below(fates.len() as u64) as usize];
        *self.servers[server].line.fate.lock().unwrap() = fate;
    }

    /// Once the lines work and claims of the dead have passed, everything is stored, and every server can write.
    fn come_to_rest(&mut self) {
        for server in 0..self.servers.len() {
            *self.servers[server].line.fate.lock().unwrap() = Fate::Made;
            while self.end(server).is_some() {}
        }
        self.advance_clock(HOLD);
        for server in 0..self.servers.len() {
            let replica = &mut self.servers[server].replica;
            let steps_max = 8;
            let steps = (0..steps_max).take_while(|_| replica.step() != Step::Idle).count();
            assert!(steps < steps_max, "it does not come to rest");
            assert!(!replica.is_failing() && replica.changes.count() == 0);
            assert_eq!(replica.findings.progress.borrow().stored, replica.changes.last());
            self.look();
        }
        for which in 0..IDS.len() {
            for server in 0..self.servers.len() {
                if self.ask(server, which, Wish::Read).is_err() {
                    // It has diverged, and that was said.
                    self.ask(server, which, Wish::Read).unwrap();
                }
                self.write_and_check(server, which);
            }
        }
    }

    fn write_and_check(&mut self, server: usize, which: usize) {
        let before = self.stored_node(which);
        let claim = self.ask(server, which, Wish::Write).unwrap();
        let lease = self.servers[server].replica.sessions.lease(&id(which), None);
        drop(claim);
        match (lease, before) {
            (Ok(lease), Some(before)) => {
                assert_eq!(node_of(&lease.snapshot), before);
                self.servers[server].leases.push(lease);
                self.advance(server);
                drop(self.end(server));
                while self.servers[server].replica.step() != Step::Idle {}
                let after = self.stored_node(which).unwrap();
                assert_eq!(self.nodes[after].before, Some(before), "the write is stored");
                self.look();
            }
            (Err(error), None) => assert_ne!(error.kind, ErrorKind::SessionBusy),
            // Reads let it live longer in small steps, of which the store does not see each: it has outlived its key.
            (Ok(_), None) => {}
            (lease, before) => panic!("{:?} although {before:?} is stored", lease.map(drop)),
        }
    }
}

#[test]
fn shared_simulation_of_safety() {
    with_each_seed(500, |seed| {
        let mut world = World::new(seed);
        (0..200).for_each(|_| world.act());
    });
}

#[test]
fn shared_simulation_of_liveness() {
    with_each_seed(500, |seed| {
        let mut world = World::new(seed);
        for _ in 0..3 {
            (0..60).for_each(|_| world.act());
            world.come_to_rest();
        }
    });
}
