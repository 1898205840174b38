//! The `--config` file: TOML, one key an option.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Command};

use super::wrong;
use crate::error::Result;

/// A configuration file as text values; what they mean is the options' affair.
pub(super) struct File {
    path: PathBuf,
    entries: Vec<(String, String)>,
}

/// A configuration file is a page; anything far larger is the wrong file.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl File {
    /// Reads `path`. Fails with its name and, for bad TOML, the line.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable =
            |error: &dyn std::fmt::Display| wrong(format!("`--config {}`: {error}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(&format!("{size} bytes; expected at most {FILE_BYTES_MAX}")));
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
                    unreadable(&format!("`{key}` is a {}; expected a value", value.type_str()))
                })?;
                Ok((key, text))
            })
            .collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// Fails on a key that is not the long name of one of `command`'s options.
    pub(super) fn check_keys(&self, command: &Command) -> Result<()> {
        let known =
            |key: &str| key != "config" && command.get_arguments().any(|arg| arg.get_long() == Some(key));
        match self.entries.iter().find(|(key, _)| !known(key)) {
            None => Ok(()),
            Some((key, _)) => Err(wrong(format!(
                "`--config {}`: unknown key `{key}`; expected the long name of an option of `rnnlm-server serve --help`",
                self.path.display()
            ))),
        }
    }

    /// The same command, the file's values in place of the defaults.
    pub(super) fn as_defaults(&self, command: Command) -> Command {
        command.mut_args(|arg| {
            let Some((_, value)) = self.entries.iter().find(|(key, _)| arg.get_long() == Some(key)) else {
                return arg;
            };
            match arg.get_action() {
                // A list as it is written on the command line: the default is not split by clap.
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
