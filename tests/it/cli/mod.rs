//! The program, run as a child process: its options and its subcommands.

mod commands;
mod folders;
mod options;
mod rescore;
