//! Arguments that commands share: the model, and the text.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use crate::api::cache::Cache;

/// The variable that names the model folder.
pub(super) const MODEL: &str = "RNNLM_MODEL";

/// The model of a command that works on one.
#[derive(Args)]
pub(super) struct ModelArg {
    /// A model folder
    #[arg(long = "model", value_name = "DIR", env = MODEL, hide_env_values = true)]
    pub folder: PathBuf,
}

/// The cache of a command that computes probabilities.
#[derive(Args)]
pub(super) struct CacheArg {
    /// Mix in a continuous cache, such as `window=500,theta=0.6,lambda=0.15`; what is left out has its default
    #[arg(long, value_name = "OPTIONS", value_parser = cache)]
    pub cache: Option<Cache>,
}

fn cache(text: &str) -> Result<Cache, String> {
    let expected = "expected a list such as `window=500,theta=0.6,lambda=0.15`";
    let mut cache = Cache::default();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').ok_or(expected)?;
        let number = || value.parse().map_err(|_| format!("`{name}` is `{value}`; {expected}"));
        match name {
            "window" => {
                let whole = value.parse().map_err(|_| format!("`window` is `{value}`; {expected}"));
                cache.window = whole?;
            }
            "theta" => cache.theta = number()?,
            "lambda" => cache.lambda = number()?,
            _ => return Err(format!("`{name}` is not an option of a cache; {expected}")),
        }
    }
    Ok(cache)
}

/// The model of a command that works on one, or on several as a mixture.
#[derive(Args)]
pub(super) struct ModelsArg {
    /// A model folder
    #[arg(long = "model", value_name = "DIR", env = MODEL, hide_env_values = true, required_unless_present = "mixture")]
    pub folder: Option<PathBuf>,

    /// A model folder of a mixture and its weight, in place of `--model`; is given several times, and the weights sum to 1
    #[arg(long, value_name = "DIR=WEIGHT", value_parser = weighted)]
    pub mixture: Vec<Weighted>,
}

/// A model folder of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weighted {
    pub(super) folder: PathBuf,
    pub(super) weight: f64,
}

fn weighted(text: &str) -> Result<Weighted, String> {
    let expected = || "expected a model folder, `=` and a number".to_owned();
    let (folder, weight) = text.rsplit_once('=').ok_or_else(expected)?;
    Ok(Weighted { folder: folder.into(), weight: weight.parse().map_err(|_| expected())? })
}

/// Refuses a model `folder` beside an option that stands in its place; one that the environment gives is left alone.
pub(super) fn check_no_model(folder: Option<&PathBuf>, option: &str) -> Outcome {
    let of_environment = std::env::var_os(MODEL);
    match folder.filter(|folder| Some(folder.as_os_str()) != of_environment.as_deref()) {
        None => Ok(()),
        Some(_) => {
            let message = format!("`--model` is given beside `{option}`; at most one of them is accepted");
            Err(Failure::Usage(message))
        }
    }
}

/// A text to read.
#[derive(Args)]
pub(super) struct TextArg {
    /// A UTF-8 file, or `-` for stdin
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
}

impl TextArg {
    /// Opens the text.
    pub(super) fn open(&self) -> Outcome<Box<dyn BufRead>> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(stdin().lock()));
        }
        match File::open(&self.file) {
            Ok(file) => Ok(Box::new(BufReader::new(file))),
            Err(error) => Err(Failure::Failed(format!("`{}`: {error}", self.file.display()))),
        }
    }

    /// The whole text.
    pub(super) fn read(&self) -> Outcome<String> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::Failed(format!("the text is not UTF-8 at byte {at}; it must be UTF-8"))
        })
    }

    /// Its length in bytes, for a progress bar; `None` for stdin.
    pub(super) fn bytes(&self) -> Option<u64> {
        let found = std::fs::metadata(&self.file).ok()?;
        found.is_file().then_some(found.len())
    }
}

/// The line `number` of a text, counted from 1.
pub(super) fn utf8_line(line: Vec<u8>, number: usize) -> Outcome<String> {
    String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Failed(format!("line {number} is not UTF-8 at byte {at}; it must be UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_a_list_of_options_each_with_a_default() {
        let default = Cache::default();
        assert_eq!(cache("window=20,theta=1,lambda=0.5"), Ok(Cache { window: 20, theta: 1.0, lambda: 0.5 }));
        assert_eq!(cache("theta=0.25"), Ok(Cache { theta: 0.25, ..default.clone() }));
        assert_eq!(cache(""), Ok(default));
        for text in ["500", "window=-1", "window=x", "theta=", "size=3"] {
            assert!(cache(text).unwrap_err().contains("window=500,theta=0.6"), "{text}");
        }
    }
}
