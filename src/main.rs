//! Arguments to subcommand to exit code.

fn main() {}
