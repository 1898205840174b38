//! `tokenize`: the token ids of a text, one line for a line.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::{ModelArg, TextArg};

#[derive(Args)]
pub(super) struct TokenizeArgs {
    #[command(flatten)]
    pub model: ModelArg,

    #[command(flatten)]
    pub text: TextArg,
}

pub(super) fn run(_args: &TokenizeArgs) -> Outcome {
    Err(Failure::Failed("`tokenize` waits for the catalog".into()))
}
