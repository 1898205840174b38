//! The native engine: packed layers, the recurrent cells, and the run over ragged rows; and feed-forward networks on windows.
//!
//! It knows numbers only: no text, no files, no threads. A reader of model folders or ONNX graphs fills in an
//! [`Architecture`] and its [`Weights`]; [`Rnn`] packs them once and is a [`Model`](crate::lm::Model) from then on.

mod architecture;
mod bounds;
mod cells;
mod chunk;
mod cost;
mod embedding;
mod feed_forward;
mod folded;
mod gradient;
mod layer;
mod network;
mod norm;
mod output;
mod recall;
mod recurrence;
mod run;
mod validate;
mod values;
mod windowed;

pub use architecture::{Architecture, GateActivation, GruForm, LayerWeights, Weights};
pub use cells::Activation;
pub use feed_forward::{DenseWeights, FeedForward, FeedForwardArchitecture, FeedForwardWeights, WindowInput};
pub use network::Rnn;
pub use norm::{Norm, NormForm, Scaled, Statistics};
pub use values::Values;
pub use windowed::WindowedRnn;
