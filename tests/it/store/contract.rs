//! What a shared store does, in memory and in a real Redis: one suite for both, and random calls whose replies must be the same.

use std::thread::park_timeout;
use std::time::{Duration, Instant};

use rnnlm_server::clock::Clock;
use rnnlm_server::store::{Action, Call, RedisStore, Replica, Reply, Reserve, SharedStore, Shelf, Version};

use crate::harness::network::mix;
use crate::harness::redis::Redis;

const A: Replica = Replica(1);
const B: Replica = Replica(2);
const LONG: Duration = Duration::from_secs(3600);
const HOLD: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A store, and a way to let time pass.
struct World {
    store: Box<dyn SharedStore>,
    pass: Box<dyn Fn(Duration)>,
}

impl World {
    fn in_memory() -> Self {
        let clock = Clock::manual();
        Self { store: Box::new(Shelf::new(clock.clone())), pass: Box::new(move |time| clock.advance(time)) }
    }

    fn in_redis(redis: &Redis) -> Self {
        let store = Box::new(RedisStore::new(redis.url(), TIMEOUT).unwrap());
        let pass = |time: Duration| {
            let end = Instant::now() + time;
            while Instant::now() < end {
                park_timeout(end - Instant::now());
            }
        };
        Self { store, pass: Box::new(pass) }
    }

    fn call(&mut self, by: Replica, known: Option<Version>, action: Action) -> Reply {
        let calls = [Call { key: "alice/s".to_owned(), by, known, action }];
        self.store.call(&calls).unwrap().remove(0)
    }

    fn look(&mut self, by: Replica, known: Option<Version>) -> Reply {
        let mut reply = self.call(by, known, Action::Look);
        if let Reply::Newer(stored) = &mut reply {
            assert!(stored.ttl <= LONG && stored.ttl > LONG / 2, "{:?}", stored.ttl);
            stored.ttl = Duration::ZERO;
        }
        reply
    }

    fn claim(&mut self, by: Replica, known: Option<Version>, reserve: Reserve) -> Reply {
        self.call(by, known, Action::Claim { hold: HOLD, reserve })
    }

    fn put(&mut self, rests_on: Option<Version>, version: Version) -> Reply {
        self.call(version.replica, rests_on, put(version, LONG, Duration::ZERO))
    }

    fn remove(&mut self, known: Option<Version>, version: Version) -> Reply {
        self.call(version.replica, known, Action::Remove { version, ttl: LONG })
    }
}

/// A write of bytes that are not text, and tell the version.
fn put(version: Version, ttl: Duration, hold: Duration) -> Action {
    Action::Put { version, position: version.number, bytes: bytes(version), ttl, hold }
}

fn bytes(version: Version) -> Vec<u8> {
    [0, 255, 10, 13, version.replica.0 as u8, version.number as u8].repeat(100)
}

fn version(replica: Replica, number: u64) -> Version {
    Version { replica, number }
}

fn newer(version: Version) -> Reply {
    let ttl = Duration::ZERO;
    let stored =
        rnnlm_server::store::Stored { version, position: version.number, ttl, bytes: bytes(version) };
    Reply::Newer(stored)
}

/// Runs `case` over both stores, each empty.
fn in_both(case: impl Fn(&mut World)) {
    case(&mut World::in_memory());
    if let Some(redis) = Redis::start() {
        case(&mut World::in_redis(&redis));
    }
}

#[test]
fn what_was_put_is_seen_by_others_and_needs_no_second_look_by_its_writer() {
    in_both(|world| {
        assert!(world.store.call(&[]).unwrap().is_empty());
        assert_eq!(world.look(A, None), Reply::Absent);
        assert_eq!(world.put(None, version(A, 1)), Reply::Done);
        assert_eq!(world.look(A, Some(version(A, 1))), Reply::Done);
        assert_eq!(world.look(B, None), newer(version(A, 1)));
        assert_eq!(world.look(B, Some(version(A, 1))), Reply::Done);
        assert_eq!(world.put(Some(version(A, 1)), version(A, 2)), Reply::Done);
        assert_eq!(world.look(B, Some(version(A, 1))), newer(version(A, 2)));
    });
}

