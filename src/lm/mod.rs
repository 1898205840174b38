//! What a language model is: tokens in, a state carried, logits out.
//!
//! These are the terms that all other modules use. This module knows nothing of text, threads or HTTP.

mod cache;
mod cost;
mod distribution;
#[cfg(test)]
mod every_float;
pub mod fake;
pub(crate) mod histogram;
mod inside;
mod load_options;
mod logsumexp;
pub mod math;
mod model;
pub(crate) mod ranks;
pub(crate) mod reduce;
mod scratch;
pub(crate) mod softmax;
mod state;
#[cfg(test)]
pub(crate) mod test_logits;
pub(crate) mod top_k;
mod window;

pub use cache::{Cache, CacheEntry, CacheOptions};
pub use cost::{Cost, Extent};
pub use distribution::{Distribution, logprob};
pub use inside::{Gates, Gradient, GradientError, Inside, LayerGradient, Passage, StepGradient};
pub use load_options::{LoadOptions, WeightsType};
pub use logsumexp::LogSumExp;
pub use model::{Backend, Cell, Dtype, Logits, Model, ModelInfo, Row, RowError, RowIndex, Sink};
pub use scratch::Scratch;
pub use state::State;
pub use window::Window;

/// The number of a token: its line in the vocabulary, `0..vocab_size`.
pub type TokenId = u32;
