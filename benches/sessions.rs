//! What many live sessions cost: `cargo bench --bench sessions`, or with another number of them `cargo bench --bench sessions -- 100000`.
//!
//! The sessions are those of an LSTM of two layers of 256 units. Each is created, read and written at random, listed and expired on one
//! thread, without a model: the times are those of the table alone. Resident bytes are the operating system's. A million sessions take 6 GB.

use std::fs::read_to_string;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rnnlm_server::clock::Clock;
use rnnlm_server::lm::State;
use rnnlm_server::session::{
    Evict, NewSession, OnExisting, OwnerLimits, SessionId, SessionLimits, Sessions, Snapshot,
};

use network::Counter;

#[path = "../tests/it/harness/network.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod network;

/// h and c of two layers of 256 units.
const STATE_LEN: usize = 2 * 2 * 256;
const STATE_BYTES: usize = STATE_LEN * size_of::<f32>();
/// Tokens of a vocabulary, the last of which a session has read.
const VOCAB: usize = 33_000;
const SESSIONS: usize = 1_000_000;
const PAGE: usize = 100;
const TTL: Duration = Duration::from_secs(3600);

fn main() {
    let given = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let count: usize = given.unwrap_or(SESSIONS);
    let mut bench = Bench::new(count);
    println!("| {count} sessions of {STATE_BYTES} bytes of state | Mean | Longest |\n|---|---:|---:|");
    let before = resident();
    bench.row("create, microseconds", count, Bench::create);
    let each = (resident() - before) as f64 / count as f64;
    let counted = bench.sessions.stats().bytes as f64 / count as f64;
    println!("| resident bytes a session, beyond its state | {:.0} | |", each - STATE_BYTES as f64);
    println!("| counted bytes a session, beyond its state | {:.0} | |", counted - STATE_BYTES as f64);
    bench.row("read, microseconds", count, Bench::read);
    bench.row("write, microseconds", count, Bench::write);
    bench.row("list a page of 100, microseconds", 10_000, Bench::list);
    bench.row("create in a full table, microseconds", count / 10, Bench::evict);
    bench.clock.advance(2 * TTL);
    let begun = Instant::now();
    while bench.sessions.expire() {}
    let micros = begun.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("| expire, microseconds | {micros:.2} | |");
    assert_eq!(bench.sessions.stats().bytes, 0, "every session has expired");
}

struct Bench {
    sessions: Sessions,
    clock: Clock,
    ids: Vec<SessionId>,
    shared: Arc<str>,
    /// What a session has read: more than it keeps.
    read: Vec<u32>,
    random: Counter,
    next: usize,
}

impl Bench {
    fn new(count: usize) -> Self {
        let clock = Clock::manual();
        let limits = SessionLimits {
            sessions_max: count,
            bytes_max: usize::MAX,
            ttl: TTL,
            evict: Evict::Lru,
            gone_ttl: Duration::from_secs(1),
            gone_max: 1000,
            rewind_max: usize::MAX,
            each_owner: OwnerLimits::default(),
        };
        let mut random = Counter { key: 1, next: 0 };
        let mut id = || SessionId::parse(&format!("{:016x}{:016x}", random.word(), random.word()));
        // A tenth more than there is room for, to be created in a full table.
        let ids = (0..count + count / 10).map(|_| id().expect("hexadecimal digits are an id")).collect();
        let sessions = Sessions::new(limits, clock.clone());
        let read = (VOCAB as u32 - 100..VOCAB as u32).collect();
        Self {
            sessions,
            clock,
            ids,
            shared: "lstm".into(),
            read,
            random: Counter { key: 2, next: 0 },
            next: 0,
        }
    }

    /// Prints the mean and the longest time of `work`, done `times` times.
    fn row(&mut self, name: &str, times: usize, work: fn(&mut Self)) {
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        for _ in 0..times {
            self.clock.advance(Duration::from_micros(10));
            let one = Instant::now();
            work(self);
            longest = longest.max(one.elapsed());
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / times as f64;
        let longest = longest.as_secs_f64() * 1e6;
        println!("| {name} | {micros:.2} | {longest:.0} |");
    }

    /// The next id. Its text is allocated here, as that of a request is.
    fn create(&mut self) {
        let id = SessionId::parse(self.ids[self.next].as_str()).expect("an id that was one before");
        self.next += 1;
        let mut state = State::zeros(STATE_LEN);
        state.replace(&[0.5; STATE_LEN]);
        let mut snapshot = Snapshot::at_start(state, self.shared.clone());
        snapshot.advance(&self.read);
        let new = NewSession {
            id: Some(id),
            model: self.shared.clone(),
            vocab_size: VOCAB,
            snapshot,
            ttl: None,
            extra_words: None,
            on_existing: OnExisting::Refuse,
        };
        self.sessions.create(new).expect("there is room, or a session to evict");
    }

    fn read(&mut self) {
        let any = self.any();
        self.sessions.read(&self.ids[any]).expect("the session exists");
    }

    fn write(&mut self) {
        let any = self.any();
        let id = &self.ids[any];
        let mut lease = self.sessions.lease(id, None).expect("no other write is running");
        lease.snapshot.state.replace(&[0.25; STATE_LEN]);
    }

    fn list(&mut self) {
        let any = self.any();
        std::hint::black_box(self.sessions.list(Some(&self.ids[any]), PAGE));
    }

    /// Creates one more than there is room for.
    fn evict(&mut self) {
        self.create();
    }

    fn any(&mut self) -> usize {
        self.random.word() as usize % self.next
    }
}

/// Resident bytes of this process.
fn resident() -> usize {
    const PAGE_BYTES: usize = 4096;
    let statm = read_to_string("/proc/self/statm").expect("Linux shows the memory of a process");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number is the resident pages") * PAGE_BYTES
}
