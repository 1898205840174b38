//! `suggest`: whole words for the half-typed one at the end of a text.

use std::io::{Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::{CacheArg, ModelArg};
use super::json;
use super::local::Local;
use crate::api::prompt::Prompt;
use crate::api::state::Carried;
use crate::api::suggest::{Suggest, SuggestRequest};

#[derive(Args)]
pub(super) struct SuggestArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text so far, which may end within a word
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Number of suggestions
    #[arg(long, value_name = "N", default_value = "3")]
    pub top_k: usize,

    /// Number of words of each suggestion
    #[arg(long, value_name = "N", default_value = "1")]
    pub next_words: usize,

    /// Suggest only words that have the case of what is typed
    #[arg(long)]
    pub match_case: bool,

    #[command(flatten)]
    pub cache: CacheArg,

    /// Print the answer of `POST /v1/suggest`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &SuggestArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let request = SuggestRequest {
        prompt: Prompt { text: Some(args.text.clone()), ..Prompt::default() },
        suggest: Suggest {
            prefix: None,
            top_k: args.top_k,
            ignore_case: !args.match_case,
            next_words: args.next_words,
            extra_words: Vec::new(),
        },
        carried: Carried { cache: args.cache.cache.clone(), ..Carried::default() },
    };
    let response = local.block_on(local.service.suggest(request))?;
    let mut out = stdout().lock();
    if args.json {
        return json::print(&mut out, &response);
    }
    for suggestion in &response.suggested.suggestions {
        writeln!(out, "{}", suggestion.text)?;
    }
    Ok(())
}
