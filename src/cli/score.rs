//! `score`: how likely a text is.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::{ModelArg, TextArg};

#[derive(Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    pub model: ModelArg,

    #[command(flatten)]
    pub text: TextArg,

    /// Score every line alone, from the start of the model, instead of the whole as one text
    #[arg(long)]
    pub lines: bool,

    /// Score the end of the text too
    #[arg(long)]
    pub add_eos: bool,

    /// Print the log-probability of every token
    #[arg(long)]
    pub token_logprobs: bool,

    /// Print the answer of `POST /v1/score`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(_args: &ScoreArgs) -> Outcome {
    Err(Failure::Failed("`score` waits for the engine".into()))
}
