//! What every job that continues a text has in common: the prompt is read, and tokens become text until one of them ends it.

use std::sync::Arc;

use super::event::{Alternatives, Finish, ReadToken};
use crate::engine::{At, RowPlan, Rows, Tag};
use crate::lm::{Distribution, Logits, TokenId, logprob};
use crate::sampling::{Filtering, Filters};
use crate::text::{Decoder, Joint, Passed, StopStrings};

/// What to continue, and when to stop.
pub struct ContinuationPlan {
    /// Read before the first token.
    pub prompt: Arc<[TokenId]>,
    /// How the text ends with it.
    pub joint: Joint,
    /// Whether the logprob of each token of the prompt is sent, which costs the output layer for each.
    pub scores_prompt: bool,
    /// The filters that are applied to each row of logits.
    pub filters: Filters,
    /// Most tokens of a choice. At 0 the prompt is read and nothing is drawn.
    pub tokens_max: usize,
    /// The token that ends the text, if one does.
    pub eos: Option<TokenId>,
    /// The strings that end the text; none is empty.
    pub stops: Vec<String>,
    /// Turns tokens into text. It has seen the prompt.
    pub decoder: Decoder,
    /// Number of alternatives reported with each token.
    pub alternatives: usize,
    /// Number of continuations; at least 1.
    pub choices: usize,
    /// What becomes of where they end.
    pub destination: Destination,
}

/// What becomes of the states after the last tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nothing, so last tokens are not read.
    Nowhere,
    /// The only choice advances a session, which holds every token drawn.
    Session,
    /// The snapshot of each choice is handed out.
    Snapshots,
}

impl Destination {
    pub(super) fn reads_last_token(self) -> bool {
        self != Self::Nowhere
    }
}

impl ContinuationPlan {
    /// The parts of the plan.
    pub(super) fn begin(self) -> (Opening, Beginning) {
        let filtering = Filtering::new(self.filters, &self.prompt);
        let stops = StopStrings::new(self.stops);
        let opening = Opening {
            prompt: self.prompt,
            joint: self.joint,
            alternatives: self.alternatives,
            draws: self.tokens_max > 0,
            scored: self.scores_prompt.then(Vec::new),
            stage: Stage::Reading,
        };
        let written = Written { eos: self.eos, decoder: self.decoder, stops };
        (opening, Beginning { filtering, written })
    }
}

/// What every choice begins with.
#[derive(Clone)]
pub(super) struct Beginning {
    pub(super) filtering: Filtering,
    pub(super) written: Written,
}

/// The row that reads the prompt, and the logits that it is read for.
pub(super) struct Opening {
    prompt: Arc<[TokenId]>,
    joint: Joint,
    alternatives: usize,
    /// Whether the logits after the prompt are needed.
    draws: bool,
    /// The tokens of the prompt that were scored so far.
    scored: Option<Vec<ReadToken>>,
    stage: Stage,
}

/// How far an opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The prompt is being read.
    Reading,
    /// It was read for the logits before each token; now those after the last are asked for.
    Asking,
    /// All is read.
    Over,
}

impl Opening {
    /// The row that reads the prompt.
    pub(super) const ROW: Tag = 0;

    pub(super) fn plan(&self) -> RowPlan {
        let logits = match (&self.scored, self.draws) {
            (Some(_), _) => Logits::Each,
            (None, true) => Logits::Last,
            (None, false) => Logits::None,
        };
        RowPlan { tag: Self::ROW, tokens: self.prompt.clone(), joint: self.joint, logits }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Scores a token of the prompt. Returns whether the logits are those after the prompt, which it leaves to the job.
    pub(super) fn look(&mut self, at: At, logits: &[f32]) -> bool {
        let At::Before(index) = at else { return true };
        let alternatives = alternatives(logits, self.alternatives);
        let logprob = logprob(logits, self.prompt[index]);
        self.scored.get_or_insert_default().push(ReadToken { logprob, alternatives });
        false
    }

    /// Decides for the row when it is ready. Once the prompt is read and the logits after it were seen, the opening is over.
    pub(super) fn decide(&mut self, rows: &mut Rows<'_>) {
        if self.stage == Stage::Reading && self.scored.is_some() && self.draws {
            let nothing =
                RowPlan { tag: Self::ROW, tokens: Arc::default(), joint: self.joint, logits: Logits::Last };
            rows.read(Self::ROW, nothing);
            self.stage = Stage::Asking;
        } else {
            self.stage = Stage::Over;
        }
    }

    /// The scores of the prompt, once, if they were asked for.
    pub(super) fn take_scored(&mut self) -> Option<Vec<ReadToken>> {
        self.scored.take()
    }
}

/// The `count` most likely tokens of a row of logits.
pub(super) fn alternatives(logits: &[f32], count: usize) -> Alternatives {
    if count == 0 {
        return Arc::default();
    }
    let model = Distribution::new(logits);
    model.top_k(count).into_iter().map(|token| (token, model.logprob(token))).collect()
}

/// The text of a choice as it grows.
#[derive(Clone)]
pub(super) struct Written {
    eos: Option<TokenId>,
    decoder: Decoder,
    stops: StopStrings,
}

/// What a token has added.
pub(super) struct Added {
    /// The text that can be shown.
    pub(super) text: String,
    /// Whether the token ends the text.
    pub(super) finish: Option<Finish>,
}

impl Written {
    pub(super) fn push(&mut self, token: TokenId) -> Added {
        if self.eos == Some(token) {
            return Added { text: String::new(), finish: Some(Finish::Eos) };
        }
        match self.stops.push(&self.decoder.push(token)) {
            Passed::Text(text) => Added { text, finish: None },
            Passed::Stopped(text) => Added { text, finish: Some(Finish::Stop) },
        }
    }

    /// The text that was held back until the end. What the decoder still holds may complete a stop string.
    pub(super) fn rest(self, finish: Finish) -> String {
        let Self { decoder, mut stops, .. } = self;
        if finish == Finish::Stop {
            return String::new();
        }
        match stops.push(&decoder.finish()) {
            Passed::Text(text) => text + &stops.finish(),
            Passed::Stopped(text) => text,
        }
    }
}
