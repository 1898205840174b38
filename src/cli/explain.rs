//! `explain`: on which of the tokens before it the probability of a token depends.

use std::fmt;
use std::io::{Write, stdout};

use clap::Args;

use super::failure::Outcome;
use super::input::ModelArg;
use super::json;
use super::local::Local;
use crate::api::explain::{ExplainQuery, ExplainRequest, ExplainResponse};
use crate::api::prompt::{Prompt, Word};

#[derive(Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text before the token
    #[arg(value_name = "TEXT")]
    pub text: String,

    /// The word whose log-probability is explained; by default the most likely one
    #[arg(long, value_name = "WORD")]
    pub target: Option<String>,

    /// List the values of the gates too, with `--json`
    #[arg(long, requires = "json")]
    pub gates: bool,

    /// Print the answer of `POST /v1/explain`
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    let request = ExplainRequest {
        prompt: Prompt { text: Some(args.text.clone()), ..Prompt::default() },
        target: args.target.clone().map(Word::Text),
    };
    let explained = local.block_on(local.service.explain(request, ExplainQuery { gates: args.gates }))?;
    let mut out = stdout().lock();
    match args.json {
        true => json::print(&mut out, &explained.response),
        false => Ok(write!(out, "{}", Table(&explained.response))?),
    }
}

/// The answer for people: a line for each token, with norms over all layers as multiples of those at the last token.
struct Table<'a>(&'a ExplainResponse);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExplainResponse { target, tokens, gradient_by_lag: lags, .. } = self.0;
        writeln!(f, "  saliency       |input|       |h|       |c|  token")?;
        let at = |norms: &[Option<f64>], lag: usize| match norms.get(lag).copied().flatten() {
            Some(norm) => format!("{norm:.2e}"),
            None => "-".to_owned(),
        };
        for (index, token) in tokens.iter().enumerate() {
            let lag = tokens.len() - 1 - index;
            let c = lags.c.as_deref().unwrap_or_default();
            writeln!(
                f,
                "{:>+10.4}  {:>12.4}  {:>8}  {:>8}  {}",
                token.saliency,
                token.gradient_norm.input,
                at(&lags.h, lag),
                at(c, lag),
                token.token.token.token.escape_debug(),
            )?;
        }
        let word = target.token.token.escape_debug();
        writeln!(f, "\nln P({word}) = {:.4}, rank {}", target.logprob, target.rank)
    }
}
