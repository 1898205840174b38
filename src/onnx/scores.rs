//! What the numbers of an output over the vocabulary are.

/// What an output gives for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scores {
    /// Numbers of any size; softmax makes probabilities of them.
    Logits,
    /// Numbers whose exponentials sum to one. They are logits too.
    LogProbabilities,
    /// Numbers that sum to one. Their logarithms are logits.
    Probabilities,
}

impl Scores {
    /// The name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scores::Logits => "logits",
            Scores::LogProbabilities => "log-probabilities",
            Scores::Probabilities => "probabilities",
        }
    }
}
