//! `next`: what comes next after a text.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::ModelArg;

#[derive(Args)]
pub(super) struct NextArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text so far; the start of the model if it is left out
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Tokens to list, the most likely first
    #[arg(long, value_name = "N", default_value = "10")]
    pub top_k: usize,

    /// Print the answer of `POST /v1/next`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(_args: &NextArgs) -> Outcome {
    Err(Failure::Failed("`next` waits for the engine".into()))
}
