//! The run-time for graphs that are safe but are no known network: from a graph to a model that tract runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::allow::{Activation, Recurrent};
use super::graph::{Attribute, Dim, Element, Graph, Node};
use super::interface::{Interface, normaliser};
use super::plan::{Plan, operators};
use super::reading::Reading;
use super::scale::Scale;
use super::stateful::Stateful;
use super::windowed::Windowed;
use super::{Examined, Hints, Understanding};
use crate::error::{Error, Result};
use crate::lm::{Backend, Dtype, Model, ModelInfo, TokenId};

/// A graph that runs.
struct Running {
    model: Arc<dyn Model>,
    /// What its logits output holds.
    scale: Scale,
    /// What its owner should know.
    warnings: Vec<String>,
}

/// Bounds what tract has to go over again and again: unrolled networks have a few thousand nodes.
const NODES_MAX: usize = 20_000;

/// Ids and states are exact as `f32` below this.
const VOCAB_MAX: usize = 1 << 24;

/// Makes what it can of `graph`, the file at `path`, whose recurrent nodes are all on the white list; `understanding` says why it
/// was not lowered.
pub(super) fn examine(
    path: &Path,
    (graph, hints): (&Graph, &Hints),
    mut understanding: Understanding,
) -> Examined {
    let interface = check_safe(graph).and_then(|()| Interface::detect(graph, hints));
    let running = interface.and_then(|interface| {
        understanding.inputs = interface.inputs(graph);
        understanding.interface = Some(interface.hints(graph));
        understanding.warnings.extend(interface.warnings.clone());
        let running = open(path, (graph, &interface), hints);
        let scale = running.as_ref().map_or("logits", |running| running.scale.name());
        understanding.outputs = interface.outputs(graph, scale);
        running
    });
    let model = running.and_then(|running| match hints.gru_linear_before_reset {
        None => {
            understanding.warnings.extend(running.warnings);
            Ok(running.model)
        }
        Some(_) => Err(Error::load(
            "`gru_linear_before_reset` is overridden, but the graph is run as it is; expected a graph that is a known network",
        )),
    });
    let why = understanding.not_lowered.as_deref().unwrap_or_default();
    let model = model.map_err(|error| {
        error.within(format!("not a network that the native engine runs ({why}), and cannot run as it is"))
    });
    Examined { model, understanding }
}

fn open(path: &Path, (graph, interface): (&Graph, &Interface), hints: &Hints) -> Result<Running> {
    let shape = graph.inputs[interface.tokens].shape.as_deref().unwrap_or_default();
    let mut ids: Vec<usize> = vec![1; shape.len()];
    match interface.reading {
        Reading::Steps { fixed } => {
            let plan = Plan::open(path, graph, (interface, &ids)).map_err(|error| match fixed {
                None => error,
                Some(fixed) => error.within(format!(
                    "the file fixes the number of token ids to {fixed}, expected 1, or a number that is free"
                )),
            })?;
            let mut warnings = Vec::new();
            if let Some(fixed) = fixed {
                check_steps(path, (graph, interface), &plan)?;
                warnings.push(format!(
                    "the file fixes the number of token ids to {fixed}; it is run with 1, which gave the same states"
                ));
            }
            let running = stateful(graph, plan).and_then(|running| checked(running, (graph, interface)))?;
            Ok(Running { warnings, ..running })
        }
        Reading::Window { axis, len } => {
            if let Some(size) = ids.get_mut(axis) {
                *size = len;
            }
            let plan = Plan::open(path, graph, (interface, &ids))?;
            windowed(graph, plan, (len, hints.pad)).and_then(|running| checked(running, (graph, interface)))
        }
    }
}

/// Refuses a graph whose own probabilities are not over the vocabulary.
fn checked(running: Running, (graph, interface): (&Graph, &Interface)) -> Result<Running> {
    let output = &graph.outputs[interface.logits].name;
    let Some(node) = normaliser(graph, output) else { return Ok(running) };
    let expected = if node.op == "Softmax" { Scale::Probabilities } else { Scale::LogProbabilities };
    match running.scale == expected {
        true => Ok(running),
        false => Err(Error::load(format!(
            "node `{}` ({}) does not normalise over the vocabulary, the last dimension of `{output}`",
            node.name, node.op
        ))),
    }
}

