//! A network run by tract, compiled for each shape, as its users do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tract_onnx::prelude::*;

use crate::cases::{Case, Ids, serve};
use crate::runs::times;

#[derive(Args)]
pub(crate) struct TractArgs {
    /// The graph: ids `[tokens, rows]` and the state of each layer in, logits `[rows, vocab]` and the states out
    #[arg(long)]
    graph: PathBuf,
    #[arg(long)]
    vocab_size: usize,
    /// Units of each layer
    #[arg(long, value_delimiter = ',')]
    hidden_sizes: Vec<usize>,
}

/// The graph for one shape of the ids.
struct Compiled {
    runnable: Arc<TypedRunnableModel>,
    /// The states after the last run.
    states: Vec<TValue>,
}

pub(crate) fn measure(args: &TractArgs) -> Result<(), Box<dyn Error>> {
    let mut compiled: HashMap<(usize, usize), Compiled> = HashMap::new();
    let mut ids = Ids::new(args.vocab_size);
    serve(|case| {
        let shape = (case.tokens, case.rows);
        let Compiled { runnable, states } = match compiled.entry(shape) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(missing) => missing.insert(compile(args, case)?),
        };
        let runs = ids.of_runs(case);
        let mut runs = runs.iter().cycle();
        Ok(times(case.time(), || {
            let values: Vec<i64> = runs.next().expect("a cycle").iter().map(|&id| i64::from(id)).collect();
            let values =
                Tensor::from_shape(&[case.tokens, case.rows], &values).expect("as many ids as the shape has");
            let inputs = [values.into_tvalue()].into_iter().chain(states.drain(..)).collect();
            let mut outputs = runnable.run(inputs).expect("a run that succeeds");
            states.extend(outputs.drain(1..));
        }))
    })
}

fn compile(args: &TractArgs, case: &Case) -> TractResult<Compiled> {
    let shapes: Vec<[usize; 3]> =
        args.hidden_sizes.iter().flat_map(|&hidden| [[1, case.rows, hidden]; 2]).collect();
    let mut model = tract_onnx::onnx().model_for_path(&args.graph)?;
    model.set_input_fact(0, InferenceFact::dt_shape(i64::datum_type(), [case.tokens, case.rows]))?;
    for (index, shape) in shapes.iter().enumerate() {
        model.set_input_fact(index + 1, InferenceFact::dt_shape(f32::datum_type(), shape))?;
    }
    let states = shapes.iter().map(|shape| Ok(Tensor::zero::<f32>(shape)?.into_tvalue()));
    Ok(Compiled {
        states: states.collect::<TractResult<_>>()?,
        runnable: model.into_optimized()?.into_runnable()?,
    })
}
