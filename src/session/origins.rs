//! Where sessions come from: their models, weights and owners, each combination stored once.

use std::collections::{BTreeMap, HashMap};
use std::ops::Index;
use std::sync::Arc;

use super::NewSession;
use super::changed::ServedWeights;
use super::owner::Owner;

/// The number of an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OriginNumber(u32);

/// Where sessions come from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The name of the model.
    pub(super) model: Arc<str>,
    /// The identity of its weights.
    pub(super) identity: Arc<str>,
    /// To whom they belong.
    pub(super) owner: Owner,
    /// Why they cannot go on, if other weights are served.
    pub(super) changed: Option<Arc<str>>,
    sessions: usize,
}

/// The origins of all sessions. There are at most as many as the server has had models, each with its weights, for each owner.
#[derive(Debug, Default)]
pub(super) struct Origins {
    all: Vec<Origin>,
    numbers: HashMap<Whence, OriginNumber>,
    /// `None` if all weights are served that sessions come from.
    served: Option<ServedWeights>,
    /// Sessions whose weights are not served.
    changed: usize,
}

/// What tells origins apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Whence {
    owner: Owner,
    model: Arc<str>,
    identity: Arc<str>,
}

impl Origins {
    /// The number of an origin, which is added if it is new.
    pub(super) fn number(&mut self, owner: Owner, new: &NewSession) -> OriginNumber {
        let model = new.model.clone();
        let identity = new.snapshot.identity.clone();
        let next = OriginNumber(self.all.len() as u32);
        let whence = Whence { owner, model: model.clone(), identity: identity.clone() };
        let number = *self.numbers.entry(whence).or_insert(next);
        if number == next {
            let served = self.served.as_ref();
            let changed = served.and_then(|served| served.why_not(&model, &identity));
            self.all.push(Origin { model, identity, owner, changed, sessions: 0 });
        }
        number
    }

    /// Only these weights are served from now on.
    pub(super) fn serve(&mut self, served: ServedWeights) {
        for origin in &mut self.all {
            origin.changed = served.why_not(&origin.model, &origin.identity);
        }
        self.served = Some(served);
        let changed = self.all.iter().filter(|origin| origin.changed.is_some());
        self.changed = changed.map(|origin| origin.sessions).sum();
    }

    /// Counts a session.
    pub(super) fn join(&mut self, origin: OriginNumber) {
        let origin = &mut self.all[origin.0 as usize];
        origin.sessions += 1;
        self.changed += usize::from(origin.changed.is_some());
    }

    /// Counts a session no longer.
    pub(super) fn leave(&mut self, origin: OriginNumber) {
        let origin = &mut self.all[origin.0 as usize];
        origin.sessions -= 1;
        self.changed -= usize::from(origin.changed.is_some());
    }

    /// Whether there are sessions whose weights are not served.
    pub(super) fn has_changed(&self) -> bool {
        self.changed > 0
    }

    /// Whether `owner` has sessions of this model.
    pub(super) fn has_any(&self, owner: Owner, model: &str) -> bool {
        let mut own = self.all.iter().filter(|origin| origin.owner == owner && origin.sessions > 0);
        own.any(|origin| *origin.model == *model)
    }

    /// Sessions by model, those included that have none now.
    pub(super) fn by_model(&self) -> BTreeMap<Arc<str>, usize> {
        let mut by_model = BTreeMap::new();
        for origin in &self.all {
            *by_model.entry(origin.model.clone()).or_default() += origin.sessions;
        }
        by_model
    }
}

impl Index<OriginNumber> for Origins {
    type Output = Origin;

    fn index(&self, number: OriginNumber) -> &Origin {
        &self.all[number.0 as usize]
    }
}
