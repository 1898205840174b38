//! Scores for people to read.

use std::io::{self, BufWriter, Write};

use crate::api::score::{Score, Tally};
use crate::api::tokens::ScoredToken;

/// Significant digits of a printed figure: enough to compare two models that agree in single precision.
const DIGITS: i32 = 9;

/// One figure a line.
pub(super) fn print_summary(out: &mut impl Write, score: &Score) -> io::Result<()> {
    let tally = &score.tally;
    for (name, count) in [
        ("tokens", tally.token_count),
        ("scored", tally.scored_count),
        ("unknown", tally.unknown_count),
        ("words", tally.word_count),
        ("characters", tally.char_count),
        ("bytes", tally.byte_count),
    ] {
        writeln!(out, "{name:<16}{count}")?;
    }
    for (name, figure) in [
        ("logprob", Some(tally.logprob)),
        ("perplexity", score.perplexity),
        ("word perplexity", score.word_perplexity),
        ("bits per token", score.bits_per_token),
        ("bits per char", score.bits_per_char),
        ("bits per byte", score.bits_per_byte),
    ] {
        writeln!(out, "{name:<16}{}", figure_or_dash(figure))?;
    }
    Ok(())
}

/// One token a line: id, log-probability (`-` if no token precedes it) and entry, separated by tabs.
pub(super) fn print_tokens(out: &mut impl Write, tokens: &[ScoredToken]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for scored in tokens {
        let token = &scored.token.token;
        let logprob = figure_or_dash(scored.logprob);
        writeln!(out, "{}\t{logprob}\t{}", token.id, token.token.escape_debug())?;
    }
    out.flush()
}

/// The heading of the columns of [`print_line`].
pub(super) fn print_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>8}  {:>8}  {:>8}  {:>16}  {:>16}", "line", "tokens", "unknown", "logprob", "perplexity")
}

/// The figures of the line `number`, counted from 1.
pub(super) fn print_line(out: &mut impl Write, number: usize, score: &Score) -> io::Result<()> {
    let Tally { token_count, unknown_count, logprob, .. } = score.tally;
    let logprob = significant(logprob);
    let perplexity = figure_or_dash(score.perplexity);
    writeln!(out, "{number:>8}  {token_count:>8}  {unknown_count:>8}  {logprob:>16}  {perplexity:>16}")
}

fn figure_or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), significant)
}

/// `figure` to nine significant digits, without an exponent where that is readable.
fn significant(figure: f64) -> String {
    let scientific = format!("{figure:.*e}", DIGITS as usize - 1);
    // The exponent after rounding: 9.9999999999 has that of 10.
    let exponent: i32 = scientific.rsplit_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    match exponent {
        -5..DIGITS => format!("{figure:.*}", (DIGITS - 1 - exponent) as usize),
        _ => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::figures;

    #[test]
    fn figures_have_nine_significant_digits() {
        for (figure, printed) in [
            (4.0, "4.00000000"),
            (123.456_789_012, "123.456789"),
            (9.999_999_999_9, "10.0000000"),
            (-0.012_345_678_912, "-0.0123456789"),
            (123_456_789.4, "123456789"),
            (1.5e12, "1.50000000e12"),
            (0.0, "0.00000000"),
        ] {
            assert_eq!(significant(figure), printed);
        }
    }

    #[test]
    fn nothing_scored_is_a_dash() {
        let mut printed = Vec::new();
        let score = figures(Tally { token_count: 1, ..Tally::default() });
        print_summary(&mut printed, &score).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(
            printed.contains("tokens          1\n") && printed.contains("perplexity      -\n"),
            "{printed}"
        );
    }
}
