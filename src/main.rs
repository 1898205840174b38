//! Arguments to subcommand to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rnnlm_server::cli::run(std::env::args_os())
}
