//! The memory of one sequence: everything that a recurrent model keeps of the past.

use std::sync::Arc;

/// The hidden (and cell) vectors of all layers in one flat buffer of `f32`, immutable and shared.
///
/// Its length is [`ModelInfo::state_len`](super::ModelInfo::state_len); its layout is up to the model.
/// A clone is a reference count, so forks, reads and leases copy nothing, whatever the size. A model never changes values that
/// another clone can see: a run computes a successor and replaces the state by it, so a failed step changes nothing. The
/// output of the top layer is part of the state, so logits are a function of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct State(Arc<[f32]>);

impl State {
    /// A state of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self(vec![0.0; len].into())
    }

    /// The values, `[state_len]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Replaces the values by those of a successor, `[state_len]`. Clones keep the old values. If there are no clones, the memory is
    /// reused.
    pub fn replace(&mut self, values: &[f32]) {
        match Arc::get_mut(&mut self.0) {
            Some(own) if own.len() == values.len() => own.copy_from_slice(values),
            _ => self.0 = values.into(),
        }
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl From<Vec<f32>> for State {
    fn from(values: Vec<f32>) -> Self {
        Self(values.into())
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
