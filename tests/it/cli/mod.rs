//! The program from outside: its options and its subcommands.

mod commands;
mod folders;
mod options;
