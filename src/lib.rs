//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:

/// Time, passed in.
pub mod clock;
/// The scheduler: inbox, turns, jobs, rows.
pub mod engine;
/// The core's one error.
pub mod error;
/// What a language model is.
pub mod lm;
/// What each session has read, and who may advance it.
pub mod session;
