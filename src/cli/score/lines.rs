//! Every line of a file as a text of its own: many are scored side by side, and printed in their order.

use std::io::{self, BufRead, stdout};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{ScoreArgs, report};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::input::utf8_line;
use crate::cli::progress::Progress;
use crate::error::{Error, ErrorKind};
use crate::service::{Carry, Input, ScoreRequest, ScoreResponse, ScoreResult, Service, Source, Texts};

/// Lines under way at once: the engine computes them together.
const LINES_AT_ONCE: usize = 256;

/// A line that was scored.
struct Line {
    number: usize,
    /// Its length in the file, line end included.
    bytes: usize,
    result: ScoreResult,
}

/// Scores the lines of the file. Results are printed as they come, or kept where one JSON document is wanted.
pub(super) async fn score(service: &Arc<Service>, args: &ScoreArgs) -> Outcome<ScoreResponse> {
    let read = args.text.open()?.split(b'\n').enumerate();
    let mut lines = stream::iter(read)
        .map(|(index, line)| score_line(service, args, (index + 1, line)))
        .buffered(LINES_AT_ONCE);
    let progress = Progress::new(&args.text);
    if !args.json {
        report::print_head(&mut stdout().lock())?;
    }
    let (mut results, mut total) = (Vec::new(), ScoreResult::default());
    while let Some(line) = lines.next().await {
        let Line { number, bytes, result } = line?;
        total.add(&result);
        progress.advance(bytes, total.token_count);
        match args.json {
            true => results.push(result),
            false => progress.suspend(|| print(number, &result))?,
        }
    }
    if total.token_count == 0 {
        return Err(
            Error::new(ErrorKind::EmptyInput, "the text holds no token, expected at least one").into()
        );
    }
    Ok(ScoreResponse { model: service.catalog().default().name.clone(), results, total })
}

fn print(number: usize, result: &ScoreResult) -> io::Result<()> {
    let out = &mut stdout().lock();
    report::print_line(out, number, result)?;
    report::print_tokens(out, result.tokens.as_deref().unwrap_or_default())
}

async fn score_line(
    service: &Arc<Service>,
    args: &ScoreArgs,
    (number, line): (usize, io::Result<Vec<u8>>),
) -> Outcome<Line> {
    let line = line?;
    let bytes = line.len() + 1;
    let mut text = utf8_line(line, number)?;
    if text.ends_with('\r') {
        text.pop();
    }
    let request = ScoreRequest {
        source: Source::Model(None),
        context: Input::Empty,
        texts: Texts::One(Input::Text(text)),
        add_eos: args.add_eos(),
        token_logprobs: args.each(),
        carry: Carry::No,
    };
    let result = match service.score(request).await {
        Ok(response) => response.results.into_iter().next().unwrap_or_default(),
        // An empty line is no failure among others.
        Err(error) if error.kind == ErrorKind::EmptyInput => ScoreResult::default(),
        Err(error) => return Err(Failure::from(error.within(format!("line {number}")))),
    };
    Ok(Line { number, bytes, result })
}
