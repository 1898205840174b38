//! A graph whose constant parts are computed: exporters leave slices, casts and transposes of weights, and arithmetic on shapes, to the
//! runtime, which would compute them each time that it compiles the graph.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Constants, Folder};
use crate::onnx::graph::{Element, Graph, Nested, Node};
use crate::onnx::tensor::{Data, Tensor};

/// `graph` with constants in the place of the nodes that only constants go into, and without constants that nothing reads.
///
/// A node stays if its numbers here could be other than a runtime's, if what it makes leaves the graph or is read within a nested one,
/// or if there is no room for it.
pub(in crate::onnx) fn folded(graph: Graph) -> Graph {
    let mut folder = Folder::of(&graph);
    let Graph { nodes, mut constants, ref outputs, .. } = graph;
    let mut staying: HashSet<String> = outputs.iter().map(|port| port.name.clone()).collect();
    nodes.iter().flat_map(Node::graphs).for_each(|nested| add_read_within(nested, &mut staying));
    let mut left = Vec::new();
    for node in nodes {
        let stays = node.outputs.iter().any(|name| staying.contains(name));
        match (!stays).then(|| computed(&mut folder, &node, &constants)).flatten() {
            Some(made) => {
                let named = node.outputs.into_iter().zip(made);
                constants.extend(named.filter(|(name, _)| !name.is_empty()));
            }
            None => left.push(node),
        }
    }
    let read: HashSet<&str> = left.iter().flat_map(|node| &node.inputs).map(String::as_str).collect();
    constants.retain(|name, _| read.contains(name.as_str()) || staying.contains(name));
    drop(read);
    Graph { nodes: left, constants, ..graph }
}

/// What a node makes that only constants go into.
fn computed(
    folder: &mut Folder,
    node: &Node,
    constants: &BTreeMap<String, Arc<Tensor>>,
) -> Option<Vec<Arc<Tensor>>> {
    if node.graphs().next().is_some() {
        return None;
    }
    let input = |name: &String| match name.as_str() {
        "" => Some(None),
        name => constants.get(name).filter(|tensor| is_exact(tensor)).map(|tensor| Some(tensor.clone())),
    };
    let inputs = node.inputs.iter().map(input).collect::<Option<Vec<_>>>()?;
    let made = folder.fold(&Constants { node, inputs }).ok()?;
    let is_whole = made.len() >= node.outputs.len() && made.iter().all(|tensor| is_exact(tensor));
    is_whole.then_some(made)
}

/// Whether a tensor has here the numbers that it has in the file: doubles are rounded. Types and sizes that tract does not take from a
/// constant are left to the node that makes them.
fn is_exact(tensor: &Tensor) -> bool {
    let is_taken = match tensor.element {
        Element::F32 | Element::F16 | Element::Bool => true,
        Element::I8 | Element::U8 | Element::I16 | Element::U16 => true,
        Element::I32 | Element::U32 | Element::I64 => true,
        Element::F64 | Element::Bf16 | Element::U64 | Element::Other(_) => false,
    };
    is_taken && tensor.len() > 0 && !matches!(tensor.data, Data::Unread)
}

/// Adds the names that a nested graph reads, or writes itself, whichever graph they are of.
fn add_read_within(nested: &Nested, names: &mut HashSet<String>) {
    names.extend(nested.outputs.iter().cloned());
    for node in &nested.nodes {
        names.extend(node.inputs.iter().cloned());
        node.graphs().for_each(|nested| add_read_within(nested, names));
    }
}
