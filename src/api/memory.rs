//! The memory that a request takes while it is read from JSON.
//!
//! An entry of two bytes, `{}`, can become hundreds of bytes of memory, so how much a body takes cannot be told from its length.
//! Whoever reads a request gives a [`Meter`], and every list asks it before it grows. Serde passes nothing to the values that it reads,
//! so the meter is that of the thread, for as long as it reads.

use std::cell::RefCell;
use std::sync::Arc;

/// Counts the memory of what is read.
pub trait Meter: Send + Sync {
    /// Takes `bytes` more. If it returns false, the list that asks is not read on.
    fn take(&self, bytes: usize) -> bool;
}

thread_local! {
    static METER: RefCell<Option<Arc<dyn Meter>>> = const { RefCell::new(None) };
}

/// The result of `read`, while `meter` counts what lists take.
pub fn read_within<T>(meter: Arc<dyn Meter>, read: impl FnOnce() -> T) -> T {
    let _reset = Reset(METER.replace(Some(meter)));
    read()
}

/// Puts back the meter of whoever reads around this, even after a panic.
struct Reset(Option<Arc<dyn Meter>>);

impl Drop for Reset {
    fn drop(&mut self) {
        METER.set(self.0.take());
    }
}

/// Whether there is room for another value in `list`; makes it.
pub(super) fn room_for_one<T>(list: &mut Vec<T>) -> bool {
    const LEAST: usize = 4;
    if list.len() < list.capacity() {
        return true;
    }
    let added = list.capacity().max(LEAST);
    let bytes = added.saturating_mul(size_of::<T>());
    let is_given = METER.with_borrow(|meter| meter.as_ref().is_none_or(|meter| meter.take(bytes)));
    if is_given {
        list.reserve_exact(added);
    }
    is_given
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::api::next::NextRequest;
    use crate::api::prompt::Prompt;

    /// Gives this much and no more.
    struct Left(AtomicUsize);

    impl Meter for Left {
        fn take(&self, bytes: usize) -> bool {
            let less = |left: usize| left.checked_sub(bytes);
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        }
    }

    fn left(bytes: usize) -> Arc<Left> {
        Arc::new(Left(AtomicUsize::new(bytes)))
    }

    #[test]
    fn a_list_takes_what_its_entries_take_and_not_what_their_json_takes() {
        let requests = format!("{{\"requests\": [{}]}}", vec!["{}"; 1000].join(","));
        let meter = left(1 << 30);
        let read: NextRequest =
            read_within(meter.clone(), || serde_json::from_str(&requests)).expect("there is room");
        let taken = (1 << 30) - meter.0.load(Ordering::Relaxed);
        let needed = size_of_val(read.requests.expect("they are given").as_slice());
        assert!((needed..=2 * needed).contains(&taken), "{taken} bytes for {needed}");
    }

    #[test]
    fn a_list_that_finds_no_room_is_refused_before_it_is_whole() {
        let tokens = format!("{{\"tokens\": [{}]}}", vec!["1"; 1000].join(","));
        let refused = read_within(left(1000), || serde_json::from_str::<Prompt>(&tokens));
        assert!(refused.unwrap_err().to_string().contains("memory"));
        let read: Prompt = read_within(left(8000), || serde_json::from_str(&tokens)).expect("there is room");
        assert_eq!(read.tokens.expect("they are given").len(), 1000);
        let without: Prompt = serde_json::from_str(&tokens).expect("nothing counts outside");
        assert_eq!(without.tokens.expect("they are given").len(), 1000);
    }
}
