//! The report as a page for people.

use std::fmt;

use super::{Architecture, FittingArchitecture, ManifestSays, Model, Report, Tensor};
use crate::api::onnx::{
    OnnxFeedForward, OnnxGraph, OnnxHiddenLayer, OnnxLayer, OnnxNetwork, OnnxPort, OnnxQuantised,
};
use crate::catalog::Manifest;

const TIED: &str = "tied to the embedding";
const OWN: &str = "weights of its own";

/// A page for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "summary", &self.summary)?;
        if let Some(model) = &self.model {
            write!(f, "{model}")?;
        }
        if let Some(manifest) = &self.manifest {
            write!(f, "{manifest}")?;
        }
        if let Some(onnx) = &self.onnx {
            write_graph(f, onnx)?;
            // A refused file is run by nothing, and a model has said it.
            if let Some(backend) = self.backend.filter(|_| self.model.is_none()) {
                line(f, "run by", if backend == "native" { "the native engine" } else { backend })?;
            }
            onnx.warnings.iter().try_for_each(|warning| line(f, "warning", warning))?;
        }
        if let Some(draft) = &self.draft {
            write!(
                f,
                "\n{} to start from, which `--write-manifest` writes:\n{}",
                Manifest::FILE,
                draft.json()
            )?;
        }
        if let Some(fitting) = &self.fitting {
            write!(f, "{fitting}")?;
        }
        let width = self.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        if width > 0 {
            writeln!(f, "\n{:<width$}  type  shape", "tensor")?;
        }
        for Tensor { name, dtype, shape } in &self.tensors {
            writeln!(f, "{name:<width$}  {dtype:<4}  {shape:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "model", &self.id)?;
        line(f, "identity", &self.identity)?;
        line(f, "parameters", format!("{}, held as {}", self.parameter_count, self.weights_dtype))?;
        line(f, "state", format!("{} bytes", self.state_bytes))?;
        line(f, "run by", self.backend)?;
        line(
            f,
            "vocabulary",
            format!("{} entries, sha256 {}", self.tokenizer_vocab_size, self.tokenizer_sha256),
        )
    }
}

impl fmt::Display for ManifestSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, weights_dtype, architecture, onnx, tokenizer, initial_tokens } = self;
        line(f, "weights", weights)?;
        if let Some(dtype) = weights_dtype {
            line(f, "held as", dtype)?;
        }
        if let Some(architecture) = architecture {
            let &Architecture { cell, vocab_size, embedding_size, ref hidden_sizes, .. } = architecture;
            line(f, "cell", cell)?;
            reset(f, architecture.gru_linear_before_reset)?;
            line(f, "sizes", sizes(vocab_size, embedding_size, hidden_sizes))?;
            extras(f, architecture.proj_size, architecture.norms.as_deref())?;
            line(f, "output", if architecture.tie_weights { TIED } else { OWN })?;
        }
        if let Some(pad) = onnx.as_ref().and_then(|onnx| onnx.pad.as_ref()) {
            line(f, "pad", pad.escape_debug())?;
        }
        line(f, "tokenizer", format!("{}, {}", tokenizer.kind, tokenizer.file))?;
        for (name, entry) in
            [("unk", &tokenizer.unk), ("eos", &tokenizer.eos), ("newline", &tokenizer.newline)]
        {
            line(f, name, entry.as_deref().map_or("-".into(), |entry| entry.escape_debug().to_string()))?;
        }
        let initial: Vec<String> =
            initial_tokens.iter().map(|entry| entry.escape_debug().to_string()).collect();
        line(f, "starts after", if initial.is_empty() { "-".to_owned() } else { initial.join(" ") })
    }
}

impl fmt::Display for FittingArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "cell", self.cells.join(" or "))?;
        line(f, "sizes", sizes(self.vocab_size, self.embedding_size, &self.hidden_sizes))?;
        extras(f, self.proj_size, self.norms.as_deref())?;
        line(f, "output", if self.tie_weights { TIED } else { OWN })
    }
}