fn stateful(graph: &Graph, plan: Plan) -> Result<Running> {
    let vocab_size = vocab_size(plan.logits_shape().iter().product())?;
    let state = vec![0.0; plan.state_len()];
    let probes = probes(vocab_size, 1).map(|ids| plan.run(&ids, &state)).map(|outputs| Ok(outputs?.logits));
    let scale = scale(probes)?;
    let info = info(graph, vocab_size, Stateful::state_len(plan.state_len()));
    Ok(Running { model: Arc::new(Stateful { info, plan, scale }), scale, warnings: Vec::new() })
}

fn windowed(graph: &Graph, plan: Plan, (len, pad): (usize, Option<TokenId>)) -> Result<Running> {
    let shape = plan.logits_shape();
    let values: usize = shape.iter().product();
    let vocab_size = vocab_size(shape.last().copied().unwrap_or(0))?;
    if values != vocab_size && values != len * vocab_size {
        return Err(Error::load(format!(
            "the logits have the shape {shape:?}, expected one or {len} positions of the vocabulary's size"
        )));
    }
    // A window of one id is full after the first token; before it there is nothing to be told.
    let Some(pad) = pad.or((len == 1).then_some(0)) else {
        return Err(Error::load(format!(
            "the graph reads the last {len} token ids: `onnx.pad` in the manifest names the entry that stands before the first"
        )));
    };
    if pad as usize >= vocab_size {
        return Err(Error::load(format!("`onnx.pad` is the id {pad}, expected one below {vocab_size}")));
    }
    let last = values - vocab_size..values;
    let run = |ids: &[TokenId]| plan.run(ids, &[]).map(|outputs| outputs.logits[last.clone()].to_vec());
    let scale = scale(probes(vocab_size, len).map(|ids| run(&ids)))?;
    if len > 1 && probes(vocab_size, len).all(|ids| ignores_past(ids, run)) {
        return Err(Error::load(format!(
            "the logits follow from the last of {len} token ids alone, expected from all; a batch was taken for them, or the state is lost"
        )));
    }
    let info = info(graph, vocab_size, len);
    Ok(Running { model: Arc::new(Windowed { info, plan, scale, last, pad }), scale, warnings: Vec::new() })
}

/// Whether the logits stay the same when all ids but the last change.
fn ignores_past(mut ids: Vec<TokenId>, run: impl Fn(&[TokenId]) -> Result<Vec<f32>, String>) -> bool {
    let whole = run(&ids);
    if let Some((&mut last, past)) = ids.split_last_mut() {
        past.fill(last);
    }
    whole == run(&ids)
}

/// The file's own number of ids at once must end in the states that one at a time do: else what the graph does by the number
/// that it was made for, a slice or an unrolled loop, would be wrong for any other.
fn check_steps(path: &Path, (graph, interface): (&Graph, &Interface), steps: &Plan) -> Result<()> {
    const TOLERANCE: f32 = 1e-3;

    let shape = graph.inputs[interface.tokens].shape.iter().flatten().map(|dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(_) | Dim::Unknown => 1,
    });
    let shape: Vec<usize> = shape.collect();
    let len: usize = shape.iter().product();
    let whole = Plan::open(path, graph, (interface, &shape))?;
    let vocab_size = vocab_size(steps.logits_shape().iter().product())?;
    let failed = |error| Error::load(format!("reading {len} token ids at once: {error}"));
    for ids in probes(vocab_size, len) {
        let mut state = vec![0.0; steps.state_len()];
        let expected = whole.run(&ids, &state).map_err(failed)?.state;
        for &id in &ids {
            state = steps.run(&[id], &state).map_err(failed)?.state;
        }
        let differs =
            |(found, expected): (&f32, &f32)| (found - expected).abs() > TOLERANCE * (1.0 + expected.abs());
        if state.iter().zip(&expected).any(differs) {
            return Err(Error::load(format!(
                "the file fixes the number of token ids to {len}, and one at a time end in another state; expected a file with 1, or a number that is free"
            )));
        }
    }
    Ok(())
}

/// A few windows of `len` ids, spread over the vocabulary.
fn probes(vocab_size: usize, len: usize) -> impl Iterator<Item = Vec<TokenId>> {
    const COUNT: usize = 3;
    // Strides without a common divisor with most sizes.
    let id =
        move |probe: usize, place: usize| ((probe * 7919 + place * 104_729 + probe) % vocab_size) as TokenId;
    (0..COUNT).map(move |probe| (0..len).map(|place| id(probe, place)).collect())
}

fn scale(rows: impl Iterator<Item = Result<Vec<f32>, String>>) -> Result<Scale> {
    let rows: Result<Vec<_>, String> = rows.collect();
    Ok(Scale::of(&rows.map_err(|error| Error::load(format!("a first run of the graph: {error}")))?))
}

