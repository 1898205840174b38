//! HTTP: the only place that knows axum, status codes and JSON.
//!
//! [`routes`] is the table of all routes, [`layers`] the list of what happens to every request, [`error`] the one
//! place that turns a failure into a status, [`serve`] the life of the server. Handlers call use cases and hold
//! no logic of their own; their request and response types stand beside them.

pub mod app;
pub mod error;
pub mod extract;
mod held;
mod layers;
mod ops;
mod routes;
mod serve;
pub mod sse;

pub use app::{App, Phase};
pub use routes::{document, router};
pub use serve::{Shutdown, serve};

#[cfg(test)]
mod tests;