fn write_graph(f: &mut fmt::Formatter<'_>, graph: &OnnxGraph) -> fmt::Result {
    line(f, "graph", format!("opset {}, by {}", graph.opset, graph.producer))?;
    for (name, ports) in [("input", &graph.inputs), ("output", &graph.outputs)] {
        for OnnxPort { name: port, element, shape, role } in ports {
            let shape = shape.as_ref().map_or_else(String::new, |shape| format!("[{}]", shape.join(", ")));
            line(f, name, format!("{port}: {element}{shape}: {role}"))?;
        }
    }
    for OnnxLayer { node, op, hidden_size } in &graph.layers {
        line(f, "layer", format!("{op}, {hidden_size} units, node {node}"))?;
    }
    for file in &graph.external_files {
        line(f, "weights in", file)?;
    }
    if let Some(network) = &graph.network {
        let &OnnxNetwork { cell, vocab_size, embedding_size, ref hidden_sizes, .. } = network;
        line(f, "cell", cell)?;
        reset(f, network.gru_linear_before_reset)?;
        line(f, "sizes", sizes(vocab_size, embedding_size, hidden_sizes))?;
        extras(f, network.proj_size, network.norms.as_deref())?;
        if network.learned_start {
            line(f, "starts from", "a state that the file holds")?;
        }
        line(f, "output", if network.tie_weights { TIED } else { OWN })?;
        if network.ruled_out_count > 0 {
            let count = network.ruled_out_count;
            line(
                f,
                "ruled out",
                format!("tokens whose bias is negative infinity, and which never come: {count}"),
            )?;
        }
    }
    graph.feed_forward.iter().try_for_each(|network| write_feed_forward(f, network))?;
    write_quantised(f, graph)?;
    graph.not_lowered.iter().try_for_each(|why| line(f, "not native", why))
}

/// The matrices that the file has in integers, and whether it has scales for what its layers read.
fn write_quantised(f: &mut fmt::Formatter<'_>, graph: &OnnxGraph) -> fmt::Result {
    let kept = graph.quantised.iter().filter(|matrix| matrix.dequantised.is_none());
    let kept: Vec<&str> = kept.map(|matrix| matrix.matrix.as_str()).collect();
    if !kept.is_empty() {
        line(f, "int8", kept.join(", "))?;
    }
    for OnnxQuantised { matrix, dequantised } in &graph.quantised {
        dequantised.iter().try_for_each(|why| line(f, "dequantised", format!("{matrix}: {why}")))?;
    }
    match graph.activation_scales_unused {
        true => line(
            f,
            "activations",
            "the file's own scales are not used; int8 weights are multiplied with vectors that are each quantised by their largest value",
        ),
        false => Ok(()),
    }
}

fn write_feed_forward(f: &mut fmt::Formatter<'_>, network: &OnnxFeedForward) -> fmt::Result {
    let count = network.window.map_or("N".to_owned(), |window| window.to_string());
    match network.input {
        "mean" => line(f, "reads", format!("the mean of the last {count} embeddings"))?,
        _ => line(f, "reads", format!("the last {count} embeddings, side by side"))?,
    }
    for OnnxHiddenLayer { size, activation } in &network.hidden {
        line(f, "layer", format!("{}, {size} units", activation.unwrap_or("affine")))?;
    }
    let sizes: Vec<usize> = network.hidden.iter().map(|layer| layer.size).collect();
    line(f, "sizes", self::sizes(network.vocab_size, network.embedding_size, &sizes))?;
    line(f, "output", if network.tie_weights { TIED } else { OWN })
}

/// What a network has besides its sizes.
fn extras(f: &mut fmt::Formatter<'_>, proj_size: Option<usize>, norms: Option<&[String]>) -> fmt::Result {
    if let Some(size) = proj_size {
        line(f, "projection", format!("h has {size} values"))?;
    }
    norms.map_or(Ok(()), |norms| line(f, "norms", norms.join(", ")))
}

fn reset(f: &mut fmt::Formatter<'_>, gru_linear_before_reset: Option<bool>) -> fmt::Result {
    match gru_linear_before_reset {
        None => Ok(()),
        Some(true) => line(f, "reset", "after the product"),
        Some(false) => line(f, "reset", "before the product"),
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<14}{value}")
}

/// From the input of the network to its output.
fn sizes(vocab_size: usize, embedding_size: usize, hidden_sizes: &[usize]) -> String {
    let hidden: Vec<String> = hidden_sizes.iter().map(ToString::to_string).collect();
    let hidden =
        if hidden.is_empty() { "no hidden layer".to_owned() } else { format!("hidden {}", hidden.join(" ")) };
    format!("{vocab_size} tokens, embedding {embedding_size}, {hidden}")
}
