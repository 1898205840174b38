//! HTTP: the only place that knows axum and status codes.
//!
//! [`routes`] is the table of all routes, [`layers`] the list of what happens to every request, [`error`] the one
//! place that turns a failure into a status, [`document`](mod@document) the OpenAPI document, [`serve`](mod@serve) the life of the
//! server. Handlers call use cases with the types of [`crate::api`] and hold no logic of their own.

mod aac;
mod admin;
pub mod app;
mod arrival;
mod document;
pub mod error;
mod explain;
pub mod extract;
mod generate;
mod held;
mod json;
mod layers;
mod models;
mod next;
mod openai;
mod ops;
mod page;
mod reference;
mod rescore;
mod routes;
mod score;
mod serve;
mod sessions;
pub mod sse;
mod state;
mod suggest;
mod tokens;

pub use app::{App, Phase};
pub use document::document;
pub use routes::router;
pub use serve::{Shutdown, serve, serve_probes};

#[cfg(test)]
mod tests;
