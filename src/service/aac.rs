//! Use case: predictions of words and characters for the keyboards of augmentative communication, also after each of what is predicted.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::Service;
use super::bounds::Bound;
use super::input::{Input, Use};
use super::question::ranked_token;
use super::suggest::{Typing, WordPlace};
use super::target::{check_context, start_of};
use super::work::end_of;
use crate::api::aac::{Future, Futures, PredictQuery, Prediction, Predictions};
use crate::api::prompt::TextOrIds;
use crate::api::suggest::Suggestion;
use crate::catalog::Served;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::sampling::NextQuery;
use crate::session::Snapshot;
use crate::text::{Case, Joint, TokenizerKind};

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicted {
    /// Whole words.
    Words,
    /// Single characters.
    Characters,
}

/// A place in a text where a word is being typed.
#[derive(Clone)]
struct Spot {
    served: Arc<Served>,
    /// After the text before the word.
    before: Snapshot,
    /// What was typed since, with the white space before the word.
    typed: String,
    /// The number of predictions.
    num: usize,
}

impl Spot {
    /// The same place with more of the word.
    fn with(&self, more: &str) -> Self {
        let typed = format!("{}{more}", self.typed);
        Self { typed, ..self.clone() }
    }
}

/// A text, divided before the word that is being typed.
struct Divided {
    finished: String,
    /// What is typed of the word, with the white space before it.
    typed: String,
}

impl Service {
    /// What may come next.
    ///
    /// # Errors
    /// Whatever is wrong with the query; a model that cannot predict characters; a full queue; a timeout.
    pub async fn predict(&self, predicted: Predicted, query: &PredictQuery) -> Result<Predictions> {
        let spot = self.spot(predicted, query).await?;
        self.predictions(predicted, &spot).await
    }

