//! The integration tests, in one binary: everything that is tested from outside of a module, one folder an area.
//!
//! `cargo test --release --test it http::` runs one area. What two areas use is in `harness`; the files that the tests read
//! are beside this folder, in `tests/data`, `tests/golden` and `tests/onnx`.

#![allow(clippy::unwrap_used, reason = "a helper that panics is how a test fails")]

mod cli;
mod compress;
mod docs;
mod engine;
mod harness;
#[cfg(feature = "tract")]
mod hostile;
mod http;
#[cfg(feature = "onnx")]
mod onnx;
// It decodes with the library that reads ONNX files.
#[cfg(all(feature = "otel", feature = "onnx"))]
mod otel;
mod rnn;
mod session;
mod shipped_models;
mod store;
mod tidy;
