//! `bench`: how long a step and a prompt take on this machine, for each type that weights can be held in.

mod measure;
mod report;

use std::io::{Write, stderr, stdout};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::allocator;
use super::failure::Outcome;
use super::input::ModelArg;
use super::json;
use super::progress::Progress;
use crate::catalog::{Served, load_folder};
use crate::clock::Clock;
use crate::config::{Config, duration, weights_type};
use crate::kernels::Kernel;
use crate::lm::{Dtype, LoadOptions, WeightsType};
use measure::{Bench, Case, Work};
use report::{Measurement, Report};

#[derive(Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// Numbers of rows that are computed together, separated by commas
    #[arg(long, value_name = "ROWS", default_value = "1,8,32,128", value_delimiter = ',', value_parser = rows())]
    pub batch: Vec<usize>,

    /// Types that the weights are held in, separated by commas
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "as-stored,f32,bf16,int8",
        value_delimiter = ',',
        value_parser = weights_type()
    )]
    pub weights: Vec<WeightsType>,

    /// Kinds of runs to measure, separated by commas
    #[arg(long, value_name = "WORK", default_value = "step,prompt", value_delimiter = ',')]
    pub work: Vec<Work>,

    /// Tokens of a prompt
    #[arg(long, value_name = "N", default_value = "64", value_parser = tokens())]
    pub prompt_tokens: usize,

    /// Time for which each line of the table is measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub time: Duration,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn rows() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 16)
}

fn tokens() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 20)
}

impl BenchArgs {
    /// What is measured with each type of weights.
    fn cases(&self) -> Vec<Case> {
        let case = |work: Work, rows: usize| match work {
            Work::Step => Case { work, rows, tokens: 1 },
            Work::Prompt => Case { work, rows, tokens: self.prompt_tokens },
        };
        self.work.iter().flat_map(|&work| self.batch.iter().map(move |&rows| case(work, rows))).collect()
    }
}

/// Measures one type of weights after the other, so that one copy of the model is in memory at a time.
pub(super) fn run(args: &BenchArgs) -> Outcome {
    // What is measured lies in memory as it does in `serve`.
    allocator::give_back();
    let config = Config::from_environment()?.probed()?;
    let kernel = Kernel::choose(config.engine.kernel.forced())?;
    kernel.make_current();
    let cases = args.cases();
    let progress = Progress::of_steps(cases.len() * args.weights.len());
    let mut report = Report::new(kernel);
    let mut measured: Vec<Held> = Vec::new();
    for &weights in &args.weights {
        progress.show(&format!("loading as {}", weights.name()));
        let options =
            LoadOptions { kernel, weights: Some(weights), fold_bytes_max: config.engine.fold_bytes_max() };
        let served = load_folder(&args.model.folder, config.loading(options))?;
        if let Some(same) = measured.iter().find(|held| held.is(&served)) {
            let names = [weights.name(), same.weights.name()];
            progress.suspend(|| {
                writeln!(stderr(), "`{}` holds this model as `{}` does: measured once", names[0], names[1])
            })?;
            progress.step(cases.len());
            continue;
        }
        measured.push(Held::new(weights, &served));
        let mut bench = Bench::new(&*served.model, config.engine.logits_buffer.0, Clock::system());
        for case in &cases {
            progress.show(&format!("{} as {}, {} rows", case.work.name(), weights.name(), case.rows));
            let timing = bench.measure(case, args.time)?;
            report.add(&served, Measurement::new(weights, &served, case, timing));
            progress.step(1);
        }
    }
    drop(progress);
    let out = &mut stdout().lock();
    match args.json {
        true => json::print(out, &report),
        false => Ok(write!(out, "{report}")?),
    }
}

/// How weights are held after they were loaded as `weights`.
struct Held {
    weights: WeightsType,
    weights_dtype: Dtype,
    effective_dtype: Dtype,
}

impl Held {
    fn new(weights: WeightsType, served: &Served) -> Self {
        let info = served.model.info();
        Self { weights, weights_dtype: info.weights_dtype, effective_dtype: info.effective_dtype }
    }

    /// Whether `served` has the same weights in memory. Types differ in what they round, so equal types are equal weights.
    fn is(&self, served: &Served) -> bool {
        let info = served.model.info();
        self.weights_dtype == info.weights_dtype && self.effective_dtype == info.effective_dtype
    }
}
