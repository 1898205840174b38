//! ONNX files, each made by `tests/onnx/make`: what becomes of them, and their numbers against ONNX Runtime's.

#![cfg(feature = "onnx")]

mod fixtures;
#[path = "../rnn/harness.rs"]
mod harness;
mod hostile;
mod invariants;
mod numbers;
mod outcomes;
mod reading;
