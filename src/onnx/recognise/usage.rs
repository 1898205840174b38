//! How a network can be called: how many ids at once, and whether its state comes back. It is held against what the manifest says.

use std::collections::BTreeSet;

use super::Found;
use super::axes::Along;
use super::network::names;
use super::value::{Carried, Vector};
use crate::error::{Error, Result};
use crate::lm::Cell;
use crate::onnx::Hints;
use crate::onnx::graph::{Dim, Port};

/// How callers can feed a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::onnx) struct Usage {
    /// Whether everything that its layers carry comes in by inputs and goes out by outputs.
    pub(in crate::onnx) keeps_state: bool,
    /// The number of ids that the file fixes, where that is above 1.
    pub(in crate::onnx) fixed_len: Option<usize>,
}

impl Usage {
    /// The window that the network was most likely trained on, where it cannot have carried a state.
    pub(in crate::onnx) fn likely_window(self) -> Option<usize> {
        self.fixed_len.filter(|_| !self.keeps_state)
    }
}

impl Found<'_> {
    /// How the network of `layers`, by their places among all layers, can be called.
    pub(super) fn usage(&self, layers: &[usize]) -> Usage {
        let ends: BTreeSet<Carried> =
            self.graph.outputs.iter().flat_map(|output| self.carried_by(output)).collect();
        let is_kept = |carried: Carried| {
            self.starts.iter().any(|start| start.carried == carried) && ends.contains(&carried)
        };
        let keeps_state = layers.iter().all(|&layer| {
            let keeps_c =
                self.layers[layer].cell != Cell::Lstm || is_kept(Carried { layer, vector: Vector::C });
            keeps_c && is_kept(Carried { layer, vector: Vector::H })
        });
        Usage { keeps_state, fixed_len: self.fixed_len() }
    }

    fn fixed_len(&self) -> Option<usize> {
        let Some(Some(Along::Input { input, axis })) = self.time else { return None };
        match self.graph.inputs[input].shape.as_deref()?.get(axis)? {
            &Dim::Fixed(len) if len > 1 => Some(len),
            _ => None,
        }
    }

    /// Checks that the inputs and outputs that the manifest names are what it says.
    ///
    /// # Errors
    /// `Load` naming the key at fault.
    pub(in crate::onnx) fn check_hints(&self, hints: &Hints) -> Result<()> {
        if let Some(name) = &hints.tokens {
            let input = place(&self.graph.inputs, name)
                .ok_or_else(|| missing("onnx.tokens", name, &self.graph.inputs))?;
            if let Some(tokens) = self.tokens.filter(|&tokens| tokens != input) {
                let tokens = &self.graph.inputs[tokens].name;
                return Err(Error::load(format!(
                    "`onnx.tokens` is `{name}`, but the token ids come in by `{tokens}`"
                )));
            }
        }
        hints.state.iter().try_for_each(|(input, output)| self.check_pair(input, output))
    }

    fn check_pair(&self, input: &str, output: &str) -> Result<()> {
        let key = "onnx.state";
        let at = place(&self.graph.inputs, input).ok_or_else(|| missing(key, input, &self.graph.inputs))?;
        let port = place(&self.graph.outputs, output).map(|at| &self.graph.outputs[at]);
        let port = port.ok_or_else(|| missing(key, output, &self.graph.outputs))?;
        let taken: BTreeSet<Carried> =
            self.starts.iter().filter(|start| start.input == at).map(|start| start.carried).collect();
        let given = self.carried_by(port);
        if taken == given && !taken.is_empty() {
            return Ok(());
        }
        let said = |carried: &BTreeSet<Carried>| match carried.is_empty() {
            true => "not a state".to_owned(),
            false => format!("state {}", names(carried)),
        };
        Err(Error::load(format!(
            "`{key}` feeds `{input}` from `{output}`, but in the graph `{input}` is {} and `{output}` is {}",
            said(&taken),
            said(&given)
        )))
    }
}

fn place(ports: &[Port], name: &str) -> Option<usize> {
    ports.iter().position(|port| port.name == name)
}

fn missing(key: &str, name: &str, ports: &[Port]) -> Error {
    let found: Vec<String> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
    Error::load(format!("`{key}` names `{name}`, which does not exist; found {}", found.join(", ")))
}
