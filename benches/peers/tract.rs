//! A network run by tract, compiled for each shape, as its users do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tract_onnx::prelude::*;

use crate::runs::{percentile, times};

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
    /// Rows of a step
    #[arg(long, value_delimiter = ',')]
    batch: Vec<usize>,
    #[arg(long)]
    prompt_tokens: usize,
    #[arg(long)]
    seconds: f64,
}

/// The shape of the ids.
struct Shape {
    tokens: usize,
    rows: usize,
}

pub(crate) fn measure(args: &TractArgs) -> TractResult<Value> {
    let mut measurements = Vec::new();
    for &rows in &args.batch {
        measurements.push(case(args, "step", &Shape { tokens: 1, rows })?);
    }
    measurements.push(case(args, "prompt", &Shape { tokens: args.prompt_tokens, rows: 1 })?);
    Ok(json!({"measurements": measurements}))
}

fn case(args: &TractArgs, work: &str, shape: &Shape) -> TractResult<Value> {
    let &Shape { tokens, rows } = shape;
    let states: Vec<[usize; 3]> =
        args.hidden_sizes.iter().flat_map(|&hidden| [[1, rows, hidden]; 2]).collect();
    let mut model = tract_onnx::onnx().model_for_path(&args.graph)?;
    model.set_input_fact(0, InferenceFact::dt_shape(i64::datum_type(), [tokens, rows]))?;
    for (index, state) in states.iter().enumerate() {
        model.set_input_fact(index + 1, InferenceFact::dt_shape(f32::datum_type(), state))?;
    }
    let runnable = model.into_optimized()?.into_runnable()?;
    let mut carried: Vec<TValue> = Vec::new();
    for state in &states {
        carried.push(Tensor::zero::<f32>(state)?.into_tvalue());
    }
    let mut ids = Ids { vocab_size: args.vocab_size as u64, state: 1 };
    let times = times(Duration::from_secs_f64(args.seconds), || {
        let values: Vec<i64> = (0..tokens * rows).map(|_| ids.next()).collect();
        let values = Tensor::from_shape(&[tokens, rows], &values).expect("as many ids as the shape has");
        let inputs = [values.into_tvalue()].into_iter().chain(carried.drain(..)).collect();
        let mut outputs = runnable.run(inputs).expect("a run that succeeds");
        carried.extend(outputs.drain(1..));
    });
    Ok(json!({
        "work": work, "rows": rows, "tokens": tokens, "runs": times.len(), "median_us": percentile(&times, 50),
        "p10_us": percentile(&times, 10), "p90_us": percentile(&times, 90),
    }))
}

/// Ids as frequent as the words of a text, as `rnnlm-server bench` draws them.
struct Ids {
    vocab_size: u64,
    state: u64,
}

impl Ids {
    fn next(&mut self) -> i64 {
        let low = 1 << self.below(u64::from(self.vocab_size.ilog2()) + 1);
        ((low + self.below(low) - 1) % self.vocab_size) as i64
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 32) % bound
    }
}