    /// What may come after each character that may come next.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub async fn predict_after_characters(
        &self,
        predicted: Predicted,
        query: &PredictQuery,
    ) -> Result<Futures> {
        let spot = self.spot(predicted, query).await?;
        let mut next = self.characters(&spot).await?.results;
        if predicted == Predicted::Words {
            // White space ends the word: nothing of another is typed.
            next.retain(|next| !next.text.trim().is_empty());
        }
        let futures = next.into_iter().map(|next| self.future(predicted, spot.with(&next.text), next.text));
        Ok(Futures { futures: try_join_all(futures).await? })
    }

    /// What may come after each word that may come next.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub async fn predict_after_words(&self, predicted: Predicted, query: &PredictQuery) -> Result<Futures> {
        let spot = self.spot(Predicted::Words, query).await?;
        let futures = self.words(&spot).await?.into_iter().map(async |word| {
            let plan = ReadingPlan { tokens: word.tokens.into(), joint: Joint::Closed, ..Default::default() };
            let before = end_of(&mut self.read_copy(&spot.served, spot.before.clone(), plan).await?)?;
            let after = Spot { before, typed: " ".to_owned(), ..spot.clone() };
            self.future(predicted, after, word.text).await
        });
        Ok(Futures { futures: try_join_all(futures).await? })
    }

    /// Checks a query, and reads the text before the word.
    async fn spot(&self, predicted: Predicted, query: &PredictQuery) -> Result<Spot> {
        let max = self.config.limits.max_suggestions;
        let num = query.num_or_default(max);
        Bound { param: "num", max, option: "--max-suggestions" }.number_above_0(num)?;
        self.check_word_len(&query.prefix, "prefix")?;
        if query.safe {
            let message = "`safe` is true, but models do not know which words offend; false is accepted";
            return Err(Error::new(ErrorKind::NotSupported, message).at("safe"));
        }
        let served = &self.named_model(query.model.as_deref())?;
        let Divided { finished, typed } = match predicted {
            Predicted::Words => divided_for_words(query),
            Predicted::Characters => divided_for_characters(served, query),
        };
        let input = Input { value: TextOrIds::Text(finished), path: "left", purpose: Use::Read };
        let read = self.prepare(served, input).await?;
        let start = start_of(served);
        let joint = read.tail_after(&start.tail).joint;
        let plan = ReadingPlan { tokens: read.tokens.clone(), joint, ..Default::default() };
        let before = end_of(&mut self.read_copy(served, start, plan).await?)?;
        Ok(Spot { served: served.clone(), before, typed, num })
    }

    async fn future(&self, predicted: Predicted, after: Spot, next: String) -> Result<Future> {
        Ok(Future { next, predictions: self.predictions(predicted, &after).await? })
    }

    async fn predictions(&self, predicted: Predicted, spot: &Spot) -> Result<Predictions> {
        match predicted {
            Predicted::Characters => self.characters(spot).await,
            Predicted::Words => {
                let words = self.words(spot).await?.into_iter();
                let results = words.map(|word| prediction(word.text, word.logprob)).collect();
                Ok(Predictions { results })
            }
        }
    }

    /// The most likely words that begin with what was typed.
    async fn words(&self, spot: &Spot) -> Result<Vec<Suggestion>> {
        check_context(&spot.served, spot.before.position)?;
        let typing = Typing::of_words(&spot.typed, spot.num);
        let place = WordPlace::at(&spot.served, spot.before.clone());
        let suggested = self.suggestions(place, &typing).await.map_err(|failure| failure.error)?;
        Ok(suggested.suggestions.suggestions)
    }

    /// The most likely characters after what was typed.
    async fn characters(&self, spot: &Spot) -> Result<Predictions> {
        let tokenizer = &spot.served.tokenizer;
        let mut results = if tokenizer.completions().words_are_tokens() {
            self.characters_of_words(spot).await?
        } else if tokenizer.kind() == TokenizerKind::Char {
            self.characters_of_tokens(spot).await?
        } else {
            let message = format!(
                "the tokens of model `{}` are parts of words; characters are predicted by models of words and of characters",
                spot.served.name
            );
            return Err(Error::new(ErrorKind::NotSupported, message).at("model"));
        };
        results.sort_by(|a, b| b.log_prob.total_cmp(&a.log_prob));
        results.truncate(spot.num);
        Ok(Predictions { results })
    }

    /// The next character of all words that begin with what was typed, each with the share of its words in their probability. A word
    /// that is typed already is followed by a space.
    async fn characters_of_words(&self, spot: &Spot) -> Result<Vec<Prediction>> {
        let Spot { served, before, typed, .. } = spot;
        check_context(served, before.position)?;
        let query = NextQuery { full: true, ..next_query(0) };
        let joint = before.tail.joint;
        let plan = ReadingPlan { joint, next: Some(query), ..Default::default() };
        let next = self.read_copy(served, before.clone(), plan).await?.next;
        let logprobs = next.and_then(|next| next.logprobs).ok_or_else(unanswered)?;
        let beginning = served.tokenizer.beginning(&before.tail, typed, Case::Ignored);
        let mut shares: BTreeMap<char, f64> = BTreeMap::new();
        for &token in served.tokenizer.completions().words(&beginning.typed) {
            let rest = served.tokenizer.completed(&beginning, &[token]).append;
            *shares.entry(rest.chars().next().unwrap_or(' ')).or_default() +=
                libm::exp(logprobs[token as usize]);
        }
        let total: f64 = shares.values().sum();
        let results = shares.into_iter().filter(|(_, share)| *share > 0.0);
        Ok(results.map(|(next, share)| prediction(next.to_string(), libm::log(share / total))).collect())
    }

    /// The most likely next tokens of a model whose tokens are characters.
    async fn characters_of_tokens(&self, spot: &Spot) -> Result<Vec<Prediction>> {
        let Spot { served, before, typed, num } = spot;
        let input = Input { value: TextOrIds::Text(typed.clone()), path: "prefix", purpose: Use::Read };
        let read = self.prepare(served, input).await?;
        check_context(served, before.position + read.tokens.len() as u64)?;
        let tail = read.tail_after(&before.tail);
        let hidden = served.tokenizer.unk().into_iter().collect();
        let query = NextQuery { hidden, ..next_query(*num) };
        let plan = ReadingPlan {
            tokens: read.tokens.clone(),
            joint: tail.joint,
            next: Some(query),
            ..Default::default()
        };
        let next = self.read_copy(served, before.clone(), plan).await?.next.ok_or_else(unanswered)?;
        let tokens = next.distribution.into_iter().map(|ranked| ranked_token(served, &tail, ranked));
        Ok(tokens.map(|ranked| prediction(ranked.token.text, ranked.logprob)).collect())
    }
}

/// For words, white space separates `left` from the word, whether `left` ends with it or not.
fn divided_for_words(query: &PredictQuery) -> Divided {
    let PredictQuery { left, prefix, .. } = query;
    let finished = left.trim_end_matches(' ');
    let is_apart = finished.is_empty() || finished.ends_with(char::is_whitespace);
    let typed = if is_apart { prefix.clone() } else { format!(" {prefix}") };
    Divided { finished: finished.to_owned(), typed }
}

/// For characters, `left` and `prefix` are one text, which may end within a word.
fn divided_for_characters(served: &Served, query: &PredictQuery) -> Divided {
    let text = format!("{}{}", query.left, query.prefix);
    if served.tokenizer.kind() == TokenizerKind::Char {
        return Divided { finished: text, typed: String::new() };
    }
    let half = served.tokenizer.half_typed(&text);
    Divided { finished: half.finished.to_owned(), typed: half.typed.to_owned() }
}

fn next_query(top_k: usize) -> NextQuery {
    NextQuery { top_k, hidden: Vec::new(), candidates: Vec::new(), full: false, filters: None }
}

fn prediction(text: String, log_prob: f64) -> Prediction {
    Prediction { token: text.clone(), text, log_prob }
}

fn unanswered() -> Error {
    Error::internal("internal error: a question was not answered")
}
