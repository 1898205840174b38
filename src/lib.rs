//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:

pub mod error;
pub mod lm;
pub mod rnn;
