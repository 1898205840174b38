//! A text in which special tokens stand by their names, and its way to tokens.

use std::sync::Arc;

use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::service::memory::EncodingMemory;
use crate::service::threads::Abandoned;
use crate::text::{Memory, Wanted, room_for};

/// A token and the name by which it stands in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Special<'a> {
    pub(super) token: TokenId,
    pub(super) name: &'a str,
}

/// The tokens that a text can name: those that end a text, stand for unknown words, or are read first. White space names none.
pub(super) fn specials(served: &Served) -> Vec<Special<'_>> {
    let tokenizer = &served.tokenizer;
    let mut tokens = served.initial_tokens.clone();
    tokens.extend(tokenizer.eos());
    tokens.extend(tokenizer.unk());
    tokens.sort_unstable();
    tokens.dedup();
    let each = tokens.into_iter().map(|token| Special { token, name: tokenizer.entry(token) });
    each.filter(|special| !special.name.trim().is_empty()).collect()
}

/// A text on its way to become tokens.
pub(super) struct Marked {
    pub(super) served: Arc<Served>,
    pub(super) text: String,
    /// The tokens before it.
    pub(super) tokens: Vec<TokenId>,
    /// Most tokens, with those before it.
    pub(super) tokens_max: usize,
    pub(super) memory: EncodingMemory,
}

/// The tokens of a text, and the memory that they take.
pub(super) struct Unmarked {
    pub(super) tokens: Vec<TokenId>,
    pub(super) unknown_count: usize,
    pub(super) memory: EncodingMemory,
}

impl Marked {
    /// How much longer a text takes to be tokenised if it is cut into many short parts.
    const TIMES_AS_LONG: usize = 16;

    /// The length of a text without special tokens that takes as long.
    pub(super) fn bytes(&self) -> usize {
        self.text.len().saturating_mul(Self::TIMES_AS_LONG)
    }

    /// Tokenises the text part by part, each within what the parts before it have left.
    ///
    /// # Errors
    /// `TextTooLong` as soon as there is a token too many; an unknown word where the model has no unknown token; too little memory.
    pub(super) fn encode(self, abandoned: &Abandoned) -> Result<Unmarked> {
        let Self { served, text, mut tokens, tokens_max, mut memory } = self;
        let mut unknown_count = 0;
        for part in Parts::of(&text, &specials(&served)) {
            abandoned.check()?;
            let left = tokens_max.saturating_sub(tokens.len());
            match part {
                Part::Special(_) if left == 0 => {
                    let message = format!("the text has more than {tokens_max} tokens");
                    return Err(Error::new(ErrorKind::TextTooLong, message));
                }
                Part::Special(token) => {
                    room_for(&mut tokens, 1, &mut memory)?;
                    tokens.push(token);
                }
                Part::Text { text, start } => {
                    let before = memory.0.bytes();
                    let wanted = Wanted { spans: false, tokens_max: left };
                    let encoded = served.tokenizer.encode_within(text, wanted, &mut memory);
                    let encoding = encoded.map_err(|error| counted_from(start, error))?;
                    let own = memory.0.bytes() - before;
                    unknown_count += encoding.unknown_count();
                    room_for(&mut tokens, encoding.tokens.len(), &mut memory)?;
                    tokens.extend_from_slice(&encoding.tokens);
                    drop(encoding);
                    memory.give_back(own);
                }
            }
        }
        Ok(Unmarked { tokens, unknown_count, memory })
    }
}

/// A part of a text.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    /// A special token, by its name.
    Special(TokenId),
    /// Text between special tokens, and the number of characters before it.
    Text { text: &'t str, start: usize },
}

/// The parts of a text, which is cut at the names of special tokens. Of two names that begin at one place, the longer is meant.
struct Parts<'t> {
    text: &'t str,
    names: Vec<Name<'t>>,
    /// The end of what was cut off, in bytes.
    end: usize,
    /// The same in characters.
    start: usize,
}

/// The name of a special token, and where it occurs next.
#[derive(Clone, Copy)]
struct Name<'t> {
    special: Special<'t>,
    at: Option<usize>,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str, specials: &[Special<'t>]) -> Self {
        let names = specials.iter().map(|&special| Name { special, at: text.find(special.name) });
        Self { text, names: names.collect(), end: 0, start: 0 }
    }

    /// The name that comes next. Each is sought anew only when it lies behind, so that the text is searched once for each.
    fn nearest(&mut self) -> Option<Name<'t>> {
        let Self { text, names, end, .. } = self;
        for Name { special, at } in &mut *names {
            if at.is_some_and(|at| at < *end) {
                *at = text[*end..].find(special.name).map(|at| *end + at);
            }
        }
        let found = names.iter().filter(|name| name.at.is_some());
        found.min_by_key(|name| (name.at, usize::MAX - name.special.name.len())).copied()
    }

    /// Moves to the end of `part` of the text.
    fn pass(&mut self, part: &str) {
        self.end += part.len();
        self.start += part.chars().count();
    }
}

impl<'t> Iterator for Parts<'t> {
    type Item = Part<'t>;

