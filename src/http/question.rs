//! The question what comes next, as requests ask it and as answers give it: shared by `next` and by sessions that are made or read on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::{Token, Word, finite};
use crate::service::{self, NextView, SamplingSpec, Unknown, ViewedCandidate};

/// Declares the type of a request that asks what comes next: its own fields, then those of the question.
///
/// A macro, because serde's `flatten` would lose the path of a field at fault.
macro_rules! asking {
    ($(#[$about:meta])* $name:ident { $($(#[$on:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, PartialEq, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$about])*
        pub(super) struct $name {
            $($(#[$on])* pub(super) $field: Option<$type>,)*
            /// Length of the list; 10 if absent.
            pub(super) top_k: Option<usize>,
            /// Continuations whose probability is asked for.
            pub(super) candidates: Option<Vec<$crate::http::wire::Word>>,
            /// Whether the list shows the unknown token and the end of text; true if absent. Left out, they keep
            /// their share of the probability.
            pub(super) special: Option<bool>,
            /// Whether the logprobs of the whole vocabulary are asked for.
            pub(super) full: Option<bool>,
            /// The distribution after these filters, instead of the model's own.
            #[serde(default, deserialize_with = "crate::http::extract::object")]
            pub(super) sampling: Option<$crate::http::question::Sampling>,
        }

        impl $name {
            /// Takes the question out, with the defaults for what is absent.
            pub(super) fn query(&mut self) -> $crate::service::Query {
                use $crate::service::{Query, Specials, Vector};
                let candidates = self.candidates.take().unwrap_or_default();
                Query {
                    top_k: self.top_k.take().unwrap_or(Query::TOP_K),
                    candidates: candidates.into_iter().map(Into::into).collect(),
                    specials: match self.special.take() {
                        Some(false) => Specials::Hidden,
                        Some(true) | None => Specials::Shown,
                    },
                    vector: match self.full.take() {
                        Some(true) => Vector::Include,
                        Some(false) | None => Vector::Omit,
                    },
                    sampling: self.sampling.take().map(Into::into),
                }
            }
        }
    };
}
pub(super) use asking;

asking! {
    /// What is asked of the next token.
    Question {}
}

/// How tokens would be drawn.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"temperature": 0.8, "top_p": 0.95}))]
pub(super) struct Sampling {
    /// 0 is greedy; 1 if absent.
    temperature: Option<f64>,
    /// Among so many of the most likely.
    top_k: Option<usize>,
    /// Among the fewest that hold this much of the probability.
    top_p: Option<f64>,
    /// Among those at least this likely, as a share of the most likely one's probability.
    min_p: Option<f64>,
    /// Never these.
    banned: Option<Vec<Word>>,
    /// Whether the unknown token may be drawn; false if absent.
    allow_unknown: Option<bool>,
}

/// The distribution over the next token. Logarithms are natural.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Distribution {
    /// The most likely tokens, most likely first.
    distribution: Vec<RankedToken>,
    /// In the order asked.
    candidates: Vec<Candidate>,
    /// Nats.
    entropy: f64,
    /// The probability of all listed tokens together.
    top_mass: f64,
    logsumexp: f64,
    view: View,
    /// By id; null for what was filtered out.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Option<f64>>>,
}

/// Whose distribution it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum View {
    /// The model's own.
    Model,
    /// What is left of it after the filters.
    Sampled,
}

/// A token that may come next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RankedToken {
    #[serde(flatten)]
    token: Token,
    prob: f64,
    logprob: f64,
    /// Its place among all tokens, from 1.
    rank: usize,
}

/// A continuation that was asked for, and how likely it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Candidate {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// The ids that it is.
    tokens: Vec<u32>,
    /// Of all its tokens, one after the other.
    prob: f64,
    /// Null for what was filtered out.
    logprob: Option<f64>,
    /// Null for several tokens, and for what was filtered out.
    rank: Option<usize>,
}

impl From<Sampling> for SamplingSpec {
    fn from(sampling: Sampling) -> Self {
        let Sampling { temperature, top_k, top_p, min_p, banned, allow_unknown } = sampling;
        Self {
            temperature: temperature.unwrap_or(Self::default().temperature),
            top_k,
            top_p,
            min_p,
            banned: banned.unwrap_or_default().into_iter().map(Into::into).collect(),
            unknown: if allow_unknown == Some(true) { Unknown::Allowed } else { Unknown::RuledOut },
        }
    }
}

impl From<NextView> for Distribution {
    fn from(view: NextView) -> Self {
        let NextView { distribution, candidates, entropy, top_mass, logsumexp, filtered, logprobs } = view;
        let listed = distribution.into_iter().map(|viewed| RankedToken {
            token: viewed.token.into(),
            prob: libm::exp(viewed.ranked.logprob),
            logprob: viewed.ranked.logprob,
            rank: viewed.ranked.rank,
        });
        Self {
            distribution: listed.collect(),
            candidates: candidates.into_iter().map(Candidate::from).collect(),
            entropy,
            top_mass,
            logsumexp,
            view: if filtered { View::Sampled } else { View::Model },
            logprobs: logprobs.map(|logprobs| logprobs.into_iter().map(finite).collect()),
        }
    }
}

impl From<ViewedCandidate> for Candidate {
    fn from(viewed: ViewedCandidate) -> Self {
        let ViewedCandidate { candidate, tokens, answer } = viewed;
        let (text, id) = match candidate {
            service::Word::Text(text) => (Some(text), None),
            service::Word::Token(id) => (None, Some(id)),
        };
        Self {
            text,
            id,
            tokens: tokens.to_vec(),
            prob: libm::exp(answer.logprob),
            logprob: finite(answer.logprob),
            rank: answer.rank,
        }
    }
}
