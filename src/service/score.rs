//! Use case: how likely texts are.

mod scored;
mod stream;
mod stride;
mod tally;

use std::sync::Arc;

pub(super) use scored::{Place, ScoredText, of_unknown};
pub use stream::{TextScorer, no_token};
pub use tally::{add_tally, figures};

use super::Service;
use super::bounds::Bound;
use super::input::{Input, Prepared, Use, check_not_empty, field_of, input_of};
use super::target::Target;
use super::tokens::token;
use super::voices::Voices;
use crate::api::prompt::TextOrIds;
use crate::api::score::{Score, ScoreRequest, ScoreResponse, Scoring, SessionScoreRequest, Tally};
use crate::api::state::Carried;
use crate::api::tokens::{InputToken, ScoredToken};
use crate::api::unknown::Unknown;
use crate::budget::{Permit, Purpose};
use crate::catalog::Served;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use tally::Counter;

/// The memory of a token that is scored, beside its id: copies of the id for the job, and its log-probability in the job, as a part of
/// a mixture and as it is counted, by itself or in a word.
const SCORED_BYTES: usize = 64;

/// Texts to score, each from where the context leads; at least one, none empty.
struct Texts {
    inputs: Vec<TextOrIds>,
    /// The field of the request that lists them; `None` for a single text.
    list: Option<&'static str>,
}

/// How texts are scored.
struct Manner {
    /// The token to add to each text.
    eos: Option<TokenId>,
    /// Whether each text starts from the end of the one before.
    carries_state: bool,
    /// Whether tokens are listed.
    lists_tokens: bool,
    /// What is done with the unknown token.
    unknown: Unknown,
}

/// What is scored, checked and tokenised.
struct Checked {
    context: Prepared,
    texts: Vec<Prepared>,
    manner: Manner,
    carried: Carried,
}

impl Service {
    /// Scores texts from a model's start.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue; a timeout.
    pub async fn score(&self, request: ScoreRequest) -> Result<ScoreResponse> {
        let ScoreRequest { prompt, mixture, context, texts, scoring, carry_state, carried } = request;
        let voices = self.start_voices(prompt.model.as_deref(), mixture, &carried).await?;
        let served = voices.served();
        let texts = match (texts, input_of(prompt)?) {
            (Some(texts), None) => self.several("texts", texts)?,
            (Some(_), Some(_)) => {
                let message = "`texts` is given beside `text` or `tokens`; exactly one of them is accepted";
                return Err(Error::invalid("texts", message));
            }
            (None, None) => {
                let message = "no text is given; one of `texts`, `text` and `tokens` is required";
                return Err(Error::new(ErrorKind::EmptyInput, message).at("texts"));
            }
            (None, Some(input)) => Texts { inputs: vec![input], list: None },
        };
        let context = match context {
            Some(input) => {
                self.prepare(served, Input { value: input, path: "context", purpose: Use::Read }).await?
            }
            None => Prepared::default(),
        };
        let manner = Manner { carries_state: carry_state, ..Manner::new(served, scoring)? };
        let texts = self.prepare_texts(served, texts, &manner).await?;
        self.score_at(&voices, Checked { context, texts, manner, carried }).await
    }

    /// Scores continuations of a session, which does not move.
    ///
    /// # Errors
    /// As [`Self::score`]; a session that does not exist.
    pub async fn session_score(&self, id: &str, request: SessionScoreRequest) -> Result<ScoreResponse> {
        let SessionScoreRequest { model, continuations, scoring } = request;
        let voices = Voices::one(Target::Session(self.session_target(id, model.as_deref())?));
        let served = voices.served();
        let required = || Error::invalid("continuations", "`continuations` is absent; it is required");
        let texts = self.several("continuations", continuations.ok_or_else(required)?)?;
        let manner = Manner::new(served, scoring)?;
        let texts = self.prepare_texts(served, texts, &manner).await?;
        let context = Prepared::default();
        self.score_at(&voices, Checked { context, texts, manner, carried: Carried::default() }).await
    }

    fn several(&self, list: &'static str, texts: Vec<TextOrIds>) -> Result<Texts> {
        if texts.is_empty() {
            let message = format!("`{list}` has no entries; at least one is required");
            return Err(Error::new(ErrorKind::EmptyInput, message).at(list));
        }
        let max = self.config.limits.max_texts;
        Bound { param: list, max, option: "--max-texts" }.entries(texts.len())?;
        Ok(Texts { inputs: texts, list: Some(list) })
    }

    async fn prepare_texts(
        &self,
        served: &Arc<Served>,
        texts: Texts,
        manner: &Manner,
    ) -> Result<Vec<Prepared>> {
        let mut prepared = Vec::with_capacity(texts.inputs.len());
        let mut tokens = 0;
        for (index, input) in texts.inputs.into_iter().enumerate() {
            let path = match texts.list {
                Some(list) => format!("{list}[{index}]"),
                None => field_of(&input).to_owned(),
            };
            let text =
                self.prepare(served, Input { value: input, path: &path, purpose: manner.purpose() }).await?;
            if manner.eos.is_none() {
                check_not_empty(&text).map_err(|error| error.at(&path))?;
            }
            tokens += text.tokens.len();
            self.check_together(tokens, "the texts")
                .map_err(|error| error.at(texts.list.unwrap_or("text")))?;
            prepared.push(text);
        }
        Ok(prepared)
    }

