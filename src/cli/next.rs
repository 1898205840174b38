//! `next`: the most likely next tokens after a text.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{CacheArg, ModelsArg};
use super::json;
use super::local::Local;
use crate::api::next::{NextReply, NextRequest, NextResponse, SessionNextRequest};
use crate::api::prompt::Prompt;
use crate::api::question::{Question, RankedToken, Shown};
use crate::api::state::Carried;

#[derive(Args)]
pub(super) struct NextArgs {
    #[command(flatten)]
    pub models: ModelsArg,

    /// The text so far; without one, the start of the model
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Number of most likely tokens to list
    #[arg(long, value_name = "N", default_value = "10")]
    pub top_k: usize,

    #[command(flatten)]
    pub cache: CacheArg,

    /// Print the answer of `POST /v1/next`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &NextArgs) -> Outcome {
    let local = Local::open_models(&args.models)?;
    let prompt = Prompt { text: Some(args.text.clone()), ..Prompt::default() };
    let shown = Shown { top_k: Some(args.top_k), ..Shown::default() };
    let question = Question { shown, ..Question::default() };
    let carried = Carried { cache: args.cache.cache.clone(), ..Carried::default() };
    let next = SessionNextRequest { prompt, question, carried };
    let mixture = local.mixture.clone();
    let request = NextRequest { mixture, next, ..NextRequest::default() };
    let reply = local.block_on(local.service.next(request))?;
    let mut out = stdout().lock();
    match &reply {
        NextReply::One(response) if !args.json => {
            let table = Table { response, draws_bars: out.is_terminal() };
            Ok(write!(out, "{table}")?)
        }
        reply => json::print(&mut out, reply),
    }
}

/// The answer for people. Bars are drawn on a terminal only: a program that reads the table has no use for them.
struct Table<'a> {
    response: &'a NextResponse,
    draws_bars: bool,
}

/// Columns of the longest bar.
const BAR_COLUMNS: f64 = 32.0;

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NextResponse { position, unknown_count, next, .. } = self.response;
        writeln!(f, "rank      prob    logprob  token")?;
        let longest = next.distribution.first().map_or(1.0, |token| token.prob);
        for token in &next.distribution {
            let RankedToken { rank, prob, logprob, .. } = token;
            write!(f, "{rank:>4}  {prob:>8.4}  {logprob:>9.4}  ")?;
            if self.draws_bars {
                let columns = BAR_COLUMNS as usize;
                write!(f, "{:<columns$}  ", bar(prob / longest))?;
            }
            writeln!(f, "{}", shown(token))?;
        }
        writeln!(
            f,
            "\nposition {position}, {unknown_count} unknown, entropy {:.4} nats, listed {:.2} %",
            next.entropy,
            100.0 * next.top_mass,
        )
    }
}

/// What the token adds to the text, in quotes; the vocabulary's entry where it adds nothing of its own.
fn shown(ranked: &RankedToken) -> String {
    match ranked.token.text.as_str() {
        "" => ranked.token.token.escape_debug().to_string(),
        text => format!("{text:?}"),
    }
}

/// A bar of `share` of the columns, to an eighth of a column.
fn bar(share: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * BAR_COLUMNS * 8.0).round() as usize;
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths_to_their_full_width() {
        assert_eq!(bar(1.0).chars().count(), BAR_COLUMNS as usize);
        assert_eq!(bar(0.5 + 3.0 / 256.0), "█".repeat(16) + "▍");
        assert_eq!(bar(0.0), "");
    }
}
