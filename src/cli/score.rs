//! `score`: how likely a text is.

mod lines;
mod report;

use std::io::{BufRead, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{ModelArg, TextArg};
use super::json;
use super::local::Local;
use super::progress::Progress;
use crate::http::Scored;
use crate::service::{AddEos, ScoreResponse, ScoredToken, TextScorer, TokenLogprobs};

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

impl ScoreArgs {
    fn add_eos(&self) -> AddEos {
        if self.add_eos { AddEos::Yes } else { AddEos::No }
    }

    fn each(&self) -> TokenLogprobs {
        if self.token_logprobs { TokenLogprobs::Include } else { TokenLogprobs::Omit }
    }
}

pub(super) fn run(args: &ScoreArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let scored = match args.lines {
        true => local.block_on(lines::score(&local.service, args)),
        false => local.block_on(score_text(&local, args)),
    }?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, Scored::from(scored));
    }
    if args.lines || args.token_logprobs {
        writeln!(out)?;
    }
    Ok(report::print_summary(&mut out, &scored.total)?)
}

/// The file as one text, read in pieces. Memory grows only where every token is wanted in one JSON document.
async fn score_text(local: &Local, args: &ScoreArgs) -> Outcome<ScoreResponse> {
    let mut scorer = TextScorer::new(&local.service, None, (args.add_eos(), args.each()))?;
    let mut text = args.text.open()?;
    let progress = Progress::new(&args.text);
    let mut kept = Vec::new();
    loop {
        let piece = text.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            break;
        }
        scorer.push(piece).await?;
        text.consume(len);
        progress.advance(len, scorer.token_count());
        show_tokens(args, &progress, (scorer.take_tokens(), &mut kept))?;
    }
    let mut result = scorer.finish().await?;
    show_tokens(args, &progress, (scorer.take_tokens(), &mut kept))?;
    let total = result.clone();
    result.tokens = (args.json && args.token_logprobs).then_some(kept);
    Ok(ScoreResponse { model: scorer.model().clone(), results: vec![result], total })
}

/// Prints tokens as they come, or keeps them for the document at the end.
fn show_tokens(
    args: &ScoreArgs,
    progress: &Progress,
    (mut tokens, kept): (Vec<ScoredToken>, &mut Vec<ScoredToken>),
) -> Outcome {
    if args.json {
        kept.append(&mut tokens);
        return Ok(());
    }
    Ok(progress.suspend(|| report::print_tokens(&mut stdout().lock(), &tokens))?)
}
