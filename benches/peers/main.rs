//! What `benches/peers/run.py` cannot do well in Python: measures this project, tract and the machine, serves a bare handler, and loads
//! servers over HTTP. Each command prints lines of JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::Value;

mod bare;
mod cases;
mod connection;
mod load;
mod machine;
mod ours;
mod runs;
mod tract;

/// Cargo passes `--bench` to every benchmark.
#[derive(Parser)]
#[command(about = "The parts of benches/peers/run.py that are not in Python")]
struct Args {
    #[arg(long, hide = true)]
    bench: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what one core of the machine can do
    Machine {
        #[arg(long)]
        seconds: f64,
    },
    /// Measure a model folder, run by this project, in each case that comes in as a line of JSON
    Ours(ours::OursArgs),
    /// The same for a network that benches/peers/networks.py has written, run by tract
    Tract(tract::TractArgs),
    /// Serve `answer` to every request of a next-token distribution; print the address, and run until stdin is closed
    Bare {
        #[arg(long)]
        answer: PathBuf,
    },
    /// Send the same request over and over on a number of connections
    Load(load::LoadArgs),
    /// Read one stream of tokens, and measure the time from token to token
    Stream {
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        tokens: usize,
    },
}

fn main() {
    let printed: Value = match Args::parse().command {
        Command::Machine { seconds } => machine::measure(Duration::from_secs_f64(seconds)),
        Command::Ours(args) => return ours::measure(&args).expect("a model folder and cases"),
        Command::Tract(args) => return tract::measure(&args).expect("a graph that tract runs, and cases"),
        Command::Bare { answer } => return bare::serve(&answer),
        Command::Load(args) => load::load(&args).expect("a server that answers"),
        Command::Stream { address, tokens } => load::stream(address, tokens).expect("a server that streams"),
    };
    println!("{printed}");
}
