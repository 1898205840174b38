//! How many files the process may have open: each connection is one. A limit that is too low is raised as far as the system allows;
//! otherwise there are fewer connections, because those beyond the limit could not be accepted, not even to make room for them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: those to listen on, those of the runtime, and those of a model that is being loaded.
const OTHERS: u64 = 64;

/// Makes room for `connections`, and returns how many of them the system allows; at least 1.
pub(super) fn allow(connections: usize) -> usize {
    let needed = (connections as u64).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(found) = current.filter(|&found| found < needed) else { return connections };
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok();
    let limit = if is_raised { raised } else { found };
    if limit >= needed {
        return connections;
    }
    let allowed = limit.saturating_sub(OTHERS).max(1);
    tracing::warn!(
        limit,
        needed,
        connections = allowed,
        "too few files may be open (`ulimit -n`) for all of `--max-connections`, which is lowered"
    );
    usize::try_from(allowed).unwrap_or(connections)
}
