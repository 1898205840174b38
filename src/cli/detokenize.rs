//! `detokenize`: the text of token ids.

use std::io::{BufRead, BufWriter, IsTerminal, Write, stdout};

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::{ModelArg, TextArg, utf8_line};
use super::json;
use super::local::Local;
use crate::api::tokens::DetokenizeRequest;
use crate::service::check_token;

#[derive(Args)]
pub(super) struct DetokenizeArgs {
    #[command(flatten)]
    pub model: ModelArg,

    #[command(flatten)]
    pub ids: TextArg,

    /// Print the answer of `POST /v1/detokenize`
    #[arg(long)]
    pub json: bool,
}

/// Prints the text of the ids of the file, which white space separates. Lines are no part of the text: the ids say where it has line ends.
pub(super) fn run(args: &DetokenizeArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    if args.json {
        let mut tokens = Vec::new();
        read_ids(&local, &args.ids, |token| {
            tokens.push(token);
            Ok(())
        })?;
        let request = DetokenizeRequest { tokens, ..DetokenizeRequest::default() };
        let response = local.block_on(local.service.detokenize(request))?;
        return json::print(&mut stdout().lock(), response);
    }
    let mut decoder = local.service.catalog().default().tokenizer.decoder(&Default::default());
    let mut out = BufWriter::new(stdout().lock());
    read_ids(&local, &args.ids, |token| Ok(out.write_all(decoder.push(token).as_bytes())?))?;
    out.write_all(decoder.finish().as_bytes())?;
    // A file gets the text and nothing else; a shell's prompt wants a line of its own.
    if out.get_ref().is_terminal() {
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

/// Passes each id to `take`, in memory that does not grow with their number.
fn read_ids(local: &Local, ids: &TextArg, mut take: impl FnMut(u32) -> Outcome) -> Outcome {
    let catalog = local.service.catalog();
    let served = catalog.default();
    let mut file = ids.open()?;
    let mut line = Vec::new();
    let mut number = 0;
    while file.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        for word in utf8_line(std::mem::take(&mut line), number)?.split_whitespace() {
            let token = word.parse::<u32>().map_err(|_| not_an_id(word, number))?;
            check_token(token, served).map_err(|error| error.within(format!("line {number}")))?;
            take(token)?;
        }
    }
    Ok(())
}

fn not_an_id(word: &str, line: usize) -> Failure {
    let expected = "ids are whole numbers from 0, separated by white space";
    Failure::Failed(format!("line {line}: {word:?} is not a token id; {expected}"))
}