#[test]
fn the_first_write_to_a_version_wins() {
    in_both(|world| {
        world.put(None, version(A, 1));
        assert_eq!(world.put(Some(version(A, 1)), version(B, 2)), Reply::Done);
        assert_eq!(world.put(Some(version(A, 1)), version(A, 3)), Reply::Refused { position: 2 });
        assert_eq!(world.put(None, version(A, 3)), Reply::Refused { position: 2 });
        assert_eq!(world.look(A, None), newer(version(B, 2)));
    });
}

#[test]
fn a_write_whose_reply_was_lost_can_be_made_again() {
    in_both(|world| {
        assert_eq!(world.put(None, version(A, 1)), Reply::Done);
        assert_eq!(world.put(None, version(A, 2)), Reply::Done);
        assert_eq!(world.look(B, None), newer(version(A, 2)));
    });
}

#[test]
fn a_claim_keeps_others_from_writing_and_ends_when_it_is_given_back() {
    in_both(|world| {
        world.put(None, version(A, 1));
        let known = Some(version(A, 1));
        assert_eq!(world.claim(B, known, Reserve::No), Reply::Done);
        assert_eq!(world.claim(A, known, Reserve::No), Reply::Busy);
        assert_eq!(world.put(known, version(A, 2)), Reply::Refused { position: 1 });
        assert_eq!(world.remove(known, version(A, 2)), Reply::Refused { position: 1 });
        let touch = |hold| Action::Touch { ttl: LONG, hold };
        assert_eq!(world.call(A, known, touch(HOLD)), Reply::Refused { position: 1 });
        assert_eq!(world.call(A, known, touch(Duration::ZERO)), Reply::Done);
        assert_eq!(
            world.claim(A, known, Reserve::No),
            Reply::Busy,
            "a claim is given back by its owner only"
        );
        assert_eq!(world.call(B, known, put(version(B, 2), LONG, HOLD)), Reply::Done);
        assert_eq!(world.claim(A, known, Reserve::No), Reply::Busy);
        assert_eq!(world.call(B, Some(version(B, 2)), touch(Duration::ZERO)), Reply::Done);
        let Reply::Newer(stored) = world.claim(A, known, Reserve::No) else { panic!("it is free") };
        assert_eq!((stored.version, stored.bytes), (version(B, 2), bytes(version(B, 2))));
    });
}

#[test]
fn a_claim_that_is_not_renewed_ends() {
    in_both(|world| {
        world.put(None, version(A, 1));
        let known = Some(version(A, 1));
        let brief = Action::Claim { hold: Duration::from_millis(20), reserve: Reserve::No };
        assert_eq!(world.call(A, known, brief), Reply::Done);
        (world.pass)(Duration::from_millis(30));
        assert_eq!(world.claim(B, known, Reserve::No), Reply::Done);
        assert_eq!(world.put(known, version(A, 2)), Reply::Refused { position: 1 });
    });
}

#[test]
fn a_free_name_is_claimed_by_one() {
    in_both(|world| {
        assert_eq!(world.claim(A, None, Reserve::No), Reply::Absent);
        assert_eq!(world.claim(A, None, Reserve::Absent), Reply::Done);
        assert_eq!(world.look(B, None), Reply::Absent);
        assert_eq!(world.claim(B, None, Reserve::Deleted), Reply::Busy);
        assert_eq!(world.put(None, version(B, 1)), Reply::Refused { position: 0 });
        let release = Action::Touch { ttl: Duration::ZERO, hold: Duration::ZERO };
        assert_eq!(world.call(A, None, release.clone()), Reply::Done);
        assert_eq!(world.call(A, None, release), Reply::Absent);
        assert_eq!(world.put(None, version(B, 1)), Reply::Done);
    });
}

#[test]
fn what_was_deleted_does_not_come_back_and_its_name_can_be_used_again() {
    in_both(|world| {
        world.put(None, version(A, 1));
        assert_eq!(world.remove(Some(version(A, 1)), version(B, 2)), Reply::Done);
        assert_eq!(world.look(A, Some(version(A, 1))), Reply::Deleted);
        assert_eq!(world.put(Some(version(A, 1)), version(A, 3)), Reply::Deleted);
        assert_eq!(world.put(None, version(A, 3)), Reply::Deleted, "its first write may have been lost");
        assert_eq!(world.claim(A, None, Reserve::Absent), Reply::Deleted);
        assert_eq!(world.claim(A, None, Reserve::Deleted), Reply::Done);
        assert_eq!(world.claim(A, None, Reserve::Absent), Reply::Done, "its owner may claim it again");
        assert_eq!(world.look(B, None), Reply::Deleted);
        assert_eq!(world.put(None, version(A, 4)), Reply::Done);
        assert_eq!(world.look(B, None), newer(version(A, 4)));
    });
}

