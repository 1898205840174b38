//! What waits, in which order, and who hears of it.

use super::*;
use crate::lm::State;
use crate::session::SessionId;
use crate::session::owner::Owner;

fn name(number: usize) -> Name {
    Name { owner: Owner::ANYONE, id: SessionId::parse(&format!("s{number}")).unwrap() }
}

fn changes(sessions_max: usize) -> Changes {
    Changes::new(ChangeLimits { sessions_max, interval: Duration::ZERO, eviction: Eviction::Removes })
}

fn names(taken: &Taken) -> Vec<String> {
    taken.0.iter().map(|named| named.name.id.to_string()).collect()
}

#[test]
fn a_session_that_changes_again_waits_once_in_its_old_place() {
    let changes = changes(10);
    for number in [1, 2, 1, 3, 1] {
        changes.changed(&name(number), Happened::Changed);
    }
    assert_eq!((changes.count(), changes.last(), changes.settled()), (3, 5, Some(0)));
    let taken = changes.take(2);
    assert_eq!(names(&taken), ["s1", "s2"]);
    assert_eq!(changes.settled(), Some(3), "the fourth change waits");
    changes.put_back(taken);
    assert_eq!(changes.settled(), Some(0));
    assert_eq!(names(&changes.take(10)), ["s1", "s2", "s3"]);
    assert_eq!(changes.settled(), Some(5));
}

#[test]
fn what_changes_while_it_is_stored_waits_again_and_is_not_lost_by_a_failure() {
    let changes = changes(10);
    changes.changed(&name(1), Happened::Changed);
    changes.changed(&name(2), Happened::Changed);
    let taken = changes.take(1);
    changes.changed(&name(1), Happened::Changed);
    assert_eq!((changes.count(), changes.settled()), (2, Some(1)));
    changes.put_back(taken);
    assert_eq!((changes.count(), changes.settled()), (2, Some(0)));
    assert_eq!(names(&changes.take(10)), ["s1", "s2"]);
}

#[test]
fn a_checkpoint_lasts_until_the_write_has_ended() {
    let changes = changes(10);
    let snapshot = Snapshot::at_start(State::zeros(1), "weights".into());
    changes.reached(&name(1), snapshot.clone());
    changes.take(10);
    changes.used(&name(1));
    assert_eq!(changes.checkpoint(&name(1)), Some(snapshot));
    changes.changed(&name(1), Happened::Changed);
    assert_eq!(changes.checkpoint(&name(1)), None);
}

#[test]
fn a_change_without_room_is_remembered_as_such() {
    let changes = changes(2);
    (0..3).for_each(|number| changes.changed(&name(number), Happened::Changed));
    changes.changed(&name(0), Happened::Changed);
    assert_eq!((changes.count(), changes.settled()), (2, None));
    assert!(changes.take_overflow() && !changes.take_overflow());
}

#[test]
fn whoever_waits_hears_of_a_change_and_of_the_end() {
    let changes = std::sync::Arc::new(changes(2));
    let other = changes.clone();
    let waits = std::thread::spawn(move || {
        let first = other.wait();
        other.take(1);
        (first, other.wait())
    });
    changes.changed(&name(1), Happened::Changed);
    while changes.count() > 0 {
        std::thread::yield_now();
    }
    changes.close();
    assert_eq!(waits.join().unwrap(), (true, false));
    changes.pause(Duration::from_secs(3600));
}

#[test]
fn what_is_not_stored_is_known_until_it_is() {
    let changes = changes(10);
    changes.used(&name(1));
    changes.changed(&name(2), Happened::Left);
    assert!(!changes.is_unstored(&name(1)) && !changes.is_unstored(&name(2)));
    changes.changed(&name(1), Happened::Changed);
    changes.used(&name(1));
    assert!(changes.is_unstored(&name(1)), "a use does not hide a change");
    let taken = changes.take(10);
    assert!(changes.is_unstored(&name(1)), "it is on its way");
    changes.used(&name(1));
    changes.put_back(taken);
    let happened: Vec<_> = changes.take(10).0.iter().map(|named| named.happened).collect();
    assert_eq!(happened, [Happened::Changed, Happened::Left]);
    changes.stored();
    assert!(!changes.is_unstored(&name(1)));
}

#[test]
fn whoever_attends_hears_calls_and_what_it_heeds() {
    let changes = changes(10);
    changes.changed(&name(1), Happened::Changed);
    assert!(changes.attend(Heed::Changes, Duration::from_secs(3600)));
    assert!(changes.attend(Heed::CallsOnly, Duration::from_millis(1)), "the time is over");
    changes.call();
    assert!(changes.attend(Heed::CallsOnly, Duration::from_secs(3600)));
    changes.close();
    assert!(!changes.attend(Heed::CallsOnly, Duration::from_secs(3600)));
}
