//! `generate`: continues a text.

use std::io::{IsTerminal, Write, stderr, stdout};

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::ModelArg;
use super::json;
use super::local::Local;
use crate::api::generate::GenerateRequest;
use crate::api::prompt::{Prompt, Strings};
use crate::api::sampling::Sampling;
use crate::api::stream::StreamEvent;
use crate::service::Generating;

#[derive(Args)]
pub(super) struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text to continue; without one, the start of the model
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Maximum number of tokens to generate
    #[arg(long, value_name = "N", default_value = "64")]
    pub max_tokens: usize,

    /// Temperature of the draws; 0 always draws the most likely token
    #[arg(long, value_name = "T", default_value = "1.0", allow_negative_numbers = true)]
    pub temperature: f64,

    /// Draw only from the N most likely tokens
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,

    /// Draw only from the smallest set of most likely tokens with probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,

    /// Draw only from tokens at least P times as probable as the most likely one
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,

    /// Seed of the draws, 0 to 2^53 - 1; without one, a seed is chosen and printed to stderr
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,

    /// End the text before this string; can be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Allow the unknown token to be drawn
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
            true => json::print(&mut stdout().lock(), generating.whole().await?),
            false => stream(generating, args).await,
        }
    })
}

fn request(args: &GenerateArgs) -> GenerateRequest {
    let default = Sampling::default();
    GenerateRequest {
        prompt: Prompt { text: Some(args.text.clone()), ..Prompt::default() },
        sampling: Sampling {
            temperature: args.temperature,
            top_k: args.top_k.map(|kept| i64::try_from(kept).unwrap_or(i64::MAX)),
            top_p: args.top_p.unwrap_or(default.top_p),
            min_p: args.min_p.unwrap_or(default.min_p),
            allow_unknown: args.allow_unknown,
            ..default
        },
        max_tokens: Some(args.max_tokens),
        seed: args.seed,
        stop: Strings::Many(args.stop.clone()),
        ..GenerateRequest::default()
    }
}

/// Prints each piece of text as it comes. Whoever closes the output ends the generation.
async fn stream(generating: Generating, args: &GenerateArgs) -> Outcome {
    let mut events = generating.events().await?;
    let mut out = stdout().lock();
    while let Some(event) = events.next().await {
        match event {
            // A greedy text needs no seed to be repeated.
            StreamEvent::Start(start) if args.seed.is_none() && args.temperature != 0.0 => {
                writeln!(stderr(), "seed {}", start.seed)?;
            }
            StreamEvent::Start(_) => {}
            StreamEvent::Token(token) => write!(out, "{}", token.token.token.text)?,
            StreamEvent::Done(done) => {
                done.choices.iter().try_for_each(|choice| write!(out, "{}", choice.text))?;
            }
            StreamEvent::Error(failed) => return Err(Failure::Failed(failed.error.message)),
        }
        out.flush()?;
    }
    // A file gets the text and nothing else; a shell's prompt wants a line of its own.
    if out.is_terminal() {
        writeln!(out)?;
    }
    Ok(())
}
