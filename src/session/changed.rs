//! Sessions whose weights are no longer served: they cannot go on, and their clients are told why.
//!
//! They leave the table, as sessions of a store do whose weights were not there at the start. If sessions are stored, the store keeps them
//! until they would have expired, for a server with their weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Name, PIECE, Sessions};
use crate::error::{Error, ErrorKind};

/// The weights that are served: the identity of each model by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedWeights(pub BTreeMap<Arc<str>, Arc<str>>);

impl ServedWeights {
    /// Why a session of the weights `identity` of `model` cannot go on; `None` if it can.
    pub(super) fn why_not(&self, model: &str, identity: &str) -> Option<Arc<str>> {
        match self.0.get(model) {
            Some(served) if **served == *identity => None,
            Some(served) => Some(Arc::from(weights_changed(model, identity, served))),
            None => Some(Arc::from(no_longer_served(model))),
        }
    }
}

/// Why a session of the weights `before` of `model` cannot go on where these are the weights `now`.
pub fn weights_changed(model: &str, before: &str, now: &str) -> String {
    format!(
        "its state was computed by model `{model}` with identity `{before}`; the identity of the model is now `{now}`"
    )
}

/// Why a session cannot go on whose model is not there.
pub fn no_longer_served(model: &str) -> String {
    format!("its model `{model}` is no longer served")
}

/// The error for the session `id`, which cannot go on for the reason `why`.
pub fn cannot_go_on(id: &str, why: &str) -> Error {
    Error::new(ErrorKind::ModelChanged, format!("session `{id}` cannot go on: {why}"))
}

impl Sessions {
    /// Only these weights are served from now on. Sessions of others cannot go on: for clients they are gone at once, also while a write
    /// that began before still runs. [`Self::leave_changed`] frees their memory.
    pub fn serve(&self, served: ServedWeights) {
        self.lock_whole().serve(served);
    }

    /// Removes all idle sessions whose weights are no longer served, in pieces between which others use the table, and returns how many.
    /// A busy one leaves when its write ends.
    pub fn leave_changed(&self) -> usize {
        let mut count = 0;
        let mut after: Option<Name> = None;
        loop {
            let names = self.names(after.as_ref(), PIECE);
            let mut table = self.lock_whole();
            let sessions_max = self.limits().sessions_max;
            count += names.iter().filter(|name| table.leave_if_changed(name, sessions_max)).count();
            drop(table);
            match names.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return count,
            }
        }
    }

    /// Whether the session is stored for a server with its weights, and not in the table.
    pub fn has_left(&self, name: &Name) -> bool {
        self.lock_whole().gone_mut().holds(name)
    }
}
