//! The native engine: packed layers, the recurrent cells, and the run over ragged rows.
//!
//! It knows numbers only: no text, no files, no threads. Whoever reads a model folder or an ONNX graph fills
//! in an [`Architecture`] and its [`Weights`]; [`Rnn`] packs them once and is a [`Model`](crate::lm::Model)
//! from then on.

mod architecture;
mod cells;
mod chunk;
mod kernels;
mod layer;
mod network;
mod output;
mod recurrence;
mod run;
mod validate;
mod windowed;

pub use architecture::{Architecture, GruForm, LayerWeights, Weights};
pub use kernels::Kernel;
pub use network::Rnn;
pub use windowed::WindowedRnn;
