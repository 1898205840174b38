//! `tokenize`: the token ids of a text, one line for each line.

use std::io::{self, BufRead, BufWriter, Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{ModelArg, TextArg, utf8_line};
use super::json;
use super::local::Local;
use crate::api::tokens::TokenizeRequest;

#[derive(Args)]
pub(super) struct TokenizeArgs {
    #[command(flatten)]
    pub model: ModelArg,

    #[command(flatten)]
    pub text: TextArg,

    /// Whether the JSON lists the tokens with their texts and places too; a long text has too many
    #[arg(long, value_name = "BOOL", requires = "json")]
    pub pieces: Option<bool>,

    /// Print the answer of `POST /v1/tokenize` for the whole file
    #[arg(long)]
    pub json: bool,
}

/// Length from which on a text is cut. Lines cannot be read one by one, because a rule may depend on the line before.
const PIECE_BYTES: usize = 64 << 10;

/// Prints the ids of the file, with a line for each line of the file.
pub(super) fn run(args: &TokenizeArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    if args.json {
        return print_json(&local, args);
    }
    let mut text = args.text.open()?;
    let mut printer =
        Printer { local: &local, out: BufWriter::new(stdout().lock()), line: 1, is_empty: true };
    let mut line = Vec::new();
    let mut number = 0;
    let mut is_ended = true;
    let mut held = String::new();
    let mut cut_from = PIECE_BYTES;
    while text.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        is_ended = line.ends_with(b"\n");
        held += &utf8_line(std::mem::take(&mut line), number)?;
        if held.len() < cut_from {
            continue;
        }
        let Some(cut) = local.service.catalog().default().tokenizer.cut(&held) else {
            // Doubled: otherwise each line would search a text without a place to cut from its start.
            cut_from = held.len() * 2;
            continue;
        };
        printer.print(&held[..cut])?;
        held.drain(..cut);
        cut_from = PIECE_BYTES;
    }
    printer.print(&held)?;
    if !is_ended {
        printer.end_line()?;
    }
    Ok(printer.out.flush()?)
}

fn print_json(local: &Local, args: &TokenizeArgs) -> Outcome {
    let default = TokenizeRequest::default();
    let request =
        TokenizeRequest { text: args.text.read()?, pieces: args.pieces.unwrap_or(default.pieces), ..default };
    let response = local.block_on(local.service.tokenize(request))?;
    json::print(&mut stdout().lock(), response)
}

/// Prints ids, and ends a line where the text ends one.
struct Printer<'l, W> {
    local: &'l Local,
    out: W,
    /// The number of the line that is printed, from 1.
    line: usize,
    /// Whether it has no id yet.
    is_empty: bool,
}

impl<W: Write> Printer<'_, W> {
    /// The text goes on with `piece`.
    fn print(&mut self, piece: &str) -> Outcome {
        let tokenizer = self.local.service.catalog().default().tokenizer.clone();
        let encoding = tokenizer.encode(piece).map_err(|error| {
            let lines = piece.split_inclusive('\n').zip(self.line..);
            let refused = |(line, number)| Some((tokenizer.encode(line).err()?, number));
            let placed =
                lines.filter_map(refused).map(|(error, line)| error.within(format!("line {line}"))).next();
            placed.unwrap_or(error)
        })?;
        let ends = piece.chars().enumerate().filter(|&(_, c)| c == '\n').map(|(at, _)| at);
        let mut ends = ends.peekable();
        for (&token, span) in encoding.tokens.iter().zip(&encoding.spans) {
            // A token that spans two lines belongs to the second, except for a line end, which belongs to its own.
            let is_line_end = Some(token) == tokenizer.newline();
            let at = if is_line_end { span.start } else { span.end.saturating_sub(1) };
            while ends.next_if(|&end| end < at).is_some() {
                self.end_line()?;
            }
            let separator = if self.is_empty { "" } else { " " };
            write!(self.out, "{separator}{token}")?;
            self.is_empty = false;
        }
        Ok(ends.try_for_each(|_| self.end_line())?)
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line += 1;
        self.is_empty = true;
        writeln!(self.out)
    }
}
