//! Puts nodes into an order of execution. Files should already have them in one, but nothing guarantees it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::error::{Error, Result};
use crate::onnx::graph::{Node, Port};

/// `nodes` in an order in which each comes after those that it reads from.
///
/// # Errors
/// `Load` naming a node of a cycle, a name that two nodes write, or one that is read and never written.
pub(super) fn in_order(nodes: Vec<Node>, given: &HashSet<&str>, outputs: &[Port]) -> Result<Vec<Node>> {
    let makers = makers(&nodes, given)?;
    let is_made = |name: &str| given.contains(name) || makers.contains_key(name);
    if let Some(output) = outputs.iter().find(|output| !is_made(&output.name)) {
        return Err(Error::load(format!("nothing writes the output `{}`", output.name)));
    }
    // For each node: how many nodes it waits for, and which wait for it.
    let mut waits = vec![0usize; nodes.len()];
    let mut waiting = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            if !is_made(name) {
                let message = format!("node `{}` reads `{name}`, which nothing writes", node.name);
                return Err(Error::load(message));
            }
        }
        let read: BTreeSet<usize> = reads(node).filter_map(|name| makers.get(name).copied()).collect();
        waits[index] = read.len();
        read.into_iter().for_each(|maker| waiting[maker].push(index));
    }

    let mut ready: VecDeque<usize> = (0..nodes.len()).filter(|&index| waits[index] == 0).collect();
    let mut order = Vec::new();
    while let Some(index) = ready.pop_front() {
        order.push(index);
        for &next in &waiting[index] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push_back(next);
            }
        }
    }
    if let Some(mut index) = waits.iter().position(|&waits| waits > 0) {
        // Each blocked node waits for another blocked one, so the first node that walking back meets again is on a cycle.
        let mut met = HashSet::new();
        while met.insert(index) {
            let mut read = reads(&nodes[index]).filter_map(|name| makers.get(name).copied());
            index = read.find(|&maker| waits[maker] > 0).unwrap_or(index);
        }
        let name = &nodes[index].name;
        return Err(Error::load(format!(
            "node `{name}` depends on its own output, expected a graph without cycles"
        )));
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
}

/// The node that writes each name.
fn makers<'n>(nodes: &'n [Node], given: &HashSet<&str>) -> Result<HashMap<&'n str, usize>> {
    let mut makers = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if given.contains(name.as_str()) || makers.insert(name.as_str(), index).is_some() {
                let message = format!("node `{}` writes `{name}`, which already exists", node.name);
                return Err(Error::load(message));
            }
        }
    }
    Ok(makers)
}

/// All names that `node` reads, also from within nested graphs.
fn reads(node: &Node) -> Box<dyn Iterator<Item = &str> + '_> {
    let own = node.inputs.iter().map(String::as_str);
    Box::new(own.chain(node.nested().flat_map(reads)))
}
