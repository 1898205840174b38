//! How a test is skipped on a machine that lacks a component that the test needs.

use std::io::{Write, stderr};

/// Reports that the test, or a part of it, is skipped. With `CI=true` a skip is a failure, because a CI machine has every component.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "skipped: {why}; with CI=true nothing may be skipped"
    );
    report(why);
}

/// Reports that a part of the test cannot run on this processor. That is no failure with `CI=true` either: a CI machine can install
/// every component, but no instructions.
pub(crate) fn beyond_this_processor(why: &str) {
    report(why);
}

fn report(why: &str) {
    // The test harness shows what `println!` writes only when the test fails.
    writeln!(stderr(), "skipped: {why}").expect("stderr can be written");
}
