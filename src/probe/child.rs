//! The side of the child: it limits itself, says what it does, and answers.

use std::fmt::Display;
use std::io::{Write, stdout};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::said::Said;
use crate::error::{Error, Result};

/// The limits of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Bytes of address space.
    pub memory_max: u64,
    /// Seconds of the processor's time.
    pub cpu_seconds_max: u64,
}

/// Set in a process that is a child. The limits, too, are those of a whole process.
static CONFINED: OnceLock<()> = OnceLock::new();

/// Makes this process a child: it never again has more than `limits` allow, and an abort leaves no core file behind.
///
/// # Errors
/// `Internal` if the system refuses the limits.
pub fn confine(limits: Confinement) -> Result<()> {
    let Confinement { memory_max, cpu_seconds_max } = limits;
    for (resource, max) in [(Resource::Core, 0), (Resource::As, memory_max), (Resource::Cpu, cpu_seconds_max)]
    {
        // Nobody may raise a limit that is lower already.
        let max = getrlimit(resource).maximum.map_or(max, |lower| lower.min(max));
        setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) })
            .map_err(|error| Error::internal(format!("cannot limit {resource:?} to {max}: {error}")))?;
    }
    // Confining it twice is once too often, but harmless.
    let _ = CONFINED.set(());
    Ok(())
}

/// Says what is done next, if this process is a child: the parent names it if the child then ends.
pub fn at<D: Display>(what: impl FnOnce() -> D) {
    if CONFINED.get().is_some() {
        say(&Said::At(what().to_string()));
    }
}

/// Answers the parent: whether the file can be loaded.
pub fn answer(tried: Result<()>) {
    say(&match tried {
        Ok(()) => Said::Passed,
        Err(error) => Said::Refused(error.message),
    });
}

fn say(said: &Said) {
    let line = serde_json::to_string(said).expect("a text is JSON");
    // A parent that does not listen has given up, and nobody else wants to know.
    let _ = writeln!(stdout(), "{line}");
}
