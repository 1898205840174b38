//! The service over a real socket, laid out like its URLs. The tests send requests to small models, whose weights come from a
//! counter, and compare whole answers.

mod errors;
mod events;
mod extremes;
mod gate;
mod generate;
mod mixture;
mod next;
#[cfg(feature = "onnx")]
mod onnx;
mod ops;
mod rescore;
mod rewind;
mod score;
mod sessions;
mod stream;
mod suggest;
mod unknown;
