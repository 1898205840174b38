//! Stands in for the runtime in a build without the feature `tract`: a refusal that says how to build with it.

use super::{Candidate, Examined, Understanding};
use crate::error::Error;

/// Refuses the graph of `candidate`, which the native engine does not run.
pub(super) fn examine(_candidate: &Candidate<'_>, understanding: Understanding) -> Examined {
    let why = understanding.not_lowered.as_deref().unwrap_or_default();
    let error = Error::load(format!(
        "the native engine does not run this graph ({why}), and this program was built without tract, which may; build it with the cargo feature `tract`, which is on by default"
    ));
    Examined { model: Err(error), understanding }
}
