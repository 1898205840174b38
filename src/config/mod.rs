//! The configuration: one validated [`Config`], which holds every option and every limit of the service.
//!
//! An option is declared once, as a field, with its name, help text, default, unit and range. Its environment variable and its
//! key in the `--config` file follow from the name: `--session-ttl` is `RNNLM_SESSION_TTL` and `session-ttl`.
//! The command line takes precedence over the environment, the environment over the file, and the file over the default.
//! The file's values are given to clap as defaults, so that each option has one parser and one error message.
//!
//! This module knows what the options are, and must not know how they are used.

mod engine;
mod file;
mod http;
mod keys;
mod limits;
mod loading;
mod memory;
mod observing;
mod sessions;
mod shares;
mod table;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

pub use engine::{EngineOptions, FoldEmbedding, Kernel};
pub use http::{HttpOptions, Interface};
pub use keys::KeyOptions;
pub use limits::Limits;
pub use loading::LoadingOptions;
pub use observing::ObservingOptions;
pub use sessions::{Evict, RedisUrl, SessionOptions, SessionStore};
pub use table::markdown_table;
pub use values::{Bytes, ENTRIES_MAX, duration, weights_type};

use crate::error::{Error, ErrorKind, Result};
use crate::lm::{LoadOptions, WeightsType};
use crate::probe::{Loading, Probe};

/// The name of the subcommand that takes these options.
pub const SUBCOMMAND: &str = "serve";

/// The cargo features that this program was built with.
pub const FEATURES: &[&str] = &[
    #[cfg(feature = "onnx")]
    "onnx",
    #[cfg(feature = "otel")]
    "otel",
    #[cfg(feature = "tract")]
    "tract",
];

/// The resolved configuration. Its values have been checked, so that no caller has to check them again.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// A TOML file that sets any of these options by their long names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A model folder, or a folder that contains model folders
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub models: PathBuf,

    /// The model of requests that name none; by default `classics` if it exists, otherwise the first by name
    #[arg(long, value_name = "NAME")]
    pub default_model: Option<String>,

    /// Fail if any model cannot be loaded, instead of reporting it and serving the others
    #[arg(long)]
    pub strict: bool,

    /// The type that weights are held in; by default the one in the manifest, or else `as-stored`
    #[arg(long, value_name = "TYPE", value_parser = weights_type())]
    pub weights: Option<WeightsType>,

    /// This program, which tries hostile files in a child process; `None` loads every file at once. Set by whoever knows, not by an
    /// option.
    #[arg(skip)]
    pub program: Option<PathBuf>,

    /// The address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The format of the log, which is written to stderr; `RUST_LOG` filters it
    #[arg(long, value_name = "FORMAT", default_value = "pretty")]
    pub log: LogFormat,

    /// Maximum bytes of log lines that wait to be written; beyond it, lines are dropped and counted in `rnnlm_log_lines_dropped_total`
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = values::bytes)]
    pub log_buffer: Bytes,

    /// Maximum bytes of memory of the whole service, models and sessions included; `auto` is three quarters of what the control group or the machine allows
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = memory::memory)]
    pub memory_max: Bytes,

    /// The scheduler and its threads.
    #[command(flatten)]
    pub engine: EngineOptions,

    /// How large files may be, and what tries them.
    #[command(flatten)]
    pub load: LoadingOptions,

    /// The table of sessions.
    #[command(flatten)]
    pub sessions: SessionOptions,

    /// Who may use the server, and how much.
    #[command(flatten)]
    pub keys: KeyOptions,

    /// The limits of one request.
    #[command(flatten)]
    pub limits: Limits,

    /// Connections and request bodies.
    #[command(flatten)]
    pub http: HttpOptions,

    /// Traces, and requests that are slow.
    #[command(flatten)]
    pub observing: ObservingOptions,
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
    /// The configuration of a process without options of its own, such as `rnnlm-server score`: what the environment and the
    /// file set, and otherwise the defaults.
    pub fn from_environment() -> Result<Self> {
        Self::from_args(&[])
    }

    /// The configuration that `rnnlm-server serve` would have with the arguments `args`.
    pub fn from_args(args: &[&str]) -> Result<Self> {
        let args: Vec<OsString> =
            ["rnnlm-server", SUBCOMMAND].iter().chain(args).map(OsString::from).collect();
        let matches = parse(serve_command(), &args).map_err(Error::from)?;
        Self::from_serve(&matches)
    }

    /// The same, with a probe that is a child process of this program.
    ///
    /// # Errors
    /// `Config` if the system does not say which program this is.
    pub fn probed(mut self) -> Result<Self> {
        let program = std::env::current_exe();
        self.program =
            Some(program.map_err(|error| config_error(format!("cannot find this program: {error}")))?);
        Ok(self)
    }

    /// How files are loaded, with models of the native engine held as `native` says.
    pub fn loading(&self, native: LoadOptions) -> Loading {
        let LoadingOptions { max_weights, onnx_probe_memory, onnx_probe_timeout } = self.load;
        let probe = self.program.clone().map(|program| Probe {
            program,
            memory_max: onnx_probe_memory.0 as u64,
            timeout: onnx_probe_timeout,
        });
        Loading { native, probe, weights_bytes_max: max_weights.0 as u64 }
    }

    fn from_serve(matches: &ArgMatches) -> Result<Self> {
        let matches =
            matches.subcommand_matches(SUBCOMMAND).expect("`serve` is the only subcommand of this command");
        Self::from_arg_matches(matches).map_err(Unparsed::Clap)?.checked()
    }

    /// Gives the options that are `auto` their values, and checks those that depend on one another.
    ///
    /// # Errors
    /// `Config`, naming the two options that contradict each other.
    pub fn checked(mut self) -> Result<Self> {
        shares::settle(&mut self);
        let engine = &self.engine;
        let limits = &self.limits;
        let largest_prompt = limits.max_prompt_tokens * size_of::<crate::lm::TokenId>();
        if engine.queue_bytes_max.0 < largest_prompt {
            return Err(config_error(format!(
                "`--queue-bytes-max` is {}, too small for one prompt of {} tokens (`--max-prompt-tokens`); expected at least {}",
                engine.queue_bytes_max,
                limits.max_prompt_tokens,
                Bytes(largest_prompt),
            )));
        }
        if self.sessions.sessions_max_bytes >= self.memory_max {
            return Err(config_error(format!(
                "`--sessions-max-bytes` is {}; expected less than `--memory-max`, which is {}",
                self.sessions.sessions_max_bytes, self.memory_max
            )));
        }
        if engine.turn_steps > engine.turn_steps_idle {
            return Err(config_error(format!(
                "`--turn-steps` is {}; expected at most `--turn-steps-idle`, which is {}",
                engine.turn_steps, engine.turn_steps_idle
            )));
        }
        if limits.max_answer > self.http.answers_max_bytes {
            return Err(config_error(format!(
                "`--max-answer` is {}; expected at most `--answers-max-bytes`, which is {}",
                limits.max_answer, self.http.answers_max_bytes
            )));
        }
        if limits.max_text.0 > self.http.max_body.0 {
            return Err(config_error(format!(
                "`--max-text` is {}; expected at most `--max-body`, which is {}",
                limits.max_text, self.http.max_body
            )));
        }
        if let Some(option) = self.keys.bound().filter(|_| self.keys.api_keys.is_none()) {
            return Err(config_error(format!(
                "`{option}` is given without `--api-keys`; it bounds what a key may use"
            )));
        }
        if let Some((option, feature)) = self.observing.unbuilt(FEATURES) {
            return Err(config_error(format!(
                "`{option}` is given, but this program was built without the cargo feature `{feature}`; expected a build with `--features {feature}`"
            )));
        }
        if self.keys.key_requests_burst.is_some() && self.keys.key_requests_per_second.is_none() {
            return Err(config_error(
                "`--key-requests-burst` is given without `--key-requests-per-second`; both are required"
                    .to_owned(),
            ));
        }
        Ok(self)
    }
}

