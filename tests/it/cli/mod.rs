//! The program, run as a child process: its options and its subcommands.

mod commands;
mod compress;
mod folders;
mod generate;
mod keys;
mod mixture;
mod options;
mod rescore;
mod suggest;
