//! What the tests of several areas share: models and networks, a server and its client, the program, and skipping.

pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod models;
pub(crate) mod network;
pub(crate) mod patience;
pub(crate) mod program;
pub(crate) mod redis;
pub(crate) mod rows;
pub(crate) mod server;
mod skip;

use std::path::Path;
#[cfg(feature = "onnx")]
use std::path::PathBuf;

pub(crate) use skip::{beyond_this_processor, skip};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the committed ONNX files, one folder a family.
#[cfg(feature = "onnx")]
pub(crate) fn onnx_files() -> PathBuf {
    root().join("tests/onnx/files")
}
