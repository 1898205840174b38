//! The contract: the requests and answers of every use case, as plain data.
//!
//! A field's name, default, hard bound and documentation are declared here, once. `service` takes and returns these
//! types, `http` and `cli` only carry them, so that a second dialect of the API is one more adapter. Nothing here knows
//! the web framework, the engine or the configuration. A bound that the operator sets is named in the field's documentation, in the form
//! ``Limit: `--option` `` (or ``Limit of each: `--option` `` for the entries of a list); the server writes its value into
//! the OpenAPI document when it starts.
//!
//! A request type is read by [`fields`]: every field may be absent or null and then keeps its default. Its
//! `#[serde(default, deny_unknown_fields)]` says the same to utoipa. [`complaint`] has the errors of what cannot be read.

pub mod aac;
pub mod admin;
pub mod append;
pub mod cache;
mod choice;
pub mod complaint;
pub mod error;
pub mod explain;
mod fields;
pub mod generate;
pub mod independent;
pub mod info;
pub mod json_text;
pub mod memory;
pub mod mixture;
pub mod models;
pub mod neighbors;
pub mod next;
pub mod onnx;
pub mod openai;
pub mod prompt;
pub mod question;
pub mod rescore;
pub mod rewind;
pub mod sampling;
pub mod score;
pub mod sessions;
pub mod state;
pub mod stats;
pub mod stream;
pub mod suggest;
pub mod tokens;
pub mod unknown;
mod value;

use fields::fields;

/// The longest list of a request, apart from lists of token ids. Limits that the operator sets are not above it.
pub const ENTRIES_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests;
