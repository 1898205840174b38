//! ONNX files, which `tests/onnx/make` wrote: how each is served or why it is refused, and its numbers compared with those of ONNX
//! Runtime.

mod fixtures;
mod hostile;
mod invariants;
mod numbers;
mod outcomes;
mod quantised;
mod reading;
