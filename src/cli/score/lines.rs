//! Each line of a file as a text of its own: many are scored at once, and printed in their order.

use std::io::{self, BufRead, stdout};

use futures_util::{StreamExt, stream};

use super::{ScoreArgs, report};
use crate::api::prompt::Prompt;
use crate::api::score::{Score, ScoreRequest, ScoreResponse, Tally};
use crate::api::state::Carried;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::input::utf8_line;
use crate::cli::local::Local;
use crate::cli::progress::Progress;
use crate::error::ErrorKind;
use crate::service;

/// Lines being scored at once: the engine computes them together.
const LINES_AT_ONCE: usize = 256;

/// A line that was scored.
struct Line {
    number: usize,
    /// Its length in the file, line end included.
    bytes: usize,
    score: Score,
}

/// Scores the lines of the file. Results are printed as they come, or kept where one JSON document is wanted.
pub(super) async fn score(local: &Local, args: &ScoreArgs) -> Outcome<ScoreResponse> {
    let read = args.text.open()?.split(b'\n').zip(1..);
    let mut lines = stream::iter(read)
        .map(async |(line, number)| score_line(local, args, Raw { number, bytes: line? }).await)
        .buffered(LINES_AT_ONCE);
    let progress = Progress::new(&args.text);
    if !args.json {
        report::print_head(&mut stdout().lock())?;
    }
    let mut results = Vec::new();
    let mut total = Tally::default();
    while let Some(line) = lines.next().await {
        let Line { number, bytes, score } = line?;
        service::add_tally(&mut total, &score.tally);
        progress.advance(bytes, total.token_count);
        match args.json {
            true => results.push(score),
            false => progress.suspend(|| print(number, &score))?,
        }
    }
    if total.token_count == 0 {
        return Err(service::no_token().into());
    }
    let model = local.model();
    Ok(ScoreResponse { model, results, total: service::figures(total), state: None })
}

fn print(number: usize, score: &Score) -> io::Result<()> {
    let out = &mut stdout().lock();
    report::print_line(out, number, score)?;
    report::print_tokens(out, score.token_logprobs.as_deref().unwrap_or_default())
}

/// A line as it was read, without its end.
struct Raw {
    number: usize,
    bytes: Vec<u8>,
}

async fn score_line(local: &Local, args: &ScoreArgs, line: Raw) -> Outcome<Line> {
    let Raw { number, bytes: line } = line;
    let bytes = line.len() + 1;
    let mut text = utf8_line(line, number)?;
    if text.ends_with('\r') {
        text.pop();
    }
    let request = ScoreRequest {
        prompt: Prompt { text: Some(text), ..Prompt::default() },
        mixture: local.mixture.clone(),
        scoring: args.scoring(),
        carried: Carried { cache: args.cache.cache.clone(), ..Carried::default() },
        ..ScoreRequest::default()
    };
    let nothing = || service::figures(Tally::default());
    let score = match local.service.score(request).await {
        Ok(response) => response.results.into_iter().next().unwrap_or_else(nothing),
        // An empty line among others is not a failure.
        Err(error) if error.kind == ErrorKind::EmptyInput => nothing(),
        Err(error) => return Err(Failure::from(error.within(format_args!("line {number}")))),
    };
    Ok(Line { number, bytes, score })
}
