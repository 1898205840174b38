//! `tokenize`: the token ids of a text, one line for a line.

use std::io::{BufRead, BufWriter, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{ModelArg, TextArg, utf8_line};
use super::local::Local;

#[derive(Args)]
pub(super) struct TokenizeArgs {
    #[command(flatten)]
    pub model: ModelArg,

    #[command(flatten)]
    pub text: TextArg,
}

/// Each line is tokenised with its line end: all ids together are those of the file.
pub(super) fn run(args: &TokenizeArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let mut text = args.text.open()?;
    let mut out = BufWriter::new(stdout().lock());
    let (mut line, mut number) = (Vec::new(), 0);
    while text.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        let text = utf8_line(std::mem::take(&mut line), number)?;
        let tokenized = local.block_on(local.service.tokenize(None, text));
        let tokenized = tokenized.map_err(|error| error.within(format!("line {number}")))?;
        let ids: Vec<String> = tokenized.tokens.iter().map(|token| token.token.id.to_string()).collect();
        writeln!(out, "{}", ids.join(" "))?;
    }
    Ok(out.flush()?)
}
