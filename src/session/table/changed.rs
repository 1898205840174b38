//! Sessions whose weights are no longer served leave the table.

use std::sync::Arc;

use super::Table;
use crate::session::changed::ServedWeights;
use crate::session::gone::UnusableSession;
use crate::session::lists::Position;
use crate::session::owner::Name;
use crate::session::stored::Busy;
use crate::session::{Closed, Happened};

impl Table {
    /// Only these weights are served from now on.
    pub(in crate::session) fn serve(&mut self, served: ServedWeights) {
        self.origins.serve(served);
    }

    /// Why the session at `position` cannot go on, if so.
    pub(super) fn why_changed(&self, position: Position) -> Option<&Arc<str>> {
        self.origins[self.at(position).origin()].changed.as_ref()
    }

    /// Removes the session if it is idle and its weights are no longer served; at most `remembered_max` of those are remembered. Returns
    /// whether it was removed.
    pub(in crate::session) fn leave_if_changed(&mut self, name: &Name, remembered_max: usize) -> bool {
        let changed = self.origins.has_changed().then(|| self.find(name)).flatten();
        let Some(position) = changed else { return false };
        let session = self.at(position);
        let until = session.expires();
        let is_idle = session.busy() == Busy::Idle;
        let Some(why) = self.why_changed(position).filter(|_| is_idle).cloned() else { return false };
        // It is not noted as a change: the store keeps it.
        self.remove(position);
        *self.closed.entry(Closed::ModelChanged).or_default() += 1;
        self.gone.set_unusable(vec![UnusableSession { name: name.clone(), why, until }]);
        while let Some(forgotten) = self.gone.forget_unusable(remembered_max) {
            self.note_left(&forgotten, Happened::Left);
        }
        true
    }
}
