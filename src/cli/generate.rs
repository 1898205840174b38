//! `generate`: continues a text.

use std::io::{IsTerminal, Write, stderr, stdout};

use clap::Args;

use super::failure::{Failure, Outcome};
use super::input::{CacheArg, ModelArg};
use super::json;
use super::local::Local;
use crate::api::generate::{Beam, GenerateRequest};
use crate::api::prompt::{Prompt, Strings, Word};
use crate::api::sampling::{LogitBias, Sampling};
use crate::api::state::Carried;
use crate::api::stream::StreamEvent;
use crate::service::Generating;

#[derive(Args)]
pub(super) struct GenerateArgs {
    #[command(flatten)]
    pub model: ModelArg,

    /// The text to continue; without one, the start of the model
    #[arg(value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub text: String,

    /// Maximum number of tokens to generate
    #[arg(long, value_name = "N", default_value = "64")]
    pub max_tokens: usize,

    /// Temperature of the draws; 0 always draws the most likely token
    #[arg(long, value_name = "T", default_value = "1.0", allow_negative_numbers = true)]
    pub temperature: f64,

    /// Draw only from the N most likely tokens
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,

    /// Draw only from the smallest set of most likely tokens with probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,

    /// Draw only from tokens at least P times as probable as the most likely one
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,

    /// Draw only from the most typical tokens, as few as have probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub typical_p: Option<f64>,

    /// Divide the positive logits of tokens that occurred by X, and multiply negative ones
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f64>,

    /// Subtract X from the logit of each token that occurred
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub presence_penalty: Option<f64>,

    /// Subtract X from the logit of a token for each time that it occurred
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f64>,

    /// Add X to the logit of the token with this id; can be given several times
    #[arg(long, value_name = "ID=X", value_parser = bias)]
    pub logit_bias: Vec<Bias>,

    /// Never draw this word; can be given several times
    #[arg(long, value_name = "WORD")]
    pub ban: Vec<String>,

    /// Number of continuations
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub n: usize,

    /// Search for the most likely continuation, keeping N hypotheses, instead of drawing one
    #[arg(long, value_name = "N")]
    pub beam: Option<usize>,

    /// Divide the log-probability of a hypothesis by its length to the power X
    #[arg(long, value_name = "X", default_value = "1.0", requires = "beam", allow_negative_numbers = true)]
    pub length_penalty: f64,

    /// Seed of the draws, 0 to 2^53 - 1; without one, a seed is chosen and printed to stderr
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,

    /// End the text before this string; can be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Allow the unknown token to be drawn
    #[arg(long)]
    pub allow_unknown: bool,

    /// Print the text that was given, too
    #[arg(long)]
    pub echo: bool,

    /// End the text at the end-of-text token (true), or do not (false); without it, the model decides
    #[arg(long, value_name = "BOOL")]
    pub stop_at_eos: Option<bool>,

    /// List each token with its log-probability in the JSON
    #[arg(long, requires = "json")]
    pub token_logprobs: bool,

    /// Number of most likely tokens to list with each token in the JSON
    #[arg(long, value_name = "N", default_value = "0", requires = "json")]
    pub top_logprobs: usize,

    /// End the generation after this many milliseconds
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<u64>,

    #[command(flatten)]
    pub cache: CacheArg,

    /// Print the answer of `POST /v1/generate` instead of streaming the text
    #[arg(long)]
    pub json: bool,
}

/// What is added to the logit of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bias {
    token: u32,
    amount: f64,
}

fn bias(text: &str) -> Result<Bias, String> {
    let expected = || "expected a token id, `=` and a number".to_owned();
    let (token, amount) = text.split_once('=').ok_or_else(expected)?;
    Ok(Bias {
        token: token.parse().map_err(|_| expected())?,
        amount: amount.parse().map_err(|_| expected())?,
    })
}

