//! What the inbox knows of weights that are replaced.

use super::*;
use crate::engine::pool::tests::next;
use crate::lm::fake::Fake;

const LIMITS: InboxLimits = InboxLimits {
    jobs_max: 9,
    bytes_max: 1000,
    wait_max: Duration::ZERO,
    rows_max: 9,
    state_bytes_max: 1000,
    turn_steps: 2.0,
};

fn job(identity: &str) -> Submission {
    Submission { identity: identity.into(), ..next(Fake::new(20)).0 }
}

fn identities(queue: &Queue) -> Vec<&str> {
    queue.figures.keys().map(|key| &*key.identity).collect()
}

#[test]
fn figures_of_replaced_weights_stay_while_the_engine_has_them() {
    let mut queue = Queue::default();
    let running = queue.known(&job("old")).figures;
    queue.known(&job("new"));
    assert!(Arc::ptr_eq(&running, &queue.known(&job("old")).figures));
    drop(running);
    queue.known(&job("newest"));
    assert_eq!(identities(&queue), ["newest"]);
}

#[test]
fn figures_of_replaced_weights_stay_while_a_job_of_them_waits() {
    let mut queue = Queue::default();
    queue.add(job("old"), &LIMITS);
    (0..100).for_each(|number| _ = queue.known(&job(&format!("new{number}"))));
    assert_eq!(identities(&queue), ["new99", "old"]);
    assert!(queue.pop(&LIMITS, |_, _| true).is_some());
    queue.known(&job("newest"));
    assert_eq!((identities(&queue), queue.lanes.len(), queue.loads.len()), (vec!["newest"], 0, 0));
}
