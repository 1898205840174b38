//! The same work for many things, on as many threads as there are cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

/// What `work` returns for each of `items`, in their order. Each thread takes the next item that no other has taken. A panic of `work`
/// becomes one of the caller.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = available_parallelism().map_or(1, NonZero::get).min(items.len());
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let mut done = scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        let mut done = share();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What both return, each on a thread of its own.
pub(super) fn both<A: Send, B>(beside: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> Both<A, B> {
    scope(|scope| {
        let beside = scope.spawn(beside);
        let here = here();
        Both { beside: beside.join().unwrap_or_else(|panic| resume_unwind(panic)), here }
    })
}

/// The results of [`both`].
pub(super) struct Both<A, B> {
    pub(super) beside: A,
    pub(super) here: B,
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        let squares: Vec<usize> = items.iter().map(|item| item * item).collect();
        assert_eq!(map(&items, |item| item * item), squares);
        assert!(map(&[] as &[usize], |item| item * item).is_empty());
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let outcome = catch_unwind(|| {
            map(&[1, 2, 3], |&item| assert_ne!(item, 2));
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn two_things_are_done_at_once() {
        // Each waits for the other: one after the other, neither would end.
        let meeting = Barrier::new(2);
        let both = both(|| meeting.wait().is_leader(), || meeting.wait().is_leader());
        assert_ne!(both.beside, both.here);
    }
}
