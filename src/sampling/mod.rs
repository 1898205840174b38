//! From logits to a token: the filters a request asks for, and a draw from what they leave.
//!
//! Pure and seeded: a draw is a function of the logits, the filters, the seed, the choice and the position. It does not depend
//! on what ran before or runs beside it, which is why 64 tokens in one call equal 32 and then 32. This module depends on `lm`
//! alone; it knows no text, no sessions and no threads.

mod filters;
mod kept;
mod philox;
mod sampler;
#[cfg(test)]
mod tests;

pub use filters::{FilterSpec, Filters, NothingLeft};
pub use philox::uniform;
pub use sampler::{Drawn, Sampler};
