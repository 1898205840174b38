//! The native engine: packed layers, the recurrent cells, and the run over ragged rows.
//!
//! It knows numbers only: no text, no files, no threads. A reader of model folders or ONNX graphs fills in an
//! [`Architecture`] and its [`Weights`]; [`Rnn`] packs them once and is a [`Model`](crate::lm::Model) from then on.

mod architecture;
mod cells;
mod chunk;
mod cost;
mod embedding;
mod folded;
mod layer;
mod network;
mod output;
mod recurrence;
mod run;
mod validate;
mod values;
mod windowed;

pub use architecture::{Architecture, GruForm, LayerWeights, Weights};
pub use network::Rnn;
pub use values::Values;
pub use windowed::WindowedRnn;
