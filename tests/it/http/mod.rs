//! The service over a real socket, laid out like its URLs: small models whose weights come from a counter, real
//! requests, whole answers.

mod errors;
mod events;
mod gate;
mod generate;
mod next;
#[cfg(feature = "onnx")]
mod onnx;
mod ops;
mod score;
mod sessions;
mod stream;