    /// Takes the memory of the scores of `tokens`, before anything is made for them.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn take_for_scores(&self, tokens: usize) -> Result<Permit> {
        self.take(Purpose::Tokens, tokens.saturating_mul(SCORED_BYTES))
    }

    async fn score_at(&self, voices: &Voices, checked: Checked) -> Result<ScoreResponse> {
        let served = voices.served();
        let start = self.open_voices(voices)?;
        let Checked { context, texts, manner, carried } = checked;
        let count = texts.iter().map(|text| text.tokens.len() + 1).sum::<usize>();
        if manner.lists_tokens {
            self.keep(self.room_for_scored(count)?);
        }
        let _scores = self.take_for_scores(count)?;
        let with_eos = |text: &Prepared| text.tokens.iter().copied().chain(manner.eos).collect();
        let each: Vec<Vec<TokenId>> = texts.iter().map(with_eos).collect();
        let tail = context.tail_after(start.tail());
        let plan = ReadingPlan {
            tokens: context.tokens.clone(),
            joint: tail.joint,
            branches: match manner.carries_state {
                true => vec![each.concat().into()],
                false => each.iter().map(|tokens| tokens.as_slice().into()).collect(),
            },
            ..Default::default()
        };
        let is_preceded = start.has_moved() || !context.is_empty() || voices.have_initial_tokens();
        let joined = self.read_voices(voices, start, &plan).await?;
        let state = carried.returned(served, joined.standing.only())?;
        let mut logprobs = joined.branches.into_iter().flatten();
        let mut place = Place { served, tail, is_preceded };
        let results = texts.iter().zip(&each).map(|(text, tokens)| {
            let own = logprobs.by_ref().take(tokens.len()).collect();
            let score = score_of(&place, &ScoredText::new(&place, text, own, manner.unknown), &manner);
            if manner.carries_state {
                place.pass(text, manner.eos);
            }
            score
        });
        let results: Vec<Score> = results.collect();
        let mut total = Tally::default();
        results.iter().for_each(|result| add_tally(&mut total, &result.tally));
        Ok(ScoreResponse { model: voices.name(), results, total: figures(total), state })
    }
}

impl Manner {
    /// # Errors
    /// `InvalidValue` when an end-of-text token is to be added and the model has none.
    fn new(served: &Served, scoring: Scoring) -> Result<Self> {
        let eos = served.tokenizer.eos();
        if scoring.add_eos && eos.is_none() {
            let message = format!("`add_eos` is true, but model `{}` has no end-of-text token", served.name);
            return Err(Error::invalid("add_eos", message));
        }
        Ok(Self {
            eos: eos.filter(|_| scoring.add_eos),
            carries_state: false,
            lists_tokens: scoring.token_logprobs,
            unknown: checked_unknown(scoring.unknown)?,
        })
    }

    /// What the tokens of a text are for: to leave out the characters of an unknown word, its place must be known.
    fn purpose(&self) -> Use {
        if self.lists_tokens || self.unknown == Unknown::Exclude { Use::Listed } else { Use::Read }
    }
}

/// Refuses a log-probability that is out of range.
pub(super) fn checked_unknown(unknown: Unknown) -> Result<Unknown> {
    const MAX: f64 = Unknown::MAGNITUDE_MAX;
    match unknown {
        Unknown::Add(shift) if shift.abs() > MAX => Err(Error::invalid(
            "unknown.add",
            format!("`unknown.add` is {shift}; it must be from -{MAX} to {MAX}"),
        )),
        Unknown::Set(logprob) if !(-MAX..=0.0).contains(&logprob) => Err(Error::invalid(
            "unknown.set",
            format!("`unknown.set` is {logprob}; it must be from -{MAX} to 0"),
        )),
        unknown => Ok(unknown),
    }
}

fn score_of(place: &Place<'_>, scored: &ScoredText<'_>, manner: &Manner) -> Score {
    let Place { served, tail, .. } = place;
    let mut counter = Counter::default();
    counter.tokens(&scored.logprobs);
    counter.unknown(scored.unknown_count());
    counter.text(&scored.part(served));
    let mut score = figures(counter.tally());
    if manner.lists_tokens {
        let mut tokens = scored.tokens(place);
        if let (Some(eos), Some(&logprob)) = (manner.eos, scored.logprobs.last()) {
            let token = token(served, &scored.tail_after(tail), eos);
            let unknown = Some(eos) == served.tokenizer.unk();
            tokens
                .push(ScoredToken { token: InputToken { token, start: None, end: None, unknown }, logprob });
        }
        score.token_logprobs = Some(tokens);
    }
    score
}
