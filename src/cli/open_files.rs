//! How many files the process may have open: each connection is one. A limit that is too low is raised as far as the system allows, and
//! otherwise said to be too low, because connections beyond it would wait without a word.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: those to listen on, those of the runtime, and those of a model that is being loaded.
const OTHERS: u64 = 64;

/// Makes room for `connections`, if the system allows it.
pub(super) fn allow(connections: usize) {
    let needed = (connections as u64).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(found) = current.filter(|&found| found < needed) else { return };
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok();
    let limit = if is_raised { raised } else { found };
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "too few files may be open (`ulimit -n`) for all of `--max-connections`; further connections will wait"
        );
    }
}
