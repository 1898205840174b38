//! Everything that can be set: one validated [`Config`], and every limit of the service in it.
//!
//! An option is declared once, as a field: its name, help, default, unit and range. The environment variable
//! follows from the name (`--session-ttl` is `RNNLM_SESSION_TTL`), and so does the key in the `--config` file
//! (`session-ttl`). The command line wins over the environment, that over the file, that over the default.
//! The file is handed to clap as a set of defaults, so that there is one parser and one message per option.
//!
//! This module knows what the options are; it must not know what is done with them.

mod engine;
mod file;
mod http;
mod limits;
mod sessions;
mod table;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

pub use engine::{EngineOptions, Kernel};
pub use http::HttpOptions;
pub use limits::Limits;
pub use sessions::{Evict, SessionOptions};
pub use table::markdown_table;
pub use values::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// The name of the subcommand that takes these options.
pub const SUBCOMMAND: &str = "serve";

/// The resolved configuration. Whoever holds one need not check it again.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// A TOML file with any of these options, by their long names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A model folder, or a folder of model folders
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub models: PathBuf,

    /// The model of requests that name none; by default `classics` if it is there, else the first by name
    #[arg(long, value_name = "NAME")]
    pub default_model: Option<String>,

    /// Fail when one model cannot be loaded, instead of reporting it and serving the others
    #[arg(long)]
    pub strict: bool,

    /// The address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The format of the log, which goes to stderr; `RUST_LOG` filters it
    #[arg(long, value_name = "FORMAT", default_value = "pretty")]
    pub log: LogFormat,

    /// The scheduler and its threads.
    #[command(flatten)]
    pub engine: EngineOptions,

    /// The table of sessions.
    #[command(flatten)]
    pub sessions: SessionOptions,

    /// What one request may ask for.
    #[command(flatten)]
    pub limits: Limits,

    /// Connections and bodies.
    #[command(flatten)]
    pub http: HttpOptions,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The configuration of a process that has no options of its own, such as `rnnlm-server score`:
    /// environment and file, else the defaults.
    pub fn from_environment() -> Result<Self> {
        Self::from_args(&[])
    }

    /// The configuration that `serve args...` would run with.
    pub fn from_args(args: &[&str]) -> Result<Self> {
        let args: Vec<OsString> =
            ["rnnlm-server", SUBCOMMAND].iter().chain(args).map(OsString::from).collect();
        let matches = parse(serve_command(), &args).map_err(Error::from)?;
        Self::from_serve(&matches)
    }

    fn from_serve(matches: &ArgMatches) -> Result<Self> {
        let matches = matches.subcommand_matches(SUBCOMMAND).expect("it is the only subcommand there is");
        Self::from_arg_matches(matches).map_err(Unparsed::Clap)?.checked()
    }

    /// The same configuration, if its options agree: what no option can know alone.
    pub fn checked(self) -> Result<Self> {
        let (engine, limits) = (&self.engine, &self.limits);
        let largest_prompt = limits.max_prompt_tokens * size_of::<crate::lm::TokenId>();
        if engine.queue_bytes_max.0 < largest_prompt {
            return Err(wrong(format!(
                "`--queue-bytes-max` is {}, too little for one prompt of `--max-prompt-tokens` {}; expected at least {}",
                engine.queue_bytes_max,
                limits.max_prompt_tokens,
                Bytes(largest_prompt),
            )));
        }
        if engine.turn_steps > engine.turn_steps_idle {
            return Err(wrong(format!(
                "`--turn-steps` is {}; expected at most `--turn-steps-idle`, which is {}",
                engine.turn_steps, engine.turn_steps_idle
            )));
        }
        if limits.max_text.0 > self.http.max_body.0 {
            return Err(wrong(format!(
                "`--max-text` is {}; expected at most `--max-body`, which is {}",
                limits.max_text, self.http.max_body
            )));
        }
        Ok(self)
    }
}

impl Default for Config {
    /// The defaults of the help text, whatever the environment says.
    fn default() -> Self {
        let matches = serve_command()
            .mut_subcommand(SUBCOMMAND, |serve| {
                serve.mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
            })
            .try_get_matches_from(["rnnlm-server", SUBCOMMAND]);
        matches
            .map_err(|error| Error::from(Unparsed::Clap(error)))
            .and_then(|matches| Self::from_serve(&matches))
            .expect("every default is valid: anything else is a bug in the declaration of an option")
    }
}

/// Why arguments could not be read.
#[derive(Debug)]
pub enum Unparsed {
    /// What clap says; help and version requests are among it.
    Clap(clap::Error),
    /// The configuration file.
    File(Error),
}

impl From<Unparsed> for Error {
    fn from(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => wrong(one_line(&error)),
            Unparsed::File(error) => error,
        }
    }
}

/// Parses `args` with `command`, which may have a `serve` subcommand; its `--config` file becomes its defaults.
pub fn parse(command: Command, args: &[OsString]) -> Result<ArgMatches, Unparsed> {
    let matches = command.clone().try_get_matches_from(args).map_err(Unparsed::Clap)?;
    let path = matches.subcommand_matches(SUBCOMMAND).and_then(|serve| serve.get_one::<PathBuf>("config"));
    let Some(path) = path else { return Ok(matches) };
    let file = file::File::read(path).map_err(Unparsed::File)?;
    file.check_keys(command.find_subcommand(SUBCOMMAND).expect("it has matched")).map_err(Unparsed::File)?;
    // What the first parse accepted, this one accepts too: an error can only be about the file.
    command
        .mut_subcommand(SUBCOMMAND, |serve| file.as_defaults(serve))
        .try_get_matches_from(args)
        .map_err(|error| Unparsed::File(wrong(one_line(&error)).within(path.display())))
}

/// Gives every option of the subcommand its environment variable. Those of `serve` stand for the service; others carry the
/// subcommand's name, because `generate --max-tokens` asks for what `serve --max-tokens` limits.
pub fn with_environment(subcommand: Command) -> Command {
    let prefix = match subcommand.get_name() {
        SUBCOMMAND => "RNNLM".to_owned(),
        name => format!("RNNLM_{}", name.to_uppercase()),
    };
    subcommand.mut_args(|arg| match arg.get_long() {
        Some(long) if arg.get_env().is_none() => {
            let name = format!("{prefix}_{}", long.to_uppercase().replace('-', "_"));
            arg.env(name).hide_env_values(true)
        }
        _ => arg,
    })
}

/// Clap's message on one line: its first paragraph.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ").replace('\'', "`")
}

fn serve_command() -> Command {
    let serve = with_environment(Config::augment_args(Command::new(SUBCOMMAND)));
    Command::new("rnnlm-server").subcommand(serve)
}

fn options() -> Vec<Arg> {
    let command = serve_command();
    let serve = command.find_subcommand(SUBCOMMAND).expect("it was just added");
    serve.get_arguments().filter(|arg| arg.get_long().is_some()).cloned().collect()
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
