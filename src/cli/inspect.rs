//! `inspect`: how a model folder or file is understood.

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};

#[derive(Args)]
pub(super) struct InspectArgs {
    /// A model folder, or a safetensors file
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(_args: &InspectArgs) -> Outcome {
    Err(Failure::Failed("`inspect` waits for the catalog".into()))
}
