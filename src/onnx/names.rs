//! What the names of outputs and dimensions tell.

/// Words of an output that holds what comes next, the likeliest first.
const LOGITS: [&str; 16] = [
    "logits",
    "logit",
    "log",
    "logprobs",
    "softmax",
    "prob",
    "probs",
    "probabilities",
    "score",
    "scores",
    "pred",
    "predictions",
    "y",
    "output",
    "out",
    "decoder",
];

/// Whether an output of this name is likely to hold logits.
#[cfg(feature = "tract")]
pub(super) fn is_logits(name: &str) -> bool {
    words(name).iter().any(|word| LOGITS.contains(&word.as_str()))
}

/// How likely an output of this name holds the logits of a language model: the less, the likelier. `logits` comes before `y`, and
/// before `aux_logits`.
pub(super) fn logits_rank(name: &str) -> (usize, usize) {
    let words = words(name);
    let place = |word: &String| LOGITS.iter().position(|known| known == word);
    let best = words.iter().filter_map(place).min();
    (best.unwrap_or(LOGITS.len()), words.len())
}

/// Whether a dimension of this name counts sequences.
pub(super) fn is_batch(name: &str) -> bool {
    words(name)
        .iter()
        .any(|word| ["b", "batch", "n", "bs"].contains(&word.as_str()) || word.starts_with("batch"))
}

/// The words of a name, in lower case: runs of letters and runs of digits, split where small letters turn to capitals.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for char in name.chars() {
        let kind = (char.is_alphabetic(), char.is_ascii_digit());
        if kind != (false, false) {
            let goes_on = before.is_some_and(|before: char| {
                (before.is_alphabetic(), before.is_ascii_digit()) == kind
                    && !(before.is_lowercase() && char.is_uppercase())
            });
            match words.last_mut().filter(|_| goes_on) {
                Some(word) => word.extend(char.to_lowercase()),
                None => words.push(char.to_lowercase().collect()),
            }
        }
        before = Some(char);
    }
    words
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::*;

    #[test]
    fn dimensions_and_logits_by_name() {
        assert!(is_batch("batch_size") && is_batch("N") && !is_batch("seq") && !is_batch("T"));
        assert!(is_logits("log_softmax") && is_logits("y") && !is_logits("hn"));
        let mut outputs = ["hn", "y", "aux_logits", "log_softmax", "logits"];
        outputs.sort_by_key(|name| logits_rank(name));
        assert_eq!(outputs, ["logits", "aux_logits", "log_softmax", "y", "hn"]);
    }
}
