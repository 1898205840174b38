//! A network run by this project, as `serve` loads it by default.

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;

use clap::Args;
use rnnlm_server::catalog::load_folder;
use rnnlm_server::config::Config;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{LoadOptions, Logits, Row, Scratch, WeightsType};

use crate::cases::{Ids, serve};
use crate::runs::times;

#[derive(Args)]
pub(crate) struct OursArgs {
    #[arg(long)]
    model: PathBuf,
    /// The type that the weights are held in
    #[arg(long)]
    weights: String,
}

pub(crate) fn measure(args: &OursArgs) -> Result<(), Box<dyn Error>> {
    let weights = WeightsType::named(&args.weights).ok_or("an unknown type of weights")?;
    let config = Config::from_environment()?;
    let kernel = Kernel::choose(config.engine.kernel.forced())?;
    kernel.make_current();
    let fold_bytes_max = config.engine.fold_bytes_max();
    let served = load_folder(&args.model, LoadOptions { kernel, weights: Some(weights), fold_bytes_max })?;
    let model = &*served.model;
    let mut scratch = Scratch::new(config.engine.logits_buffer.0);
    let mut ids = Ids::new(model.info().vocab_size);
    serve(|case| {
        let mut states = vec![model.start_state(); case.rows];
        let runs = ids.of_runs(case);
        let mut runs = runs.iter().cycle();
        let mut failed = None;
        let times = times(case.time(), || {
            let ids = runs.next().expect("a cycle");
            let each = states.iter_mut().zip(ids.chunks_exact(case.tokens));
            let mut rows: Vec<Row<'_>> =
                each.map(|(state, ids)| Row::new(state, ids, Logits::Last)).collect();
            model.run(&mut rows, &mut scratch, &mut |_, _, logits| {
                black_box(logits);
            });
            failed = failed.take().or_else(|| rows.into_iter().find_map(|row| row.outcome.err()));
        });
        failed.map_or(Ok(times), |error| Err(error.to_string().into()))
    })
}
