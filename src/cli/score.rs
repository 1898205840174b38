//! `score`: how likely a text is.

mod lines;
mod report;

use std::io::{BufRead, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{CacheArg, ModelsArg, TextArg};
use super::json;
use super::local::Local;
use super::progress::Progress;
use crate::api::mixture::MixtureText;
use crate::api::score::{ScoreResponse, ScoreTextQuery, Scoring};
use crate::api::tokens::ScoredToken;
use crate::api::unknown::Unknown;
use crate::service::TextScorer;

#[derive(Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    pub models: ModelsArg,

    #[command(flatten)]
    pub text: TextArg,

    /// Score each line on its own, from the start of the model, instead of the file as one text
    #[arg(long)]
    pub lines: bool,

    /// Score the end-of-text token too
    #[arg(long)]
    pub add_eos: bool,

    /// What is done with unknown words: `include`, `exclude`, `add:X` to add X to their log-probability, or `set:X` to replace it
    #[arg(long, value_name = "POLICY", default_value = "include")]
    pub unknown: Unknown,

    /// Print the log-probability of each token
    #[arg(long)]
    pub token_logprobs: bool,

    #[command(flatten)]
    pub cache: CacheArg,

    /// Print the answer of `POST /v1/score`
    #[arg(long)]
    pub json: bool,
}

impl ScoreArgs {
    fn scoring(&self) -> Scoring {
        Scoring { add_eos: self.add_eos, token_logprobs: self.token_logprobs, unknown: self.unknown }
    }
}

pub(super) fn run(args: &ScoreArgs) -> Outcome {
    let local = Local::open_models(&args.models)?;
    let scored = match args.lines {
        true => local.block_on(lines::score(&local, args)),
        false => local.block_on(score_text(&local, args)),
    }?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, scored);
    }
    if args.lines || args.token_logprobs {
        writeln!(out)?;
    }
    Ok(report::print_summary(&mut out, &scored.total)?)
}

/// The file as one text, read in pieces. Memory grows only if every token is wanted in one JSON document.
async fn score_text(local: &Local, args: &ScoreArgs) -> Outcome<ScoreResponse> {
    let mixture = local.mixture.clone().map(MixtureText);
    let query = ScoreTextQuery { model: None, mixture, scoring: args.scoring() };
    let mut scorer = TextScorer::new(&local.service, query)?.with_cache(args.cache.cache.as_ref())?;
    let mut text = args.text.open()?;
    let progress = Progress::new(&args.text);
    loop {
        let piece = text.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            break;
        }
        scorer.push(piece).await?;
        text.consume(len);
        progress.advance(len, scorer.token_count());
        if !args.json {
            show_tokens(&progress, &scorer.take_tokens())?;
        }
    }
    let scored = scorer.finish().await?;
    if !args.json {
        let mut last = scored.results.iter().filter_map(|score| score.token_logprobs.as_deref());
        last.try_for_each(|tokens| show_tokens(&progress, tokens))?;
    }
    Ok(scored)
}

fn show_tokens(progress: &Progress, tokens: &[ScoredToken]) -> Outcome {
    Ok(progress.suspend(|| report::print_tokens(&mut stdout().lock(), tokens))?)
}
