//! The command line: one file for each subcommand, with the type of its arguments and a `run`.
//!
//! Results go to stdout, everything else to stderr. The exit code is 0, 1 for a failure, or 64 for wrong usage or configuration.

mod allocator;
mod bench;
mod client;
mod compress;
mod detokenize;
mod explain;
mod failure;
mod generate;
mod healthcheck;
mod input;
mod inspect;
mod json;
mod local;
mod neighbors;
mod next;
mod open_files;
mod probe;
mod progress;
mod rescore;
mod score;
mod serve;
mod suggest;
mod tokenize;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config};
use failure::Outcome;

/// An inference server for recurrent neural language models
#[derive(Parser)]
#[command(
    name = "rnnlm-server",
    version,
    after_help = "Without a command, `serve` is run; `rnnlm-server serve --help` lists its options."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve models over HTTP (the default command)
    Serve(Box<Config>),
    /// Print the most likely next tokens after a text, with their probabilities
    Next(next::NextArgs),
    /// Continue a text, streaming the continuation to stdout
    Generate(Box<generate::GenerateArgs>),
    /// Print how likely a text is: log-probability, perplexity, bits per character
    Score(score::ScoreArgs),
    /// Rerank the hypotheses of a speech or text recogniser, and print them in their new order
    Rescore(rescore::RescoreArgs),
    /// Print whole words for the half-typed one at the end of a text
    Suggest(suggest::SuggestArgs),
    /// Print how much each token before a word contributes to its probability
    Explain(explain::ExplainArgs),
    /// Print the words that are nearest in the embedding
    Neighbors(neighbors::NeighborsArgs),
    /// Compress a file with the probabilities of a model
    Compress(compress::CompressArgs),
    /// Decompress what `compress` has written
    Decompress(compress::CompressArgs),
    /// Print the token ids of a text, one line for each line
    Tokenize(tokenize::TokenizeArgs),
    /// Print the text of token ids
    Detokenize(detokenize::DetokenizeArgs),
    /// Show how a model folder or file is interpreted
    Inspect(inspect::InspectArgs),
    /// Measure how long a step and a prompt take on this machine
    Bench(bench::BenchArgs),
    /// Check whether a running server is ready; exit with 0 if it is
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Try one file, within limits of memory and time: what another command runs as its child
    #[command(hide = true)]
    Probe(probe::ProbeArgs),
}

/// Runs the program whose arguments, its name first, are `args`.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(args.into_iter().collect()).and_then(Command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn parse(mut args: Vec<OsString>) -> Outcome<Command> {
    if !begins_with_command(&args) {
        args.insert(args.len().min(1), config::SUBCOMMAND.into());
    }
    let command = Cli::command().mut_subcommands(config::with_environment);
    let matches = config::parse(command, &args)?;
    Ok(Cli::from_arg_matches(&matches)?.command)
}

/// Whether the first argument is a command, or a request for help or version that clap answers.
fn begins_with_command(args: &[OsString]) -> bool {
    let asks = ["-h", "--help", "-V", "--version"];
    args.get(1)
        .is_some_and(|first| !first.to_string_lossy().starts_with('-') || asks.iter().any(|ask| first == ask))
}

impl Command {
    fn run(self) -> Outcome {
        match self {
            Self::Serve(config) => serve::run(config.checked()?),
            Self::Next(args) => next::run(&args),
            Self::Generate(args) => generate::run(&args),
            Self::Score(args) => score::run(&args),
            Self::Rescore(args) => rescore::run(&args),
            Self::Suggest(args) => suggest::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Neighbors(args) => neighbors::run(&args),
            Self::Compress(args) => compress::compress(&args),
            Self::Decompress(args) => compress::decompress(&args),
            Self::Tokenize(args) => tokenize::run(&args),
            Self::Detokenize(args) => detokenize::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Bench(args) => bench::run(&args),
            Self::Healthcheck(args) => healthcheck::run(&args),
            Self::Probe(args) => probe::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::failure::Failure;
    use super::*;

    fn parsed(args: &[&str]) -> Outcome<Command> {
        parse([&["rnnlm-server"], args].concat().iter().map(OsString::from).collect())
    }

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().mut_subcommands(config::with_environment).debug_assert();
    }

    #[test]
    fn no_command_serves() {
        for args in [&[][..], &["--max-batch", "4"], &["serve", "--max-batch", "4"]] {
            assert!(matches!(parsed(args), Ok(Command::Serve(_))), "{args:?}");
        }
        assert!(matches!(parsed(&["inspect", "folder"]), Ok(Command::Inspect(_))));
    }

    #[test]
    fn questions_are_answered_and_mistakes_take_one_line() {
        for args in [&["--help"][..], &["-V"], &["serve", "--help"], &["score", "-h"]] {
            assert!(matches!(parsed(args), Err(Failure::Shown(_))), "{args:?}");
        }
        for args in
            [&["--no-such"][..], &["sevre"], &["next"], &["next", "--model"], &["score", "--top-k", "a"]]
        {
            let Err(Failure::Usage(message)) = parsed(args) else { panic!("{args:?} is wrong usage") };
            assert!(!message.is_empty() && !message.contains('\n'), "{args:?}: {message}");
        }
    }

    #[test]
    fn every_option_of_every_command_has_a_variable_and_a_help_text() {
        for command in Cli::command().mut_subcommands(config::with_environment).get_subcommands() {
            for option in command.get_arguments() {
                let name = option.get_id();
                assert!(option.get_help().is_some(), "`{name}` of {} has no help", command.get_name());
                assert!(
                    option.is_positional() || option.get_env().is_some(),
                    "`--{name}` of {} has no variable",
                    command.get_name()
                );
            }
        }
    }
}
