//! What a graph's nodes make, bounded before anything is allocated for it.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceOp};

use crate::error::{Error, Result};
use crate::probe;

/// The most elements of one tensor: 1 GiB of `f32`.
pub(super) const ELEMENTS_MAX: usize = 1 << 28;

/// A node in a message.
pub(super) fn named(name: &str, op: &str) -> String {
    format!("node `{name}` ({op})")
}

/// Infers the sizes of all that `model` makes, node by node, and refuses a node before it makes more than any language model needs:
/// tract computes nodes with constant inputs at once.
pub(super) fn analyse(model: &mut InferenceModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let name = named(&node.name, &node.op.name());
        probe::at(|| &name);
        let made = makes(model, id).map_err(|error| error.context(name))?;
        for (slot, fact) in made.into_iter().enumerate() {
            let outlet = OutletId::new(id, slot);
            let fact = model.outlet_fact(outlet)?.unify(&fact)?;
            model.set_outlet_fact(outlet, fact)?;
        }
    }
    probe::at(|| "the inference of sizes");
    // The sizes of a node may follow from those of the nodes after it.
    model.analyse(false)?;
    for id in model.eval_order()? {
        let node = model.node(id);
        let name = || named(&node.name, &node.op.name());
        let mut shapes = node.outputs.iter().filter_map(|output| concrete(&output.fact));
        shapes.try_for_each(|shape| bounded(&shape)).map_err(|error| error.context(name()))?;
    }
    Ok(())
}

/// What the node `id` makes, as far as it follows from its inputs; its values, too, once their sizes are bounded.
fn makes(model: &InferenceModel, id: usize) -> TractResult<TVec<InferenceFact>> {
    let (inputs, outputs) = model.node_facts(id)?;
    let node = model.node(id);
    let observed = node.op.observe_outlets(model, node)?;
    let observed = observed.iter().map(|&outlet| model.outlet_fact(outlet));
    let observed = observed.collect::<TractResult<TVec<_>>>()?;
    let mut op: Box<dyn InferenceOp> = node.op.clone();
    let (_, made, _) = op.infer_facts(inputs.clone(), outputs.clone(), observed.clone())?;
    made.iter().filter_map(concrete).try_for_each(|shape| bounded(&shape))?;
    let (_, made, _) = op.infer(inputs, outputs, observed)?;
    Ok(made)
}

fn bounded(shape: &[i64]) -> TractResult<()> {
    let size = |size: &i64| usize::try_from(*size).ok();
    let elements = shape.iter().map(size).try_fold(1usize, |product, size| product.checked_mul(size?.max(1)));
    match elements.is_some_and(|elements| elements <= ELEMENTS_MAX) {
        true => Ok(()),
        false => Err(TractError::msg(format!(
            "it makes a tensor of the shape {shape:?}; the maximum is {ELEMENTS_MAX} elements"
        ))),
    }
}

fn concrete(fact: &InferenceFact) -> Option<TVec<i64>> {
    fact.shape.concretize()?.iter().map(|size| size.to_i64().ok()).collect()
}

/// Refuses a graph with a tensor whose size depends on the numbers that it reads: what runs for one token would not be known to run for
/// the next.
///
/// # Errors
/// `Load` naming the node.
pub(super) fn check_known(runnable: &Arc<TypedRunnableModel>) -> Result<()> {
    let mut nodes = runnable.model().nodes().iter();
    match nodes.find(|node| node.outputs.iter().any(|output| output.fact.shape.as_concrete().is_none())) {
        None => Ok(()),
        Some(node) => Err(Error::load(format!(
            "{}: the size of what it makes depends on numbers that the graph reads",
            named(&node.name, &node.op.name())
        ))),
    }
}
