//! Calls into tract: its panics become errors, and its errors one line of text.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use tract_onnx::prelude::*;

/// Runs `work`; a panic becomes an error, and prints nothing.
pub(super) fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    thread_local! {
        static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();

    // The usual hook would print a message, and with a backtrace take longer than the load.
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                usual(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    // What `work` leaves half done belongs to it alone: run states are fresh, and programs are immutable.
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(false);
    match done {
        Ok(done) => done.map_err(|error| said(&error)),
        // What a panic says is about tract's code, not about the graph.
        Err(_) => {
            Err("an operator is given what tract does not support, and tract does not say which".to_owned())
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn said(error: &TractError) -> String {
    short(&format!("{error:#}"))
}

/// Errors of tract can hold a whole node, and a backtrace where the environment asks for one.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 400;

    let text = text.split("Stack backtrace:").next().unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_panic_is_no_reason_and_an_error_is_one_line() {
        let found = guarded::<()>(|| panic!("range end\n  index {} out of range.", 4)).unwrap_err();
        assert!(found.contains("does not support") && !found.contains("range end"), "{found}");
        let found = guarded::<()>(|| Err(TractError::msg("inner").context("outer")));
        assert_eq!(found.unwrap_err(), "outer: inner");
        assert!(short(&"x".repeat(1000)).len() < 500);
        assert_eq!(short("wrong axis\n\nStack backtrace:\n   0: main"), "wrong axis");
    }
}
