//! The bytes that the table counts for its sessions, compared with the bytes that they take from the allocator.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use rnnlm_server::clock::Clock;
use rnnlm_server::lm::State;
use rnnlm_server::session::{
    Evict, NewSession, OnExisting, OwnerLimits, SessionId, SessionLimits, Sessions, Snapshot,
};
use rnnlm_server::text::{ExtraWords, Tail, Tokenizer, TokenizerKind, TokenizerSpec, WeightedWord};

use crate::harness::network::Counter;

const SESSIONS: usize = 20_000;

/// What is allocated for more sessions in the last segments of the arrays, 58 kB, and for the lists of segments.
const SEGMENTS_BYTES: i64 = 80 << 10;

/// A table without limits.
fn sessions(clock: &Clock) -> Sessions {
    let limits = SessionLimits {
        sessions_max: usize::MAX,
        bytes_max: usize::MAX,
        ttl: Duration::from_secs(1 << 30),
        evict: Evict::None,
        gone_ttl: Duration::from_secs(1),
        gone_max: 1,
        rewind_max: usize::MAX,
        each_owner: OwnerLimits::default(),
    };
    Sessions::new(limits, clock.clone())
}

/// What the sessions of a test are like.
#[derive(Clone, Copy)]
struct Kind {
    ids: &'static str,
    state_len: usize,
    rewind_tokens: usize,
    vocab_size: usize,
}

/// A session that has read so many tokens that its tail and its history have their maximum sizes.
fn new(id: SessionId, kind: Kind, shared: &Arc<str>) -> NewSession {
    let start = Snapshot {
        state: State::zeros(kind.state_len),
        identity: shared.clone(),
        position: 0,
        tail: Tail::default(),
        history: None,
    };
    let mut snapshot = start.with_history(kind.rewind_tokens);
    let zeros = vec![0.0; kind.state_len];
    let highest = kind.vocab_size as u32 - 1;
    for token in highest - 299..=highest {
        snapshot.state.replace(&zeros);
        snapshot.advance(&[token]);
    }
    NewSession {
        id: Some(id),
        model: shared.clone(),
        vocab_size: kind.vocab_size,
        snapshot,
        ttl: None,
        extra_words: None,
        on_existing: OnExisting::Refuse,
    }
}

/// Random ids, as clients generate them, also longer than most, or rising ids from a counter.
fn ids(name: &str) -> Vec<SessionId> {
    let mut random = Counter { key: 1, next: 0 };
    let id = |number: usize| match name {
        "random" => format!("{:016x}{:016x}", random.word(), random.word()),
        "long" => format!("{:064x}", random.word()),
        _ => format!("user-{number:08}"),
    };
    (0..SESSIONS).map(id).map(|id| SessionId::parse(&id).unwrap()).collect()
}

/// Creates a session for each of `ids`.
fn create(sessions: &Sessions, clock: &Clock, ids: &[SessionId], kind: Kind) {
    let shared: Arc<str> = "classics".into();
    for id in ids {
        clock.advance(Duration::from_millis(1));
        // The id's text is allocated here, so that it is counted.
        let own = SessionId::parse(id.as_str()).unwrap();
        sessions.create(new(own, kind, &shared)).unwrap();
    }
}

/// Writes to sessions in another order, and then deletes every second one.
fn use_and_delete(sessions: &Sessions, clock: &Clock, ids: &[SessionId]) {
    let mut random = Counter { key: 2, next: 0 };
    for _ in 0..2 * SESSIONS {
        clock.advance(Duration::from_millis(1));
        let id = &ids[(random.word() % SESSIONS as u64) as usize];
        let mut lease = sessions.lease(id, None).unwrap();
        let next = vec![1.0; lease.snapshot.state.as_slice().len()];
        lease.snapshot.state.replace(&next);
    }
    ids.iter().step_by(2).for_each(|id| sessions.delete(id, None).unwrap());
}

/// Ids of 32 characters, and tails of their maximum length.
#[test]
fn a_session_takes_at_most_256_bytes_beyond_its_state() {
    const STATE_LEN: usize = 1024;
    let kind = Kind { ids: "random", state_len: STATE_LEN, rewind_tokens: 0, vocab_size: 1 << 16 };
    let clock = Clock::manual();
    let sessions = sessions(&clock);
    let ids = ids(kind.ids);
    let created = measure(|| create(&sessions, &clock, &ids, kind));
    let beyond = |bytes: i64| bytes / SESSIONS as i64 - (STATE_LEN * size_of::<f32>()) as i64;
    assert!(beyond(taken(&created) - SEGMENTS_BYTES) <= 256, "{} bytes", beyond(taken(&created)));
    assert!(beyond(sessions.stats().bytes as i64) <= 256);
}

#[test]
fn the_bytes_counted_are_at_least_those_taken_and_at_most_a_fifth_more() {
    let kind = |ids, state_len, rewind_tokens| Kind { ids, state_len, rewind_tokens, vocab_size: 1000 };
    for kind in [
        kind("random", 4, 0),
        kind("random", 1024, 0),
        kind("rising", 4, 0),
        kind("rising", 1024, 0),
        kind("random", 4, 127),
        kind("random", 64, 127),
        kind("long", 4, 0),
        Kind { vocab_size: 1 << 20, ..kind("random", 4, 0) },
    ] {
        let Kind { ids: name, state_len, rewind_tokens, vocab_size } = kind;
        let ids = ids(name);
        let clock = Clock::manual();
        let sessions = sessions(&clock);
        let created = measure(|| create(&sessions, &clock, &ids, kind));
        let what = format!("{name} ids, {state_len} values, {rewind_tokens} tokens back of {vocab_size}");
        // The padding of the two blocks of a history is 0 bytes instead of the average.
        let padding = |sessions: usize| if rewind_tokens > 0 { 2 * 8 * sessions as i64 } else { 0 };
        check(&sessions, taken(&created) - padding(SESSIONS), &what);
        let used = measure(|| use_and_delete(&sessions, &clock, &ids));
        check(&sessions, taken(&created) + taken(&used) - padding(SESSIONS / 2), &format!("{what}, used"));
    }
}

/// The bytes of the allocated blocks. A general-purpose allocator adds a header of 8 bytes to each block and pads it to a multiple of
/// 16 bytes, which adds 8 bytes on average.
fn taken(info: &AllocationInfo) -> i64 {
    info.bytes_current + 16 * info.count_current
}

fn check(sessions: &Sessions, taken: i64, what: &str) {
    let counted = sessions.stats().bytes as i64;
    let message = format!("{what}: {counted} bytes counted, {taken} taken");
    println!("{message}");
    assert!(counted + SEGMENTS_BYTES >= taken && counted * 5 <= taken * 6, "{message}");
}

#[test]
fn the_bytes_counted_for_extra_words_are_at_least_those_taken() {
    let tokenizer = Tokenizer::new(&TokenizerSpec::new(TokenizerKind::Whitespace), b"a").unwrap();
    for len in [3, 20, 100] {
        let words: Vec<WeightedWord> =
            (0..1000).map(|number| WeightedWord { text: format!("{number:0len$}"), weight: 1.0 }).collect();
        let mut extra = ExtraWords::default();
        let taken = taken(&measure(|| extra = ExtraWords::new(&tokenizer, &words)));
        let ratio = extra.bytes() as f64 / taken as f64;
        assert!((1.0..1.6).contains(&ratio), "{} bytes counted, {taken} taken", extra.bytes());
    }
}
