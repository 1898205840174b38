//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:
//!
//! - [`sampling`]: from logits to a token, by the filters a request asks for and a seeded draw.

pub mod error;
pub mod lm;
pub mod rnn;
pub mod sampling;
