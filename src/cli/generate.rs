//! `generate`: how a text goes on.

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::ModelArg;

#[derive(Args)]
pub(super) struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text to continue; the start of the model if it is left out
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Tokens to generate at most
    #[arg(long, value_name = "N", default_value = "64")]
    pub max_tokens: usize,

    /// How evenly tokens are drawn; 0 always takes the most likely
    #[arg(long, value_name = "T", default_value = "1.0", allow_negative_numbers = true)]
    pub temperature: f64,

    /// Draw from the N most likely tokens only
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,

    /// Draw from the most likely tokens that together have probability P only, 0 to 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,

    /// Draw from tokens at least P times as likely as the most likely only, 0 to 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,

    /// The seed of the draws, 0 to 2^53 - 1; made up and printed to stderr if it is left out
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,

    /// End before this string; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Let unknown tokens be drawn
    #[arg(long)]
    pub allow_unknown: bool,

    /// Print the answer of `POST /v1/generate` instead of streaming the text
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(_args: &GenerateArgs) -> Outcome {
    Err(Failure::Failed("`generate` waits for the engine".into()))
}
