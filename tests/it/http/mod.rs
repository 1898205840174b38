//! The service over a real socket, laid out like its URLs. The tests send requests to small models, whose weights come from a
//! counter, and compare whole answers.

mod aac;
mod beam;
mod cache;
mod carried;
mod changing;
mod choices;
mod closing;
mod errors;
mod events;
mod explain;
mod extremes;
mod filters;
mod gate;
mod generate;
mod keys;
mod limits;
mod listing;
mod memory;
mod mixture;
mod next;
#[cfg(feature = "onnx")]
mod onnx;
mod openai;
mod ops;
mod origins;
mod rescore;
mod rewind;
mod score;
mod sessions;
pub(crate) mod state;
mod stream;
mod suggest;
mod unknown;
mod words;
