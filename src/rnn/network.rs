//! The network as a model: checked, packed, ready to run.

use super::{Architecture, Kernel, Weights};
use crate::error::Result;
use crate::lm::{Dtype, Model, ModelInfo, Row, Scratch, Sink};

/// A recurrent language model whose weights are packed for the kernels of this machine.
///
/// A [`State`](crate::lm::State) holds, layer after layer from the first, the layer's output h `[hidden]` and,
/// for an LSTM, its cell c `[hidden]`.
pub struct Rnn {
    info: ModelInfo,
}

impl Rnn {
    /// Checks and packs `weights`, which their file stores as `stored`.
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) names the tensor whose length does not follow from
    /// `architecture`, or that holds a number that is not finite.
    pub fn new(
        _architecture: &Architecture,
        _weights: Weights,
        _stored: Dtype,
        _kernel: Kernel,
    ) -> Result<Self> {
        unimplemented!("the body follows")
    }
}

impl Model for Rnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, _rows: &mut [Row<'_>], _scratch: &mut Scratch, _sink: &mut Sink<'_>) {
        unimplemented!("the body follows")
    }
}
