//! `next`: what comes next after a text.

use std::io::{self, IsTerminal, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::ModelArg;
use super::json;
use super::local::Local;
use crate::http::NextAnswer;
use crate::service::{Input, NextRequest, NextResponse, Query, Source, ViewedToken};

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

pub(super) fn run(args: &NextArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let response = local.block_on(local.service.next(NextRequest {
        source: Source::Model(None),
        input: Input::Text(args.text.clone()),
        query: Query { top_k: args.top_k, ..Query::default() },
    }))?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, NextAnswer::from(response));
    }
    let bars = if out.is_terminal() { Bars::Shown } else { Bars::Omitted };
    print_table(&mut out, &response, bars)?;
    Ok(())
}

/// Whether probabilities are drawn too: a program that reads the table has no use for them.
#[derive(Clone, Copy, PartialEq)]
enum Bars {
    Shown,
    Omitted,
}

/// Columns of the longest bar.
const BAR_COLUMNS: f64 = 32.0;

fn print_table(out: &mut impl Write, response: &NextResponse, bars: Bars) -> io::Result<()> {
    let next = &response.next;
    writeln!(out, "rank      prob    logprob  token")?;
    let longest = next.distribution.first().map_or(1.0, prob);
    for viewed in &next.distribution {
        let rank = viewed.ranked.rank;
        write!(out, "{rank:>4}  {:>8.4}  {:>9.4}  ", prob(viewed), viewed.ranked.logprob)?;
        match bars {
            Bars::Shown => {
                let columns = BAR_COLUMNS as usize;
                writeln!(out, "{:<columns$}  {}", bar(prob(viewed) / longest), shown(viewed))?;
            }
            Bars::Omitted => writeln!(out, "{}", shown(viewed))?,
        }
    }
    writeln!(
        out,
        "\nposition {}, {} unknown, entropy {:.4} nats, listed {:.2} %",
        response.position,
        response.unknown_count,
        next.entropy,
        100.0 * next.top_mass,
    )
}

fn prob(viewed: &ViewedToken) -> f64 {
    libm::exp(viewed.ranked.logprob)
}

/// What the token adds to the text, in quotes; the vocabulary's entry where it adds nothing of its own.
fn shown(viewed: &ViewedToken) -> String {
    match viewed.token.text.as_str() {
        "" => viewed.token.entry.escape_debug().to_string(),
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
