//! The child's side of a trial: a graph that its parent does not dare to run.

use std::path::Path;

use super::{Examined, Hints, examine};
use crate::error::{Error, Result};
use crate::probe::Loading;

/// Loads the ONNX file `path`, as the child that tries it; `hints` is what its standard input has.
///
/// # Errors
/// `Load` as [`examine`] has it.
pub fn try_file(path: &Path, hints: &[u8], loading: impl Into<Loading>) -> Result<()> {
    let hints: Hints = serde_json::from_slice(hints).map_err(|error| Error::load(error.to_string()))?;
    let Examined { model, understanding } = examine(path, &hints, &loading.into())?;
    model.map(drop).map_err(|error| {
        // The parent says that much itself.
        let context = format!("{}: ", understanding.cannot_run());
        Error { message: error.message.trim_start_matches(&*context).to_owned(), ..error }
    })
}
