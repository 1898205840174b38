//! From the bytes of a file to a [`Graph`]. Nothing in the file is trusted: its size, its shapes and its names are checked here.

mod cost;
mod external;
mod order;
pub(in crate::onnx) mod schema;
mod tensor;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use prost::Message;

use super::graph::{Attribute, Dim, Element, Function, Graph, Nested, Node, Port};
use crate::error::{Error, Result};
use crate::foreign::kind_of_no_graph;
use external::External;
use order::in_order;
use schema::{
    AttributeProto, AttributeType, Dimension, FunctionProto, GraphProto, ModelProto, NodeProto,
    ValueInfoProto,
};

#[cfg(all(test, feature = "tract"))]
pub(in crate::onnx) use cost::MessageKind;

/// Reads the ONNX file `path`. Weights kept in other files, of at most `bytes_max` bytes each, are read from its folder only.
///
/// # Errors
/// `Load` naming the tensor or the node at fault, what was found and what was expected.
pub(in crate::onnx) fn read_graph(path: &Path, bytes_max: u64) -> Result<Graph> {
    let file = read_file(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    decode(file, folder.unwrap_or(Path::new(".")), bytes_max)
}

/// The graph in the bytes of a `file` in `folder`.
pub(in crate::onnx) fn decode(file: Vec<u8>, folder: &Path, bytes_max: u64) -> Result<Graph> {
    if let Some(kind) = kind_of_no_graph(&file) {
        return Err(Error::load(format!("not an ONNX file: {kind}")));
    }
    cost::check(&file)?;
    let model = ModelProto::decode(&*file)
        .map_err(|error| Error::load(format!("not an ONNX file, or a part of one: {error}")))?;
    drop(file);
    graph_of(model, External::new(folder, bytes_max))
}

/// The bytes of a regular file of a size that protobuf can write.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    const BYTES_MAX: u64 = 1 << 31;

    let unreadable = |error: std::io::Error| Error::load(format!("cannot be read: {error}"));
    // Opening a pipe waits for whoever writes into it.
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::load("not a regular file"));
    }
    let found = metadata.len();
    if found > BYTES_MAX {
        return Err(Error::load(format!("the file has {found} bytes; the maximum is {BYTES_MAX}")));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

/// The checked graph of a decoded `model` in `folder`.
fn graph_of(model: ModelProto, mut external: External) -> Result<Graph> {
    let Some(graph) = model.graph else {
        return Err(Error::load("not an ONNX file, or a part of one: found no graph"));
    };
    let mut constants = BTreeMap::new();
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |values| &values.name);
        return Err(Error::load(format!("tensor `{name}` is sparse, and only dense tensors are supported")));
    }
    for proto in graph.initializer {
        let name = proto.name.clone();
        let tensor = tensor::read(proto, &mut external)?;
        if constants.insert(name.clone(), Arc::new(tensor)).is_some() {
            return Err(Error::load(format!("found two tensors named `{name}`, expected one")));
        }
    }
    let mut reader = NodeReader { external };
    let nodes = reader.nodes(graph.node)?;
    let inputs = graph.input.into_iter().filter(|input| !constants.contains_key(&input.name));
    let inputs: Vec<Port> = inputs.map(port).collect();
    let outputs: Vec<Port> = graph.output.into_iter().map(port).collect();
    let functions = model.functions.into_iter().map(|function| reader.function(function));
    let functions = functions.collect::<Result<_>>()?;

    let mut given: HashSet<&str> = constants.keys().map(String::as_str).collect();
    for input in &inputs {
        if !given.insert(&input.name) {
            return Err(Error::load(format!("found two inputs named `{}`, expected one", input.name)));
        }
    }
    let nodes = in_order(nodes, &given, &outputs)?;
    let standard = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    Ok(Graph {
        producer: model.producer_name,
        producer_version: model.producer_version,
        opset: standard.map_or(1, |set| set.version),
        metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        inputs,
        outputs,
        nodes,
        constants,
        functions,
        external_files: reader.external.into_locations(),
    })
}

