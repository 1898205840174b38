//! The program, run as a child process: its options and its subcommands.

mod cache;
mod commands;
mod compress;
mod folders;
mod generate;
#[cfg(feature = "onnx")]
mod inspect;
mod keys;
mod mixture;
mod models;
mod options;
mod rescore;
mod suggest;
mod tokens;
