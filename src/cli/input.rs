//! Arguments that commands share: the model, and the text.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};

/// The model of a command that works on one.
#[derive(Args)]
pub(super) struct ModelArg {
    /// A model folder
    #[arg(long = "model", value_name = "DIR", env = "RNNLM_MODEL", hide_env_values = true)]
    pub folder: PathBuf,
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
