//! What a child says on its standard output: one JSON value a line.

use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// What the child does next, such as a node that it runs.
    At(String),
    /// The file can be loaded.
    Passed,
    /// The file cannot be loaded, and why.
    Refused(String),
}

/// All that a child has said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// What it did last.
    pub(super) at: Option<String>,
    /// Whether the file can be loaded; `None` where the child ended before it knew.
    pub(super) verdict: Option<Said>,
}

/// Bounds what is kept of a line.
const LINE_BYTES_MAX: u64 = 1 << 16;

impl Heard {
    /// Reads `output` to its end, and skips what a child does not say.
    pub(super) fn of(mut output: impl BufRead) -> Self {
        let mut heard = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            match output.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return heard,
            }
            match serde_json::from_slice(&line) {
                Ok(Said::At(at)) => heard.at = Some(at),
                Ok(verdict) => heard.verdict = Some(verdict),
                Err(_) => {}
            }
        }
    }
}