#[test]
fn a_session_lives_as_long_as_its_last_use_says() {
    in_both(|world| {
        let brief = Duration::from_millis(500);
        world.call(A, None, put(version(A, 1), brief, Duration::ZERO));
        let touch = Action::Touch { ttl: LONG, hold: Duration::ZERO };
        assert_eq!(world.call(B, Some(version(A, 1)), touch), Reply::Done);
        (world.pass)(brief * 2);
        assert_eq!(world.look(B, None), newer(version(A, 1)));
        world.call(A, Some(version(A, 1)), put(version(A, 2), brief, Duration::ZERO));
        (world.pass)(brief * 2);
        assert_eq!(world.look(B, Some(version(A, 1))), Reply::Absent);
    });
}

/// A random call; nothing in it depends on how fast time passes.
fn random_call(random: u64) -> Call {
    let part = |shift: u32, count: u64| (random >> shift) % count;
    let by = [A, B][part(0, 2) as usize];
    let some_version = version([A, B][part(1, 2) as usize], part(2, 8));
    let written = version(by, part(5, 8));
    let hold = [Duration::ZERO, HOLD][part(8, 2) as usize];
    let reserve = [Reserve::No, Reserve::Absent, Reserve::Deleted][part(9, 3) as usize];
    let action = match part(16, 8) {
        0 | 1 => Action::Look,
        2 | 3 => Action::Claim { hold: HOLD, reserve },
        4 | 5 => put(written, LONG, hold),
        6 => Action::Touch { ttl: LONG, hold },
        _ => Action::Remove { version: written, ttl: LONG },
    };
    let known = (part(24, 4) > 0).then_some(some_version);
    Call { key: format!("s{}", part(32, 3)), by, known, action }
}

#[test]
fn random_calls_have_the_same_replies_in_memory_and_in_redis() {
    let Some(redis) = Redis::start() else { return };
    let mut shelf = Shelf::new(Clock::system());
    let mut store = RedisStore::new(redis.url(), TIMEOUT).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..40 {
        let calls: Vec<Call> = (0..100).map(|number| random_call(mix(round << 32 | number))).collect();
        let timeless = |mut reply: Reply| {
            if let Reply::Newer(stored) = &mut reply {
                stored.ttl = Duration::ZERO;
            }
            reply
        };
        let expected: Vec<Reply> = shelf.call(&calls).unwrap().into_iter().map(timeless).collect();
        let found: Vec<Reply> = store.call(&calls).unwrap().into_iter().map(timeless).collect();
        for ((call, expected), found) in calls.iter().zip(&expected).zip(&found) {
            assert_eq!(found, expected, "{call:?}");
        }
        kinds.extend(
            expected.iter().map(|reply| format!("{reply:?}").split([' ', '(']).next().unwrap().to_owned()),
        );
    }
    assert_eq!(kinds.len(), 6, "every reply occurs: {kinds:?}");
}

#[test]
fn a_user_and_a_password_are_taken_from_the_url() {
    let user = ["--user", "writer", "on", ">s3cret", "~rnnlm:*", "+@all"];
    let Some(redis) = Redis::start_with(&user) else { return };
    let store = |user: &str| {
        let url = redis.url().replace("redis://", &format!("redis://{user}@"));
        RedisStore::new(&url, TIMEOUT).unwrap()
    };
    let put =
        Call { key: "s".to_owned(), by: A, known: None, action: put(version(A, 1), LONG, Duration::ZERO) };
    assert_eq!(store("writer:s3cret").call(std::slice::from_ref(&put)).unwrap(), [Reply::Done]);
    let error = store("writer:wr0ng").call(std::slice::from_ref(&put)).unwrap_err();
    assert!(!error.message.contains("wr0ng") && error.message.contains("session store"), "{error}");
}
