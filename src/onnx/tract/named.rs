//! Inputs and outputs by the names that the manifest gives.

use crate::error::{Error, Result};
use crate::onnx::graph::{Graph, Port};

/// A name that the manifest gives.
pub(super) struct Named<'a> {
    /// The manifest's key.
    pub(super) key: &'static str,
    pub(super) name: &'a str,
}

impl Named<'_> {
    /// # Errors
    /// `Load` when there is no such input.
    pub(super) fn input(&self, graph: &Graph) -> Result<usize> {
        self.place_among(&graph.inputs, "input")
    }

    /// # Errors
    /// `Load` when there is no such output.
    pub(super) fn output(&self, graph: &Graph) -> Result<usize> {
        self.place_among(&graph.outputs, "output")
    }

    fn place_among(&self, ports: &[Port], kind: &str) -> Result<usize> {
        let Self { key, name } = self;
        ports.iter().position(|port| port.name == *name).ok_or_else(|| {
            Error::load(format!(
                "`{key}` names the {kind} `{name}`, which does not exist; found {}",
                listed(ports)
            ))
        })
    }
}

/// `ports`, for a message.
pub(super) fn listed(ports: &[Port]) -> String {
    let each: Vec<String> = ports.iter().map(|port| format!("`{port}`")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}
