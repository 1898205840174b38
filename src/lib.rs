//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:
//!
//! - [`lm`]: what a language model is: tokens in, a state carried, logits out.
//! - [`kernels`]: inner loops, compiled for each instruction set and chosen at start-up; the only `unsafe`.
//! - [`rnn`]: the native engine that computes a model: packed layers, cells, the run over ragged rows.
//! - [`onnx`]: ONNX files: read, checked, lowered to the native engine or run as they are.
//! - [`text`]: texts to tokens and back, by the four kinds of tokenizers that a manifest can name.
//! - [`sampling`]: from logits to a token: the filters that a request asks for, and a seeded draw.
//! - [`catalog`]: model folders, each checked against its manifest, and the models they hold by name.
//! - [`session`]: what each session has read, who may advance it, and when it goes.
//! - [`engine`]: the scheduler: inbox, turns, jobs, rows.
//! - [`service`]: the use cases: a validated request becomes jobs, and their results an answer.
//! - [`http`]: routes, layers, JSON, server-sent events, status codes.
//! - [`cli`]: the subcommands.
//! - [`config`]: every option, checked once; every limit is in it.
//! - [`telemetry`]: log lines and metrics.
//! - [`clock`] and [`error`]: time passed in, and the core's one error.

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod http;
pub mod kernels;
pub mod lm;
#[cfg_attr(not(feature = "onnx"), path = "onnx/without.rs")]
pub mod onnx;
pub mod rnn;
pub mod sampling;
pub mod service;
pub mod session;
pub mod telemetry;
pub mod text;
