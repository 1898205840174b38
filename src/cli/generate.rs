//! `generate`: how a text goes on.

use std::io::{IsTerminal, Write, stderr, stdout};

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::ModelArg;
use super::json;
use super::local::Local;
use crate::http::{Generated, Tokens};
use crate::service::{Commit, GenerateRequest, Generating, Input, SamplingSpec, Source, Step, Unknown};

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

pub(super) fn run(args: &GenerateArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    local.block_on(async {
        let generating = local.service.generate(request(args)).await?;
        match args.json {
            true => collect(generating).await,
            false => stream(generating, args).await,
        }
    })
}

fn request(args: &GenerateArgs) -> GenerateRequest {
    GenerateRequest {
        source: Source::Model(None),
        input: Input::Text(args.text.clone()),
        tokens_max: args.max_tokens,
        sampling: SamplingSpec {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            banned: Vec::new(),
            unknown: if args.allow_unknown { Unknown::Allowed } else { Unknown::RuledOut },
        },
        seed: args.seed,
        stops: args.stop.clone(),
        stop_at_eos: None,
        commit: Commit::Leave,
        expected_position: None,
        alternatives: 0,
        timeout: None,
    }
}

async fn collect(generating: Generating) -> Outcome {
    let answer = Generated::collect(generating, Tokens::Ids).await;
    let answer = answer.map_err(|error| Failure::Failed(error.body().error.message))?;
    json::print(&mut stdout().lock(), answer)
}

/// Prints each piece of text as it comes. Whoever closes the output ends the generation.
async fn stream(mut generating: Generating, args: &GenerateArgs) -> Outcome {
    // Greedy text needs no seed to be had again.
    if args.seed.is_none() && args.temperature != 0.0 {
        writeln!(stderr(), "seed {}", generating.seed)?;
    }
    let mut out = stdout().lock();
    while let Some(step) = generating.next().await {
        match step {
            Step::Token(token) => write!(out, "{}", token.shown)?,
            Step::Done(finished) => write!(out, "{}", finished.text)?,
            Step::Failed { error, .. } => return Err(error.into()),
        }
        out.flush()?;
    }
    // A file gets the text and nothing else; a shell's prompt wants a line of its own.
    if out.is_terminal() {
        writeln!(out)?;
    }
    Ok(())
}
