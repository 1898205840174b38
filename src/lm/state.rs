//! The memory of one sequence: everything that a recurrent model keeps of the past.

use std::sync::Arc;

use super::{Cache, Extent, TokenId};

/// The hidden (and cell) vectors of all layers in one flat buffer of `f32`, immutable and shared.
///
/// Its length is [`ModelInfo::state_len`](super::ModelInfo::state_len); its layout is up to the model.
/// A clone is a reference count, so forks, reads and leases copy nothing, whatever the size. A model never changes values that
/// another clone can see: a run computes a successor and replaces the state by it, so a failed step changes nothing. The
/// output of the top layer is part of the state, so logits are a function of the state.
///
/// A state may have a [`Cache`] beside its values. It is shared in the same way, and every run adds to it what is read.
#[derive(Clone, Debug, PartialEq)]
pub struct State(Parts);

/// Two words, with a cache or without: most states have none.
#[derive(Clone, Debug, PartialEq)]
enum Parts {
    Bare(Arc<[f32]>),
    Cached(Arc<Cached>),
}

#[derive(Clone, Debug, PartialEq)]
struct Cached {
    values: Arc<[f32]>,
    cache: Arc<Cache>,
}

const _: () = assert!(size_of::<State>() == 2 * size_of::<usize>());

impl State {
    /// A state of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self::from(vec![0.0; len])
    }

    /// The values, `[state_len]`.
    pub fn as_slice(&self) -> &[f32] {
        match &self.0 {
            Parts::Bare(values) => values,
            Parts::Cached(cached) => &cached.values,
        }
    }

    /// Replaces the values by those of a successor, `[state_len]`. Clones keep the old values. If there are no clones, the memory is
    /// reused.
    pub fn replace(&mut self, values: &[f32]) {
        let own = match &mut self.0 {
            Parts::Bare(own) => own,
            Parts::Cached(cached) => &mut Arc::make_mut(cached).values,
        };
        match Arc::get_mut(own) {
            Some(own) if own.len() == values.len() => own.copy_from_slice(values),
            _ => *own = values.into(),
        }
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        size_of_val(self.as_slice())
    }

    /// The cache, if the state has one.
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        match &self.0 {
            Parts::Bare(_) => None,
            Parts::Cached(cached) => Some(&cached.cache),
        }
    }

    /// `extent`, whose rows all start from this state, with what the cache adds to it.
    pub fn counted(&self, extent: Extent) -> Extent {
        self.cache().map_or(extent, |cache| cache.counted(extent))
    }

    /// Replaces the cache. Clones keep the old one.
    pub fn set_cache(&mut self, cache: Option<Arc<Cache>>) {
        let values = match &self.0 {
            Parts::Bare(values) => values.clone(),
            Parts::Cached(cached) => cached.values.clone(),
        };
        self.0 = match cache {
            None => Parts::Bare(values),
            Some(cache) => Parts::Cached(Arc::new(Cached { values, cache })),
        };
    }

    /// Adds to the cache, if there is one, that `token` was read after `h`.
    pub fn remember(&mut self, h: &[f32], token: TokenId) {
        if let Parts::Cached(cached) = &mut self.0 {
            Arc::make_mut(&mut Arc::make_mut(cached).cache).push(h, token);
        }
    }
}

impl From<Vec<f32>> for State {
    fn from(values: Vec<f32>) -> Self {
        Self(Parts::Bare(values.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_the_memory_and_keeps_its_values() {
        let mut state = State::from(vec![1.0, 2.0]);
        let fork = state.clone();
        assert!(std::ptr::eq(state.as_slice(), fork.as_slice()));
        state.replace(&[3.0, 4.0]);
        assert_eq!((state.as_slice(), fork.as_slice()), (&[3.0, 4.0][..], &[1.0, 2.0][..]));
    }

    #[test]
    fn a_state_that_nobody_shares_is_replaced_in_its_own_memory() {
        let mut state = State::zeros(2);
        let memory = state.as_slice().as_ptr();
        state.replace(&[3.0, 4.0]);
        assert_eq!((state.as_slice().as_ptr(), state.as_slice()), (memory, &[3.0, 4.0][..]));
    }
}
