//! `--json`: the answer of the route with the same name, by the same types.

use std::io::Write;

use serde::Serialize;

use super::failure::{Failure, Outcome};

/// Prints `answer` on one line.
pub(super) fn print(out: &mut impl Write, answer: impl Serialize) -> Outcome {
    serde_json::to_writer(&mut *out, &answer).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    Ok(writeln!(out)?)
}
