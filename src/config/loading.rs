//! The options of loading: how large files may be, and the child process that tries them first.

use std::time::Duration;

use clap::Args;

use super::shares::bytes_or_auto;
use super::values::{Bytes, bytes, duration};

/// The limits of a model's files.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Loading models")]
pub struct LoadingOptions {
    /// Maximum bytes of a file of weights; a larger one is refused
    #[arg(long, value_name = "BYTES", default_value = "8GiB", value_parser = bytes)]
    pub max_weights: Bytes,

    /// Maximum memory of the child process that tries a model's files first: an ONNX file that tract is to run, a `tokenizer.json`; a file that needs more is refused; `auto` is 2GiB, or `--memory-max` if that is less
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub onnx_probe_memory: Bytes,

    /// Maximum time that the child process takes to try one file; a file that needs longer is refused
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub onnx_probe_timeout: Duration,
}
