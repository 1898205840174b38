//! `rescore`: the n-best lists of a recogniser, ranked again with a language model.

mod lines;
mod nbest;
mod objects;

use std::io::{BufWriter, Write, stdout};

use clap::Args;
use futures_util::{StreamExt, stream};

use super::failure::{Failure, Outcome};
use super::input::{ModelsArg, TextArg};
use super::json;
use super::local::Local;
use super::progress::Progress;
use crate::api::rescore::{Carry, LogBase, RescoredUtterance, Rescoring};
use crate::api::unknown::Unknown;
use crate::service::{Rescorer, RescoringPlan};
use nbest::{Columns, Format, Nbest, Reader};

#[derive(Args)]
pub(super) struct RescoreArgs {
    #[command(flatten)]
    pub models: ModelsArg,

    #[command(flatten)]
    pub text: TextArg,

    /// What the file has: `ndjson` (an utterance of `POST /v1/rescore` a line), `kaldi` (lines `UTT-N [SCORES] WORDS`), `mikolov`
    /// (lines `UTT [SCORES] WORDS`), `sherpa` (JSON with `hypotheses`) or `vosk` (JSON with `alternatives`); `auto` looks at the file
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: Format,

    /// Number of score columns between the name and the words: 0, 1 (the score) or 2 (the score and that of the recogniser's language
    /// model); `auto` counts the numbers with a sign or a decimal point that the first line has there
    #[arg(long, value_name = "N", default_value = "auto")]
    pub scores: Columns,

    /// Weight of the language model
    #[arg(long, value_name = "X", default_value_t = Rescoring::default().lm_weight, allow_negative_numbers = true)]
    pub lm_weight: f64,

    /// Weight of the score of the recogniser's language model
    #[arg(long, value_name = "X", default_value_t = Rescoring::default().old_lm_weight, allow_negative_numbers = true)]
    pub old_lm_weight: f64,

    /// What is added for each word
    #[arg(long, value_name = "X", default_value_t = Rescoring::default().word_penalty, allow_negative_numbers = true)]
    pub word_penalty: f64,

    /// The model's share where a hypothesis has `word_probs`
    #[arg(long, value_name = "X", default_value_t = Rescoring::default().lambda)]
    pub lambda: f64,

    /// The base of every logarithm: `e` or 10
    #[arg(long, value_name = "BASE", default_value = "e")]
    pub log_base: LogBase,

    /// What is done with unknown words: `include`, `exclude`, `add:X` to add X to their log-probability, or `set:X` to replace it
    #[arg(long, value_name = "POLICY", default_value = "include")]
    pub unknown: Unknown,

    /// Do not score the end-of-text token
    #[arg(long)]
    pub no_eos: bool,

    /// Where an utterance starts: at the model's start (`none`), or where the best hypothesis of the one before has led (`best`)
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub carry: Carry,

    /// Print the answer of `POST /v1/rescore` to each utterance, one a line
    #[arg(long)]
    pub json: bool,
}

impl RescoreArgs {
    fn rescoring(&self) -> Rescoring {
        Rescoring {
            lm_weight: self.lm_weight,
            old_lm_weight: self.old_lm_weight,
            word_penalty: self.word_penalty,
            lambda: self.lambda,
            log_base: self.log_base,
            unknown: self.unknown,
            add_eos: self.no_eos.then_some(false),
            carry: self.carry,
        }
    }
}

pub(super) fn run(args: &RescoreArgs) -> Outcome {
    let local = Local::open_models(&args.models)?;
    let mixture = local.mixture.clone();
    let plan = RescoringPlan { model: None, mixture, rescoring: args.rescoring() };
    let rescorer = Rescorer::new(&local.service, plan)?;
    local.block_on(rescore(&rescorer, args))
}

/// Rescores the utterances of the file, several at once, and prints them in their order.
async fn rescore(rescorer: &Rescorer, args: &RescoreArgs) -> Outcome {
    let reader = Reader::open(args.text.open()?, args.format, args.scores)?;
    let progress = Progress::new(&args.text);
    let mut results = stream::iter(reader.zip(1..))
        .map(async |(nbest, number): (Outcome<Nbest>, usize)| {
            let Nbest { utterance, source, bytes } = nbest?;
            let rescored = rescorer.rescore(utterance).await;
            let rescored = rescored
                .map_err(|error| Failure::Failed(error.within(format_args!("utterance {number}")).message))?;
            Ok::<_, Failure>(Done { number, rescored, source, bytes })
        })
        .buffered(rescorer.at_once());
    while let Some(done) = results.next().await {
        let done = done?;
        progress.step(done.bytes);
        progress.show(&format!("{} utterances", done.number));
        progress.suspend(|| print(&done, args))?;
    }
    Ok(())
}

/// An utterance that was rescored.
struct Done {
    number: usize,
    rescored: RescoredUtterance,
    /// How it was written in the file.
    source: nbest::Source,
    bytes: usize,
}

fn print(done: &Done, args: &RescoreArgs) -> Outcome {
    let mut out = BufWriter::new(stdout().lock());
    match &done.source {
        _ if args.json => json::print(&mut out, &done.rescored)?,
        nbest::Source::Utterance => json::print(&mut out, &done.rescored)?,
        nbest::Source::Lines(lines) => lines::print(&mut out, lines, &done.rescored)?,
        nbest::Source::Object(object) => json::print(&mut out, object.ranked(&done.rescored))?,
    }
    Ok(out.flush()?)
}