pub(super) fn run(args: &GenerateArgs) -> Outcome {
    let local = Local::open(&args.model)?;
    local.block_on(async {
        let generating = local.service.generate(request(args)).await?;
        match (args.json, args.n) {
            (true, _) => json::print(&mut stdout().lock(), generating.whole().await?),
            (false, 1) => stream(generating, args).await,
            (false, _) => print_choices(generating, args).await,
        }
    })
}

fn request(args: &GenerateArgs) -> GenerateRequest {
    let default = Sampling::default();
    GenerateRequest {
        prompt: Prompt { text: Some(args.text.clone()), ..Prompt::default() },
        sampling: Sampling {
            temperature: args.temperature,
            top_k: args.top_k.map(|kept| i64::try_from(kept).unwrap_or(i64::MAX)),
            top_p: args.top_p.unwrap_or(default.top_p),
            min_p: args.min_p.unwrap_or(default.min_p),
            typical_p: args.typical_p.unwrap_or(default.typical_p),
            repetition_penalty: args.repetition_penalty.unwrap_or(default.repetition_penalty),
            presence_penalty: args.presence_penalty.unwrap_or(default.presence_penalty),
            frequency_penalty: args.frequency_penalty.unwrap_or(default.frequency_penalty),
            logit_bias: LogitBias(args.logit_bias.iter().map(|bias| (bias.token, bias.amount)).collect()),
            banned: args.ban.iter().cloned().map(Word::Text).collect(),
            allow_unknown: args.allow_unknown,
        },
        n: Some(args.n),
        beam: args.beam.map(|width| Beam { width, length_penalty: args.length_penalty }),
        echo: args.echo,
        stop_at_eos: args.stop_at_eos,
        token_logprobs: args.token_logprobs,
        top_logprobs: args.top_logprobs,
        timeout_ms: args.timeout_ms,
        max_tokens: Some(args.max_tokens),
        seed: args.seed,
        stop: Strings::Many(args.stop.clone()),
        carried: Carried { cache: args.cache.cache.clone(), ..Carried::default() },
        ..GenerateRequest::default()
    }
}

/// Prints each piece of text as it comes. Whoever closes the output ends the generation.
async fn stream(generating: Generating, args: &GenerateArgs) -> Outcome {
    let mut events = generating.events().await?;
    let mut out = stdout().lock();
    while let Some(event) = events.next().await {
        match event {
            StreamEvent::Start(start) => {
                print_seed(start.seed, args)?;
                write!(out, "{}", start.text.unwrap_or_default())?;
            }
            StreamEvent::Token(token) => write!(out, "{}", token.token.token.text)?,
            StreamEvent::Done(done) => {
                done.choices.iter().try_for_each(|choice| write!(out, "{}", choice.text))?;
            }
            StreamEvent::Error(failed) => return Err(Failure::Failed(failed.error.message)),
        }
        out.flush()?;
    }
    // A file gets the text and nothing else; a shell's prompt wants a line of its own.
    if out.is_terminal() {
        writeln!(out)?;
    }
    Ok(())
}

/// Says with which seed the text can be repeated. A text that was not drawn needs none.
fn print_seed(seed: u64, args: &GenerateArgs) -> Outcome {
    if args.seed.is_none() && args.temperature != 0.0 && args.beam.is_none() {
        writeln!(stderr(), "seed {seed}")?;
    }
    Ok(())
}

/// Prints several texts when all of them are known, with a line between two of them.
async fn print_choices(generating: Generating, args: &GenerateArgs) -> Outcome {
    let response = generating.whole().await?;
    print_seed(response.seed, args)?;
    let texts: Vec<String> = response.choices.into_iter().map(|choice| choice.text).collect();
    Ok(writeln!(stdout().lock(), "{}", texts.join("\n---\n"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_is_an_id_and_a_number() {
        assert_eq!(bias("7=-1.5"), Ok(Bias { token: 7, amount: -1.5 }));
        for text in ["7", "=1", "sea=1", "7=x", "-1=2"] {
            assert_eq!(bias(text), Err("expected a token id, `=` and a number".to_owned()), "{text}");
        }
    }
}
