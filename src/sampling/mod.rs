//! Sampling: from logits to a token, by the filters that a request asks for and a seeded random draw.
//!
//! A draw is a pure function of the logits, the filters, the tokens that its penalties count, the seed, the choice and the position.
//! Its random number does not depend on earlier draws or on other requests, so generating 64 tokens in one call gives the same tokens as generating 32 and then 32 more.
//! This module depends only on `lm`; it knows nothing of text, sessions or threads.

mod adjust;
mod extension;
mod filtered;
mod filtering;
mod filters;
#[cfg(test)]
mod golden;
mod next;
mod philox;
mod sampler;
#[cfg(test)]
mod tests;
mod typical;

pub use adjust::{Bias, Penalties};
pub use extension::{Extension, extensions};
pub use filtering::Filtering;
pub use filters::{FilterSpec, Filters, NothingLeft};
pub use next::{CandidateAnswer, NextAnswer, NextQuery, Ranked};
use philox::uniform;
pub use sampler::{Drawn, Sampler};
