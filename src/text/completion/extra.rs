//! Words that a person uses and the vocabulary does not have. They share the probability of the unknown token.

use std::collections::BTreeMap;
use std::fmt;

use super::super::tokenizer::Tokenizer;
use super::Typed;
use super::index::PrefixIndex;

/// Extra words and their shares of the unknown token's probability. The default is empty.
#[derive(Default)]
pub struct ExtraWords {
    /// The natural logarithm of each word's share.
    log_shares: Vec<f64>,
    /// The words; their numbers are indices of `log_shares`.
    index: PrefixIndex,
    texts: Vec<Box<str>>,
    /// Bytes of memory.
    bytes: usize,
}

/// A word, and its weight among the others.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedWord {
    /// The word.
    pub text: String,
    /// Above 0.
    pub weight: f64,
}

impl ExtraWords {
    /// Those of `words` that `tokenizer` does not know; the others keep their own probabilities. A word that occurs twice has the
    /// weight of both.
    pub fn new(tokenizer: &Tokenizer, words: &[WeightedWord]) -> Self {
        let unknown = words.iter().filter(|word| tokenizer.id_of(&word.text).is_none());
        let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
        for WeightedWord { text, weight } in unknown {
            *weights.entry(text).or_default() += weight;
        }
        let total: f64 = weights.values().sum();
        let log_share = |weight: f64| libm::log(weight / total);
        Self::of_shares(weights.into_iter().map(|(text, weight)| (text.into(), log_share(weight))).collect())
    }

    /// Words with the logarithms of their shares, as [`Self::shares`] gives them.
    pub fn of_shares(shares: Vec<(Box<str>, f64)>) -> Self {
        let (texts, log_shares): (Vec<Box<str>>, Vec<f64>) = shares.into_iter().unzip();
        let numbered = texts.iter().cloned().zip(0..).collect();
        Self { log_shares, index: PrefixIndex::new(numbered), bytes: bytes(&texts), texts }
    }

    /// All words, with the natural logarithms of their shares.
    pub fn shares(&self) -> impl Iterator<Item = (&str, f64)> {
        self.texts.iter().map(|text| &**text).zip(self.log_shares.iter().copied())
    }

    /// The words that begin with what was typed, and the logarithms of their shares, the largest first.
    pub fn beginning_with(&self, typed: &Typed, count: usize) -> Vec<(&str, f64)> {
        let numbers = self.index.beginning_with(typed.text(), typed.case());
        let mut shares: Vec<(&str, f64)> = numbers
            .iter()
            .map(|&number| (&*self.texts[number as usize], self.log_shares[number as usize]))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        shares.truncate(count);
        shares
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of memory that the extra words `texts` take, with what an allocator adds to each block. Each text is kept three times.
fn bytes(texts: &[Box<str>]) -> usize {
    const BLOCK: usize = 32;
    let copies: usize = texts.iter().map(|text| 3 * (text.len() + BLOCK)).sum();
    let in_both_lists_of_the_index = 2 * (size_of::<Box<str>>() + size_of::<u32>());
    let entry = size_of::<f64>() + size_of::<Box<str>>() + in_both_lists_of_the_index;
    size_of::<ExtraWords>() + copies + texts.len() * entry + 6 * BLOCK
}

impl fmt::Debug for ExtraWords {
    /// Only their number: the words of a person do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} extra words", self.texts.len())
    }
}
