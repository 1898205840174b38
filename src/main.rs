//! The program: runs the subcommand that the arguments name, and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rnnlm_server::cli::run(std::env::args_os())
}