impl Default for Config {
    /// The defaults of the help text; the environment is ignored.
    fn default() -> Self {
        let matches = serve_command()
            .mut_subcommand(SUBCOMMAND, |serve| {
                serve.mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
            })
            .try_get_matches_from(["rnnlm-server", SUBCOMMAND]);
        matches
            .map_err(|error| Error::from(Unparsed::Clap(error)))
            .and_then(|matches| Self::from_serve(&matches))
            .expect("every default is valid; one that is not is a bug in the declaration of its option")
    }
}

/// Why the arguments could not be parsed.
#[derive(Debug)]
pub enum Unparsed {
    /// Clap's error; a request for help or for the version is one of its kinds.
    Clap(clap::Error),
    /// The configuration file is wrong.
    File(Error),
}

impl From<Unparsed> for Error {
    fn from(unparsed: Unparsed) -> Self {
        match unparsed {
            Unparsed::Clap(error) => config_error(one_line(&error)),
            Unparsed::File(error) => error,
        }
    }
}

/// Parses `args` with `command`. If they name a `--config` file for the subcommand `serve`, its values replace the defaults.
pub fn parse(command: Command, args: &[OsString]) -> Result<ArgMatches, Unparsed> {
    let matches = command.clone().try_get_matches_from(args).map_err(Unparsed::Clap)?;
    let path = matches.subcommand_matches(SUBCOMMAND).and_then(|serve| serve.get_one::<PathBuf>("config"));
    let Some(path) = path else { return Ok(matches) };
    let file = file::File::read(path).map_err(Unparsed::File)?;
    file.check_keys(command.find_subcommand(SUBCOMMAND).expect("the arguments matched this subcommand"))
        .map_err(Unparsed::File)?;
    // The first parse accepted the arguments, so an error of the second can only come from the file.
    command
        .mut_subcommand(SUBCOMMAND, |serve| file.as_defaults(serve))
        .try_get_matches_from(args)
        .map_err(|error| Unparsed::File(config_error(one_line(&error)).within(path.display())))
}

/// Gives every option of the subcommand its environment variable. Those of `serve` have the prefix `RNNLM_`; those of other
/// subcommands contain the subcommand's name too, because `generate --max-tokens` is a request and `serve --max-tokens` a limit.
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

/// The first paragraph of clap's message, on one line.
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
    let serve = command.find_subcommand(SUBCOMMAND).expect("`serve` is a subcommand of this command");
    serve.get_arguments().filter(|arg| arg.get_long().is_some()).cloned().collect()
}

fn config_error(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
