//! What stands here in a program that is built without the feature `onnx`: the types that others speak of, and a refusal.

mod outer;
mod port;
mod understanding;

use std::path::Path;

pub use outer::{Examined, Hints, Loaded, load};
pub use port::{Dim, Element, Port};
pub use understanding::{Layer, Network, PortUse, Understanding};

use crate::error::{Error, Result};
use crate::kernels::Kernel;

/// Refuses the ONNX file `path`.
///
/// # Errors
/// `Load`, always.
pub fn examine(_path: &Path, _hints: &Hints, _kernel: Kernel) -> Result<Examined> {
    Err(Error::load(
        "an ONNX file, and this program was built without them; the cargo feature `onnx`, which is a default one, reads them",
    ))
}
