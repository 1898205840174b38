//! What a language model is: tokens in, a state carried, logits out.
//!
//! These are the nouns that every other module speaks in. They depend on nothing, and know neither
//! text nor threads nor HTTP.

mod cost;
mod distribution;
pub mod fake;
mod load_options;
mod logsumexp;
pub mod math;
mod model;
pub(crate) mod reduce;
mod scratch;
mod state;
mod tail;
#[cfg(test)]
pub(crate) mod test_logits;
pub(crate) mod top_k;
mod window;

pub use cost::{Cost, Extent};
pub use distribution::Distribution;
pub use load_options::{LoadOptions, WeightsType};
pub use logsumexp::LogSumExp;
pub use model::{Backend, Cell, Dtype, Logits, Model, ModelInfo, Row, RowError, RowIndex, Sink};
pub use scratch::Scratch;
pub use state::State;
pub use tail::{Joint, Tail};
pub use window::Window;

/// A token's number: its line in the vocabulary, `0..vocab_size`.
pub type TokenId = u32;
