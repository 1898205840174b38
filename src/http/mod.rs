//! HTTP: the only place that knows axum, status codes and JSON.
//!
//! [`routes`] is the table of all routes, [`layers`] the list of what happens to every request, [`error`] the one
//! place that turns a failure into a status, [`serve`] the life of the server. Handlers call use cases and hold
//! no logic of their own; their request and response types stand beside them.

pub mod app;
mod append;
pub mod error;
pub mod extract;
mod generate;
mod held;
mod layers;
mod models;
mod next;
mod onnx;
mod ops;
mod question;
mod routes;
mod score;
mod serve;
mod sessions;
pub mod sse;
mod tokens;
mod wire;

pub use app::{App, Phase};
pub(crate) use generate::{Generated, Tokens};
pub(crate) use next::NextAnswer;
pub(crate) use onnx::{OnnxGraph, OnnxLayer, OnnxNetwork, OnnxPort};
pub use routes::{document, router};
pub(crate) use score::Scored;
pub use serve::{Shutdown, serve};

#[cfg(test)]
mod tests;
