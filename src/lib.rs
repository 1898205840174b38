//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:
//!
//! - [`text`]: texts to tokens and back, by the four kinds of tokenizers that a manifest can name.

pub mod error;
pub mod lm;
pub mod text;
