//! What examining or loading a graph gives.

use std::path::Path;
use std::sync::Arc;

use super::{Hints, Understanding};
use crate::error::Result;
use crate::lm::Model;
use crate::probe::Loading;

/// A graph, whether or not it can be served.
pub struct Examined {
    /// What computes it, or why it cannot be served.
    pub model: Result<Arc<dyn Model>>,
    /// How it was understood.
    pub understanding: Understanding,
}

/// A graph that can be served.
pub struct Loaded {
    /// What computes it.
    pub model: Arc<dyn Model>,
    /// How it was understood.
    pub understanding: Understanding,
}

/// Loads the ONNX file `path`. Weights kept in other files are read from its folder only.
///
/// # Errors
/// `Load` naming the node, input or output at fault, what was found and what was expected.
pub fn load(path: &Path, hints: &Hints, loading: impl Into<Loading>) -> Result<Loaded> {
    let Examined { model, understanding } = super::examine(path, hints, &loading.into())?;
    Ok(Loaded { model: model?, understanding })
}
