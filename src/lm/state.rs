//! One sequence's memory: everything that a recurrent model keeps of the past.

/// The hidden (and cell) vectors of all layers as one flat run of `f32`.
///
/// Its length is [`ModelInfo::state_len`](super::ModelInfo::state_len); what lies where is the model's own affair.
/// Cloning costs one copy of a few kilobytes: that is what makes forks, what-ifs and "a failed step
/// changes nothing" cheap. The top layer's output is part of it, so logits are a function of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct State(Box<[f32]>);

impl State {
    /// A state of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self(vec![0.0; len].into())
    }

    /// The values, `[state_len]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The values, `[state_len]`, for a model to write.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.0
    }

    /// Bytes of memory behind this state.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl From<Vec<f32>> for State {
    fn from(values: Vec<f32>) -> Self {
        Self(values.into())
    }
}
