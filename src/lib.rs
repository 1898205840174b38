//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:
//!
//! - [`text`]: texts to tokens and back, by the four kinds of tokenizers that a manifest can name.
//! - [`sampling`]: from logits to a token, by the filters a request asks for and a seeded draw.
//! - [`catalog`]: model folders, each checked against its manifest, and the models they hold by name.

pub mod catalog;
pub mod error;
pub mod lm;
pub mod rnn;
pub mod sampling;
pub mod text;
