//! Keys: who may use a server, and how much.
//!
//! A file lists the keys, one a line: a name and a secret ([`file`](mod@file)). Whoever sends the secret acts under the name: the sessions
//! of a name belong to it, and what it uses is counted and bounded under it ([`Quotas`]). The file may
//! be changed while the server runs ([`Keys::refresh`]). This module knows no HTTP, and keeps no secret: only digests.

mod bucket;
mod file;
mod holder;
mod ring;
mod secret;
#[cfg(test)]
mod tests;

pub use bucket::Allowance;
pub use holder::{Holding, JobPermit, Quotas};
pub use ring::{Keys, KeysSetup, KeysStats, Pass};