    fn next(&mut self) -> Option<Part<'t>> {
        let nearest = self.nearest();
        let text: &'t str = self.text;
        let before = &text[self.end..nearest.and_then(|name| name.at).unwrap_or(text.len())];
        if !before.is_empty() {
            let start = self.start;
            self.pass(before);
            return Some(Part::Text { text: before, start });
        }
        let Name { special, .. } = nearest?;
        self.pass(special.name);
        Some(Part::Special(special.token))
    }
}

/// The same error about a part of the text that begins after `start` characters.
fn counted_from(start: usize, error: Error) -> Error {
    match error.kind {
        ErrorKind::UnknownToken if start > 0 => {
            let message = format!(
                "{}; counted from character {start} of `prompt`, where a special token ends",
                error.message
            );
            Error { message, ..error }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, BudgetLimits, Holder, Purpose};
    use crate::catalog::Parts as OfModel;
    use crate::lm::fake::Fake;
    use crate::text::{Tokenizer, TokenizerKind, TokenizerSpec};

    #[test]
    fn a_text_is_cut_at_names_and_the_longer_of_two_is_meant() {
        let specials = [
            Special { token: 0, name: "<e>" },
            Special { token: 1, name: "<e>x" },
            Special { token: 2, name: "é" },
        ];
        let text = |text, start| Part::Text { text, start };
        for (given, expected) in [
            ("", vec![]),
            ("a b", vec![text("a b", 0)]),
            ("<e>", vec![Part::Special(0)]),
            ("<e>xé", vec![Part::Special(1), Part::Special(2)]),
            (
                "ü<e> <e<e>xy",
                vec![text("ü", 0), Part::Special(0), text(" <e", 4), Part::Special(1), text("y", 11)],
            ),
        ] {
            assert_eq!(Parts::of(given, &specials).collect::<Vec<_>>(), expected, "{given}");
        }
    }

    #[test]
    fn the_place_of_an_unknown_word_is_counted_from_a_special_token() {
        let error = || Error::new(ErrorKind::UnknownToken, "`z` at character 1 is not known");
        assert_eq!(counted_from(0, error()).message, error().message);
        let message = counted_from(7, error()).message;
        assert!(
            message.ends_with("counted from character 7 of `prompt`, where a special token ends"),
            "{message}"
        );
    }

    /// A model of the words `a` and `b`, without an unknown token.
    fn served() -> Arc<Served> {
        let spec =
            TokenizerSpec { eos: Some("<e>".to_owned()), ..TokenizerSpec::new(TokenizerKind::Whitespace) };
        let parts = OfModel {
            name: "words".into(),
            model: Arc::new(Fake::new(3)),
            tokenizer: Arc::new(Tokenizer::new(&spec, b"<e>\na\nb").unwrap()),
            identity: "words".into(),
            created: std::time::UNIX_EPOCH,
            understanding: None,
        };
        Arc::new(Served::new(parts, Vec::new()).unwrap())
    }

    fn budget(bytes_max: usize) -> Arc<Budget> {
        Budget::new(BudgetLimits { bytes_max, bytes_min: 0, answers_max: 0 })
    }

    fn unmarked(text: &str, tokens_max: usize, budget: &Arc<Budget>) -> Result<Unmarked> {
        let memory = EncodingMemory(budget.take(&Holder::default(), Purpose::Tokens, 0).unwrap());
        let marked = Marked { served: served(), text: text.to_owned(), tokens: vec![2], tokens_max, memory };
        marked.encode(&Abandoned::default())
    }

    #[test]
    fn a_text_has_the_tokens_of_its_parts_and_no_more_than_its_maximum() {
        let text = "a<e>b <e> ";
        let found = unmarked(text, 5, &budget(1000)).unwrap();
        assert_eq!((found.tokens, found.unknown_count), (vec![2, 1, 0, 2, 0], 0));
        for (text, tokens_max) in [(text, 4), (text, 3), (text, 2), (text, 1), ("a<e>b zebra", 3)] {
            let refused = unmarked(text, tokens_max, &budget(1000)).err().expect("it has a token more");
            assert_eq!(refused.kind, ErrorKind::TextTooLong, "{text}, {tokens_max}");
        }
        let refused = unmarked("a<e>b zebra", 4, &budget(1000)).err().expect("a word is not known");
        assert_eq!(refused.kind, ErrorKind::UnknownToken);
    }

    #[test]
    fn the_tokens_of_all_parts_are_counted_and_a_part_only_while_it_is_read() {
        let text = "a<e>".repeat(10_000);
        let plenty = budget(1 << 30);
        let found = unmarked(&text, usize::MAX, &plenty).unwrap();
        let bytes = size_of_val(&*found.tokens);
        assert_eq!(bytes, 20_001 * size_of::<TokenId>());
        assert!((bytes..2 * bytes).contains(&plenty.taken()), "{}", plenty.taken());
        drop(found);
        assert_eq!(plenty.taken(), 0);
        let refused = unmarked(&text, usize::MAX, &budget(bytes)).err().expect("there is too little memory");
        assert_eq!(refused.kind, ErrorKind::TooLarge);
    }
}
