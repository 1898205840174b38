//! Sessions whose weights are no longer served.

use std::time::Duration;

use super::*;

fn served(even: &str, odd: &str) -> ServedWeights {
    ServedWeights([("even".into(), even.into()), ("odd".into(), odd.into())].into())
}

fn why(sessions: &Sessions, number: u8) -> (ErrorKind, String) {
    let error = sessions.info(&id(number)).unwrap_err();
    (error.kind, error.message)
}

#[test]
fn a_session_of_other_weights_leaves_when_it_is_idle() {
    let (sessions, _clock) = sessions(Evict::Lru);
    for number in 0..3 {
        sessions.create(new(number, 10)).unwrap();
    }
    let lease = sessions.lease(&id(2), None).unwrap();
    sessions.serve(served("new", "weights"));
    // For clients all are gone at once.
    for number in [0, 2] {
        let (kind, message) = why(&sessions, number);
        assert_eq!(kind, ErrorKind::ModelChanged);
        assert!(message.contains("identity `weights`") && message.contains("now `new`"), "{message}");
    }
    assert!(sessions.lease(&id(2), None).is_err_and(|error| error.kind == ErrorKind::ModelChanged));
    assert_eq!(
        sessions.leave_changed(),
        0,
        "the request above has had its own session leave, and the other is busy"
    );
    assert_eq!(sessions.stats().busy, 1);
    drop(lease);
    let stats = sessions.stats();
    assert_eq!((stats.busy, stats.by_model["even"], stats.by_model["odd"]), (0, 0, 1));
    assert_eq!(stats.bytes, sessions.counted_afresh());
    assert_eq!(stats.closed[&Closed::ModelChanged], 2);
    assert!(sessions.info(&id(1)).is_ok());

    // The ids are free, for sessions of the weights that are served.
    let mut fresh = new(0, 10);
    fresh.snapshot.identity = "new".into();
    sessions.create(fresh).unwrap();
    assert!(sessions.info(&id(0)).is_ok());
    sessions.serve(served("new", "other"));
    assert_eq!(sessions.leave_changed(), 1);
    assert_eq!(why(&sessions, 1).0, ErrorKind::ModelChanged);
    sessions.serve(ServedWeights::default());
    let (_, message) = why(&sessions, 0);
    assert!(message.contains("`even` is no longer served"), "{message}");
}

#[test]
fn those_that_have_left_are_remembered_until_they_would_have_expired_and_are_bounded() {
    let (sessions, clock) = sessions(Evict::Lru);
    sessions.serve(served("weights", "weights"));
    for number in [0, 2] {
        sessions.create(new(number, 10)).unwrap();
        clock.advance(Duration::from_secs(20));
    }
    sessions.serve(served("new", "weights"));
    assert_eq!(sessions.leave_changed(), 2);
    clock.advance(Duration::from_secs(25));
    while sessions.expire() {}
    assert_eq!(why(&sessions, 0).0, ErrorKind::SessionNotFound);
    assert_eq!(why(&sessions, 2).0, ErrorKind::ModelChanged);

    // A name that left twice is remembered until the later of the times.
    sessions.serve(served("weights", "weights"));
    sessions.create(new(2, 10)).unwrap();
    sessions.serve(served("new", "weights"));
    assert_eq!(sessions.leave_changed(), 1);
    clock.advance(Duration::from_secs(30));
    while sessions.expire() {}
    assert_eq!(why(&sessions, 2).0, ErrorKind::ModelChanged);

    // At most as many as the table may have.
    for number in [4, 6, 8, 10] {
        sessions.serve(served("weights", "weights"));
        sessions.create(new(number, 10)).unwrap();
        sessions.serve(served("new", "weights"));
        assert_eq!(sessions.leave_changed(), 1);
    }
    assert_eq!(why(&sessions, 2).0, ErrorKind::SessionNotFound);
    assert_eq!(why(&sessions, 10).0, ErrorKind::ModelChanged);
}

#[test]
fn a_store_keeps_those_that_have_left_until_their_client_deletes_them() {
    let clock = Clock::manual();
    let limits = ChangeLimits { sessions_max: 10, interval: Duration::ZERO, eviction: Eviction::Removes };
    let changes = Arc::new(Changes::new(limits));
    let (bounded, _) = sessions(Evict::Lru);
    let sessions = Sessions::noting(bounded.limits().clone(), clock, Some(changes.clone()));
    sessions.create(new(0, 10)).unwrap();
    let name = sessions.names(None, 1).remove(0);
    changes.take(10);
    sessions.serve(served("new", "weights"));
    assert_eq!(sessions.leave_changed(), 1);
    assert!(changes.take(10).0.is_empty(), "nothing is to be removed from the store");
    assert!(sessions.has_left(&name) && sessions.holds(&sessions.stored_name(&name)));
    sessions.delete(&id(0), None).unwrap();
    assert_eq!(changes.take(10).0.len(), 1);
    assert!(!sessions.has_left(&name) && !sessions.holds(&sessions.stored_name(&name)));
}
