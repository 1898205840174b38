//! The `--config` file: TOML, with one key for each option.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};

use super::config_error;
use crate::error::Result;

/// A configuration file whose values are kept as text; the options parse them.
pub(super) struct File {
    path: PathBuf,
    entries: Vec<(String, String)>,
}

/// A configuration file has about a page of text; a much larger file is the wrong one.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl File {
    /// Reads `path`.
    ///
    /// # Errors
    /// `Config`, naming the file and, if it is not valid TOML, the line.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable =
            |error: &dyn std::fmt::Display| config_error(format!("`--config {}`: {error}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(&format!("the file has {size} bytes; expected at most {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            unreadable(&format!("line {line}: {}", error.message()))
        })?;
        let entries = table
            .into_iter()
            .map(|(key, value)| {
                let text = as_text(&value).ok_or_else(|| {
                    let found = value.type_str();
                    unreadable(&format!(
                        "`{key}` is a {found}; expected a string, number, boolean or array of them"
                    ))
                })?;
                Ok((key, text))
            })
            .collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// Checks that every key is the long name of one of `command`'s options.
    ///
    /// # Errors
    /// `Config`, naming the first key that is not.
    pub(super) fn check_keys(&self, command: &Command) -> Result<()> {
        let known =
            |key: &str| key != "config" && command.get_arguments().any(|arg| arg.get_long() == Some(key));
        match self.entries.iter().find(|(key, _)| !known(key)) {
            None => Ok(()),
            Some((key, _)) => Err(config_error(format!(
                "`--config {}`: unknown key `{key}`; expected the long name of an option that `rnnlm-server serve --help` lists",
                self.path.display()
            ))),
        }
    }

    /// `command` with the file's values as its defaults.
    pub(super) fn as_defaults(&self, command: Command) -> Command {
        command.mut_args(|arg| {
            let Some((_, value)) = self.entries.iter().find(|(key, _)| arg.get_long() == Some(key)) else {
                return arg;
            };
            match arg.get_action() {
                // A list is written as on the command line; clap does not split default values itself.
                ArgAction::Append => {
                    let values: Vec<String> = value.split(',').map(str::to_owned).collect();
                    arg.default_values(values)
                }
                _ => arg.default_value(value.clone()),
            }
        })
    }
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(values) => {
            values.iter().map(as_text).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
