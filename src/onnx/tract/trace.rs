//! Which node of a graph is the first whose result at some position is not that of reading one token at a time.

use std::collections::HashSet;

use super::opening::{Ids, Opening};
use super::positions::{Tolerance, run_steps};
use super::program::Traced;
use crate::lm::TokenId;
use crate::onnx::graph::Graph;

/// A comparison of every tensor that follows from the tokens and the state.
pub(super) struct Trace<'a> {
    pub(super) opening: &'a Opening<'a>,
    pub(super) ids: Ids,
    pub(super) tolerance: Tolerance,
}

/// Bounds the tensors that are compared.
const TENSORS_MAX: usize = 2000;

impl Trace<'_> {
    /// The node, for a message; `None` where it is not found.
    pub(super) fn first_difference(&self, tokens: &[TokenId]) -> Option<String> {
        let graph = self.opening.candidate.graph;
        let names = followers(graph);
        let whole = self.opening.compile(self.ids, &names).ok()?;
        let steps = self.opening.compile(Ids::ONE, &names).ok()?;
        let state = vec![0.0; steps.state_len()];
        let whole = whole.run(tokens, &state).ok()?.traced;
        let steps = run_steps(&steps, tokens).ok()?;
        let differs = |at: &usize| {
            let parts: Option<Vec<&Traced>> = steps.iter().map(|step| step.traced.get(*at)).collect();
            parts.is_some_and(|parts| !self.same(&whole[*at], &parts))
        };
        let first = (0..whole.len()).find(differs)?;
        let name = whole[first].name.as_str();
        let node = graph.nodes.iter().find(|node| node.outputs.iter().any(|output| output == name))?;
        Some(format!("node `{}` ({})", node.name, node.op))
    }

    /// Whether `whole` is made of `steps`, one after the other along the one dimension that is longer; a tensor without positions must
    /// be that of the first or of the last step.
    fn same(&self, whole: &Traced, steps: &[&Traced]) -> bool {
        let Some(first) = steps.first().filter(|first| first.shape.len() == whole.shape.len()) else {
            return true;
        };
        let mut longer = (0..whole.shape.len()).filter(|&axis| whole.shape[axis] != first.shape[axis]);
        let Some(axis) = longer.next() else {
            let ends = steps.first().into_iter().chain(steps.last());
            return ends.into_iter().any(|step| self.tolerance.agree(&whole.values, &step.values));
        };
        let size = first.shape[axis];
        if longer.next().is_some() || whole.shape[axis] != size * steps.len() {
            return false;
        }
        let inner: usize = first.shape[axis..].iter().product();
        let outer: usize = first.shape[..axis].iter().product();
        let together = (0..outer).flat_map(|block| {
            steps
                .iter()
                .flat_map(move |step| step.values.get(block * inner..(block + 1) * inner).unwrap_or_default())
        });
        self.tolerance.agree(&whole.values, &together.copied().collect::<Vec<f32>>())
    }
}

/// The tensors that follow from the values of an input, and not from its shape alone, in an order of execution.
pub(super) fn followers(graph: &Graph) -> Vec<&str> {
    let mut following: HashSet<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
    let mut names = Vec::new();
    for node in graph.nodes.iter().filter(|node| !matches!(node.op.as_str(), "Shape" | "Size")) {
        if !node.inputs.iter().any(|name| following.contains(name.as_str())) {
            continue;
        }
        for output in node.outputs.iter().filter(|output| !output.is_empty()) {
            following.insert(output);
            names.push(output.as_str());
        }
    }
    names.truncate(TENSORS_MAX);
    names
}
