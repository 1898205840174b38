//! `probe`: tries one file, as the child of a command that would not survive what the file may do.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure::Outcome;
use crate::catalog::try_tokenizer;
use crate::kernels::Kernel;
use crate::onnx;
use crate::probe::{Confinement, answer, confine};

#[derive(Args)]
pub(super) struct ProbeArgs {
    /// What the file is
    #[arg(value_enum)]
    pub kind: Kind,

    /// The file
    #[arg(value_name = "FILE")]
    pub path: PathBuf,

    /// Maximum bytes of address space
    #[arg(long, value_name = "BYTES")]
    pub memory_max: u64,

    /// Maximum seconds of processor time
    #[arg(long, value_name = "N")]
    pub cpu_seconds_max: u64,
}

/// The files that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// An ONNX file; the standard input has what its manifest says of it.
    Graph,
    /// A `tokenizer.json`.
    Tokenizer,
}

/// Answers on stdout, in the form that [`crate::probe`] reads.
pub(super) fn run(args: &ProbeArgs) -> Outcome {
    let &ProbeArgs { kind, ref path, memory_max, cpu_seconds_max } = args;
    let mut input = Vec::new();
    stdin().read_to_end(&mut input)?;
    confine(Confinement { memory_max, cpu_seconds_max })?;
    let tried = match kind {
        Kind::Graph => Kernel::choose(None).and_then(|kernel| onnx::try_file(path, &input, kernel)),
        Kind::Tokenizer => try_tokenizer(path),
    };
    answer(tried);
    Ok(())
}
