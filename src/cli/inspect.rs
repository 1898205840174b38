//! `inspect`: how a model folder or file is understood.

mod report;

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use super::json;
use crate::catalog::{self, Kernel};
use crate::config::Config;
use report::Report;

#[derive(Args)]
pub(super) struct InspectArgs {
    /// A model folder, or a safetensors file
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints all that was understood, and then fails if it is not enough to serve a folder.
pub(super) fn run(args: &InspectArgs) -> Outcome {
    let kernel = Kernel::choose(Config::from_environment()?.engine.kernel.forced())?;
    let report = Report::new(catalog::inspect(&args.path, kernel)?);
    let out = &mut stdout().lock();
    match args.json {
        true => json::print(out, &report)?,
        false => write!(out, "{report}")?,
    }
    match report.error {
        Some(error) => Err(Failure::Failed(format!("`{}`: {error}", args.path.display()))),
        None => Ok(()),
    }
}
