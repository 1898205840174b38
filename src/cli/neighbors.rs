//! `neighbors`: the words that are nearest in a model's embedding.

use std::io::{Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::ModelArg;
use super::json;
use super::local::Local;
use crate::api::neighbors::NeighborsRequest;
use crate::api::prompt::Word;

#[derive(Args)]
pub(super) struct NeighborsArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The words whose directions are added
    #[arg(value_name = "WORD")]
    pub positive: Vec<String>,

    /// A word whose direction is subtracted; may be given several times
    #[arg(long, value_name = "WORD")]
    pub negative: Vec<String>,

    /// Number of neighbours to list
    #[arg(long, value_name = "N", default_value = "10")]
    pub top_k: usize,

    /// Print the answer of `POST /v1/neighbors`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &NeighborsArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let words = |words: &[String]| words.iter().cloned().map(Word::Text).collect();
    let request = NeighborsRequest {
        positive: words(&args.positive),
        negative: words(&args.negative),
        top_k: Some(args.top_k),
        ..NeighborsRequest::default()
    };
    let response = local.block_on(local.service.neighbors(request))?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, &response);
    }
    for neighbor in &response.neighbors {
        writeln!(out, "{:.4}  {}", neighbor.similarity, neighbor.token.token.escape_debug())?;
    }
    Ok(())
}