fn port(proto: ValueInfoProto) -> Port {
    let Some(tensor) = proto.r#type.and_then(|kind| kind.tensor_type) else {
        return Port { name: proto.name, element: Element::Other(0), shape: None };
    };
    let dim = |dim: Dimension| match (dim.dim_value, dim.dim_param) {
        // Some exporters write 0 for a size that is not known.
        (Some(size), _) if size > 0 => usize::try_from(size).map_or(Dim::Unknown, Dim::Fixed),
        (None, Some(name)) if !name.is_empty() => Dim::Symbol(name),
        _ => Dim::Unknown,
    };
    let shape = tensor.shape.map(|shape| shape.dim.into_iter().map(dim).collect());
    Port { name: proto.name, element: Element::from_number(tensor.elem_type), shape }
}

/// Reads nodes, and the tensors in their attributes.
struct NodeReader {
    external: External,
}

impl NodeReader {
    fn nodes(&mut self, protos: Vec<NodeProto>) -> Result<Vec<Node>> {
        protos.into_iter().enumerate().map(|(index, proto)| self.node(index, proto)).collect()
    }

    fn function(&mut self, proto: FunctionProto) -> Result<Function> {
        Ok(Function { domain: proto.domain, name: proto.name, nodes: self.nodes(proto.node)? })
    }

    fn nested(&mut self, proto: GraphProto) -> Result<Nested> {
        let mut constants = BTreeMap::new();
        for proto in proto.initializer {
            let name = proto.name.clone();
            constants.insert(name, Arc::new(tensor::read(proto, &mut self.external)?));
        }
        Ok(Nested {
            inputs: proto.input.into_iter().map(port).collect(),
            outputs: proto.output.into_iter().map(|output| output.name).collect(),
            nodes: self.nodes(proto.node)?,
            constants,
        })
    }

    fn node(&mut self, index: usize, proto: NodeProto) -> Result<Node> {
        /// What is known of an input or an output takes far more memory than its name does.
        const NAMES_MAX: usize = 1 << 12;

        let first_output = proto.output.iter().find(|name| !name.is_empty());
        let name = match (proto.name.is_empty(), first_output) {
            (false, _) => proto.name,
            (true, Some(output)) => output.clone(),
            (true, None) => format!("{} {index}", proto.op_type),
        };
        for (names, what) in [(&proto.input, "inputs"), (&proto.output, "outputs")] {
            let found = names.len();
            if found > NAMES_MAX {
                let message = format!("node `{name}` has {found} {what}, expected at most {NAMES_MAX}");
                return Err(Error::load(message));
            }
        }
        let mut attributes = Vec::new();
        for attribute in proto.attribute {
            let key = attribute.name.clone();
            let within = |error: Error| error.within(format!("node `{name}`, attribute `{key}`"));
            let value = self.attribute(attribute).map_err(within)?;
            attributes.push((key, value));
        }
        Ok(Node {
            name,
            op: proto.op_type,
            domain: proto.domain,
            inputs: proto.input,
            outputs: proto.output,
            attributes,
        })
    }

    fn attribute(&mut self, proto: AttributeProto) -> Result<Attribute> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if !proto.ref_attr_name.is_empty() {
            return Ok(Attribute::Argument(proto.ref_attr_name));
        }
        let kind = AttributeType::try_from(proto.r#type).unwrap_or(AttributeType::Undefined);
        Ok(match kind {
            AttributeType::Int => Attribute::Int(proto.i),
            AttributeType::Float => Attribute::Float(proto.f),
            AttributeType::String => Attribute::Text(text(proto.s)),
            AttributeType::Ints => Attribute::Ints(proto.ints),
            AttributeType::Floats => Attribute::Floats(proto.floats),
            AttributeType::Strings => Attribute::Texts(proto.strings.into_iter().map(text).collect()),
            AttributeType::Tensor => match proto.t {
                Some(tensor) => Attribute::Tensor(Arc::new(tensor::read(*tensor, &mut self.external)?)),
                None => return Err(Error::load("found no value, expected a tensor")),
            },
            AttributeType::Graph | AttributeType::Graphs => {
                let graphs = proto.g.map(|graph| *graph).into_iter().chain(proto.graphs);
                Attribute::Graphs(graphs.map(|graph| self.nested(graph)).collect::<Result<_>>()?)
            }
            AttributeType::Undefined => Attribute::Other,
        })
    }
}
