//! ONNX files, each made by `tests/onnx/make`: what becomes of them, and their numbers against ONNX Runtime's.

mod fixtures;
mod hostile;
mod invariants;
mod numbers;
mod outcomes;
mod reading;
