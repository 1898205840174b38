//! An HTTP inference server for recurrent neural language models.
//!
//! The modules in reading order:
//!
//! - [`lm`]: what a language model is: it reads tokens, carries a state and gives logits.
//! - [`kernels`]: inner loops, compiled once for each instruction set; the only module with `unsafe`.
//! - [`rnn`]: the native engine for recurrent models: packed layers, cells, and the run over rows of different lengths.
//! - [`onnx`]: ONNX files: read, checked, and then either lowered to the native engine or run as they are.
//! - [`probe`]: the child process that tries files which could end this one.
//! - [`text`]: text to tokens and back, with the four kinds of tokenizers that a manifest can name.
//! - [`sampling`]: from logits to a token: the filters that a request asks for, and a seeded draw.
//! - [`coding`]: lossless compression with a model's probabilities, in integers.
//! - [`catalog`]: model folders, each checked against its manifest, and the models by name.
//! - [`session`]: the table of sessions: what each has read, who may write to it, and when it expires.
//! - [`budget`]: the memory that requests take, in one account.
//! - [`keys`]: who may use a server, and how much: the file of keys, their quotas, and what changes while it runs.
//! - [`store`]: bytes that survive the process, written in groups.
//! - [`engine`]: the scheduler, which batches the rows of all jobs into turns.
//! - [`api`]: the contract: the requests and answers of every use case, as plain data.
//! - [`service`]: the use cases: each validates a request, runs it as jobs, and makes the answer of their results.
//! - [`http`]: routes, layers, the OpenAPI document, server-sent events and status codes.
//! - [`cli`]: the subcommands.
//! - [`config`]: every option and every limit, checked once.
//! - [`telemetry`]: log lines, metrics and traces.
//! - [`clock`] and [`error`]: the clock that is passed in, and the core's one error type; `digest` is a SHA-256 over fields,
//!   and `foreign` names files that are no models.

pub mod api;
pub mod budget;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod coding;
pub mod config;
mod digest;
pub mod engine;
pub mod error;
mod foreign;
pub mod http;
pub mod kernels;
pub mod keys;
pub mod lm;
#[cfg_attr(not(feature = "onnx"), path = "onnx/without.rs")]
pub mod onnx;
pub mod probe;
pub mod rnn;
pub mod sampling;
pub mod service;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod text;