fn vocab_size(found: usize) -> Result<usize> {
    match (1..=VOCAB_MAX).contains(&found) {
        true => Ok(found),
        false => Err(Error::load(format!("the logits are of {found} tokens, expected 1 to {VOCAB_MAX}"))),
    }
}

fn info(graph: &Graph, vocab_size: usize, state_len: usize) -> ModelInfo {
    let (parameter_count, weights_dtype) = weights(graph);
    ModelInfo {
        cell: None,
        vocab_size,
        hidden_sizes: Vec::new(),
        state_len,
        parameter_count,
        weights_dtype,
        effective_dtype: Dtype::F32,
        backend: Backend::Tract,
    }
}

/// The number of weights, and the type that most of them are stored in.
fn weights(graph: &Graph) -> (u64, Dtype) {
    let inline = graph.nodes.iter().filter(|node| node.op == "Constant").filter_map(|node| {
        match node.attribute("value") {
            Some(Attribute::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    });
    let [mut f32s, mut f16s, mut bf16s] = [0u64; 3];
    for tensor in graph.constants.values().chain(inline).filter(|tensor| !tensor.shape.is_empty()) {
        let count = match tensor.stored {
            Element::F16 => &mut f16s,
            Element::Bf16 => &mut bf16s,
            Element::F32 | Element::F64 | Element::I8 | Element::U8 => &mut f32s,
            _ => continue,
        };
        *count += tensor.len() as u64;
    }
    let dtype = if f16s > f32s.max(bf16s) {
        Dtype::F16
    } else if bf16s > f32s {
        Dtype::Bf16
    } else {
        Dtype::F32
    };
    (f32s + f16s + bf16s, dtype)
}

/// Refuses nodes that tract computes otherwise than the operator's definition, or not twice alike, or that ask for more memory than any
/// language model.
fn check_safe(graph: &Graph) -> Result<()> {
    fn check(graph: &Graph, operators: &BTreeSet<String>, node: &Node) -> Result<()> {
        let Node { name, op, domain, .. } = node;
        // tract goes by names alone: an operator of another set would be taken for the standard one.
        if !node.is_standard() || !operators.contains(op) {
            let op = if node.is_standard() { op.clone() } else { format!("{domain}.{op}") };
            return Err(Error::load(format!(
                "node `{name}` is of the operator `{op}`, which tract does not have"
            )));
        }
        check_node(graph, node)?;
        node.nested().try_for_each(|node| check(graph, operators, node))
    }
    let found = graph.nodes.len();
    if found > NODES_MAX {
        return Err(Error::load(format!("found {found} nodes, expected at most {NODES_MAX}")));
    }
    let operators = operators();
    graph.nodes.iter().try_for_each(|node| check(graph, &operators, node))
}

fn check_node(graph: &Graph, node: &Node) -> Result<()> {
    const ELEMENTS_MAX: i64 = 1 << 28;

    let Node { name, op, .. } = node;
    let declared = node.int("hidden_size").ok().flatten();
    let hidden = || graph.constants.get(node.input(2)?)?.shape.last().copied();
    if let (Some(declared), true) = (declared, Recurrent::of(node).is_some())
        && let Some(hidden) = hidden().filter(|&hidden| i64::try_from(hidden) != Ok(declared))
    {
        return Err(Error::load(format!(
            "node `{name}` ({op}) has `hidden_size` {declared}, and an `R` for {hidden} units"
        )));
    }
    match op.as_str() {
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Multinomial"
        | "Bernoulli" => Err(Error::load(format!(
            "node `{name}` ({op}) draws random numbers, expected a graph that gives the same twice"
        ))),
        "RNN" if Activation::of(node) != Some(Activation::Tanh) => Err(Error::load(format!(
            "node `{name}` (RNN) has an activation other than Tanh, which tract ignores; only a graph that is a known network may have it"
        ))),
        "ConstantOfShape" | "Expand" | "Tile" | "Range" => {
            let shape = node.inputs.iter().filter_map(|input| graph.constants.get(input)?.as_ints());
            let size = shape.flatten().try_fold(1i64, |size, &dim| size.checked_mul(dim.max(1)));
            match size.is_some_and(|size| size <= ELEMENTS_MAX) {
                true => Ok(()),
                false => Err(Error::load(format!(
                    "node `{name}` ({op}) makes a tensor of more than {ELEMENTS_MAX} elements"
                ))),
            }
        }
        _ => Ok(()),
    }
}
