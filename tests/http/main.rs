//! The service over a real socket, laid out like its URLs: small models whose weights come from a counter, real
//! requests, whole answers.

#![allow(clippy::unwrap_used, reason = "a helper that panics is how a test fails")]

mod client;
mod errors;
mod events;
mod gate;
mod generate;
mod harness;
mod models;
mod next;
#[cfg(feature = "onnx")]
mod onnx;
mod ops;
mod score;
mod sessions;
mod stream;
