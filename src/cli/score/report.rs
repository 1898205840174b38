//! Scores as people read them.

use std::io::{self, BufWriter, Write};

use crate::service::{ScoreResult, ScoredToken};

/// Digits of a printed figure: enough to compare two models that agree in single precision.
const DIGITS: i32 = 9;

/// One figure a line.
pub(super) fn print_summary(out: &mut impl Write, result: &ScoreResult) -> io::Result<()> {
    for (name, count) in [
        ("tokens", result.token_count),
        ("scored", result.scored_count),
        ("unknown", result.unknown_count),
        ("words", result.word_count),
        ("characters", result.char_count),
        ("bytes", result.byte_count),
    ] {
        writeln!(out, "{name:<16}{count}")?;
    }
    for (name, figure) in [
        ("logprob", Some(result.logprob)),
        ("perplexity", result.perplexity()),
        ("word perplexity", result.word_perplexity()),
        ("bits per token", result.bits_per_token()),
        ("bits per char", result.bits_per_char()),
        ("bits per byte", result.bits_per_byte()),
    ] {
        writeln!(out, "{name:<16}{}", figure_or_dash(figure))?;
    }
    Ok(())
}

/// One token a line: id, logprob (`-` where nothing precedes it), entry; by tabs.
pub(super) fn print_tokens(out: &mut impl Write, tokens: &[ScoredToken]) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for scored in tokens {
        let token = &scored.token.token;
        let logprob = figure_or_dash(scored.logprob);
        writeln!(out, "{}\t{logprob}\t{}", token.id, token.entry.escape_debug())?;
    }
    out.flush()
}

/// What the columns of [`print_line`] are.
pub(super) fn print_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>8}  {:>8}  {:>8}  {:>16}  {:>16}", "line", "tokens", "unknown", "logprob", "perplexity")
}

/// The figures of the line `number`, from 1.
pub(super) fn print_line(out: &mut impl Write, number: usize, result: &ScoreResult) -> io::Result<()> {
    let (logprob, perplexity) = (significant(result.logprob), figure_or_dash(result.perplexity()));
    let ScoreResult { token_count, unknown_count, .. } = result;
    writeln!(out, "{number:>8}  {token_count:>8}  {unknown_count:>8}  {logprob:>16}  {perplexity:>16}")
}

fn figure_or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), significant)
}

/// `figure` to nine significant digits, without an exponent while it has some sense.
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
        print_summary(&mut printed, &ScoreResult { token_count: 1, ..Default::default() }).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        assert!(
            printed.contains("tokens          1\n") && printed.contains("perplexity      -\n"),
            "{printed}"
        );
    }
}
