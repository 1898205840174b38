//! The caches of the rows of a run: read where logits are asked for, and extended by every token that is read.

use std::sync::Arc;

use super::output::Wanted;
use crate::lm::{Cache, State, TokenId};

/// The caches of rows, by index. Empty if no row has one, so that a run without caches pays nothing.
pub(super) struct Recalls(Vec<Option<Recall>>);

/// A cache on its way through a run. The state keeps its own until the row has succeeded.
struct Recall {
    cache: Arc<Cache>,
    /// Tokens that are in `cache`, of those of the row.
    read: usize,
    /// What the chunk adds: each h, `[tokens, hidden]`, before each token.
    h: Vec<f32>,
    tokens: Vec<TokenId>,
    /// How many of them are in `cache`.
    added: usize,
}

impl Recalls {
    /// The caches of `states`.
    pub(super) fn new<'s>(states: impl Iterator<Item = &'s State> + Clone) -> Self {
        if states.clone().all(|state| state.cache().is_none()) {
            return Self(Vec::new());
        }
        Self(states.map(|state| state.cache().cloned().map(Recall::new)).collect())
    }

    /// Those of the first `count` rows that have a cache.
    pub(super) fn rows_before(&self, count: usize) -> Vec<usize> {
        let rows = self.0.iter().take(count).enumerate();
        rows.filter(|(_, recall)| recall.is_some()).map(|(row, _)| row).collect()
    }

    /// Notes that the chunk reads `token` after `h`.
    pub(super) fn note(&mut self, row: usize, h: &[f32], token: TokenId) {
        if let Some(recall) = self.of(row) {
            recall.h.extend_from_slice(h);
            recall.tokens.push(token);
        }
    }

    /// Lets `change` work on all h that the chunk adds.
    pub(super) fn change(&mut self, row: usize, change: impl FnOnce(&mut [f32])) {
        if let Some(recall) = self.of(row) {
            change(&mut recall.h);
        }
    }

    /// Mixes into the logits of a position what the cache holds there.
    pub(super) fn mix(&mut self, wanted: &Wanted, h: &[f32], logits: &mut [f32]) {
        if let Some(recall) = self.of(wanted.row) {
            recall.add(wanted.position - recall.read);
            recall.cache.mix(h, logits);
        }
    }

    /// Adds what is left of the chunk.
    pub(super) fn finish_chunk(&mut self) {
        for recall in self.0.iter_mut().flatten() {
            recall.add(recall.tokens.len() - recall.added);
            recall.h.clear();
            recall.tokens.clear();
            recall.added = 0;
        }
    }

    /// The cache of a row, once it is complete.
    pub(super) fn take(&mut self, row: usize) -> Option<Arc<Cache>> {
        self.0.get_mut(row)?.take().map(|recall| recall.cache)
    }

    fn of(&mut self, row: usize) -> Option<&mut Recall> {
        self.0.get_mut(row)?.as_mut()
    }
}

impl Recall {
    fn new(cache: Arc<Cache>) -> Self {
        Self { cache, read: 0, h: Vec::new(), tokens: Vec::new(), added: 0 }
    }

    /// Adds the next `count` tokens of the chunk.
    fn add(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let cache = Arc::make_mut(&mut self.cache);
        let width = cache.width();
        for index in self.added..self.added + count {
            cache.push(&self.h[index * width..][..width], self.tokens[index]);
        }
        self.added += count;
        self.read += count;
    }
}
