//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:

pub mod config;
pub mod error;
pub mod lm;
pub mod telemetry;
