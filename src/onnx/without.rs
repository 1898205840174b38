//! Stands in for the module in a build without the feature `onnx`: the types that others use, and a refusal.

mod hints;
mod loaded;
mod port;
mod trial;
mod understanding;

use std::path::Path;

pub use hints::{Hints, WindowHint};
pub use loaded::{Examined, Loaded, load};
pub use port::{Dim, Element, Port};
pub use trial::try_file;
pub use understanding::{
    GraphFeedForward, GraphHidden, GraphLayer, GraphNetwork, PortUse, Reads, Understanding,
};

use crate::error::{Error, Result};
use crate::probe::Loading;

/// Refuses the ONNX file `path`.
///
/// # Errors
/// `Load`, always.
pub fn examine(_path: &Path, _hints: &Hints, _loading: &Loading) -> Result<Examined> {
    Err(Error::load(
        "this program was built without support for ONNX files; build it with the cargo feature `onnx`, which is on by default",
    ))
}
