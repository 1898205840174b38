//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:

pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod lm;
pub mod service;
pub mod telemetry;
