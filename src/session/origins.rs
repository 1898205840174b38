//! The models and weights of sessions, each stored once.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

/// The number of an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OriginNumber(u32);

/// Where states come from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The name of the model.
    pub(super) model: Arc<str>,
    /// The identity of its weights.
    pub(super) identity: Arc<str>,
    sessions: usize,
}

/// The origins of all sessions. There are as many as the server has had models, each with its weights.
#[derive(Debug, Default)]
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    /// The number of an origin, which is added if it is new.
    pub(super) fn number(&mut self, model: &Arc<str>, identity: &Arc<str>) -> OriginNumber {
        let known = self.0.iter().position(|origin| origin.model == *model && origin.identity == *identity);
        let number = known.unwrap_or_else(|| {
            self.0.push(Origin { model: model.clone(), identity: identity.clone(), sessions: 0 });
            self.0.len() - 1
        });
        OriginNumber(number as u32)
    }

    /// Counts a session.
    pub(super) fn join(&mut self, origin: OriginNumber) {
        self.0[origin.0 as usize].sessions += 1;
    }

    /// Counts a session no longer.
    pub(super) fn leave(&mut self, origin: OriginNumber) {
        self.0[origin.0 as usize].sessions -= 1;
    }

    /// Sessions by model, those included that have none now.
    pub(super) fn by_model(&self) -> BTreeMap<Arc<str>, usize> {
        let mut by_model = BTreeMap::new();
        for origin in &self.0 {
            *by_model.entry(origin.model.clone()).or_default() += origin.sessions;
        }
        by_model
    }
}

impl Index<OriginNumber> for Origins {
    type Output = Origin;

    fn index(&self, number: OriginNumber) -> &Origin {
        &self.0[number.0 as usize]
    }
}
