//! The normalisation of a text before it is split: carriage returns are dropped, then strings are replaced, then letters are
//! lowercased.

use std::collections::HashMap;
use std::ops::Range;

use regex::Regex;

use super::TokenizerSpec;
use super::escape::escape_invisible;
use super::hugging_face::GROWTH_MAX;
use super::memory::{Memory, Unbounded};
use super::rewrite::{Rewriter, Rewritten};
use crate::error::{Error, Result};

/// The normalisation rules of one tokenizer.
pub(super) struct Rules {
    /// Whether every `"\r"` is dropped, which is so if line ends are tokens.
    drops_carriage_returns: bool,
    lowercase: bool,
    replacements: Option<Replacements>,
}

struct Replacements {
    /// The keys as alternatives, longest first, so that the leftmost-first match is the longest.
    keys: Regex,
    /// The value of each key, lowercased if letters are.
    values: HashMap<String, String>,
    /// The key that is replaced by itself.
    literal: Option<String>,
    /// The length of the longest key in bytes.
    longest_key: usize,
    /// The neighbours of each space in a key.
    spaces: Vec<Around>,
}

/// The characters on both sides of a space.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Around {
    before: Option<char>,
    after: Option<char>,
}

impl Around {
    /// Whether a space in a key, with these neighbours, may match a space in a text with those; a key's end matches any.
    fn allows(self, text: Self) -> bool {
        self.before.is_none_or(|before| Some(before) == text.before)
            && self.after.is_none_or(|after| Some(after) == text.after)
    }

    fn all(keys: &[&str]) -> Vec<Self> {
        let mut all = Vec::new();
        for key in keys {
            for (at, _) in key.match_indices(' ') {
                let around =
                    Self { before: key[..at].chars().next_back(), after: key[at + 1..].chars().next() };
                if !all.contains(&around) {
                    all.push(around);
                }
            }
        }
        all
    }
}

impl Rules {
    /// The rules of `spec`, which leave `literal` as it is.
    ///
    /// # Errors
    /// `Load` if a key of `replace` is empty or occurs twice.
    pub(super) fn new(spec: &TokenizerSpec, literal: Option<&str>) -> Result<Self> {
        let literal = literal.filter(|_| spec.lowercase || !spec.replace.is_empty());
        let replacements = match (spec.replace.as_slice(), literal) {
            ([], None) => None,
            (pairs, literal) => Some(Replacements::new(pairs, literal, |value| match spec.lowercase {
                true => value.chars().flat_map(char::to_lowercase).collect(),
                false => value.to_owned(),
            })?),
        };
        Ok(Self { drops_carriage_returns: spec.newline.is_some(), lowercase: spec.lowercase, replacements })
    }

    /// `text`, which is short, after normalisation.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Rewritten<'t> {
        self.apply_within(text, &mut Unbounded).expect("bug: without a bound there is memory for any text")
    }

    /// `text` after normalisation.
    ///
    /// # Errors
    /// As [`Memory::take`].
    pub(super) fn apply_within<'t>(&self, text: &'t str, memory: &mut dyn Memory) -> Result<Rewritten<'t>> {
        let mut rewritten = Rewritten::unchanged(text);
        if self.drops_carriage_returns && text.contains('\r') {
            rewritten = drop_carriage_returns(&rewritten, memory)?;
        }
        if self.replacements.is_some() || self.lowercase {
            rewritten = self.replace_and_lowercase(&rewritten, memory)?;
        }
        Ok(rewritten)
    }

    fn replace_and_lowercase<'t>(
        &self,
        source: &Rewritten<'t>,
        memory: &mut dyn Memory,
    ) -> Result<Rewritten<'t>> {
        let text = source.text();
        let mut rewriter = Rewriter::new(source, memory);
        let mut done = 0;
        for found in self.replacements.iter().flat_map(|all| all.keys.find_iter(text)) {
            self.lowercase_range(text, done..found.start(), &mut rewriter);
            rewriter.keep_until(found.start());
            rewriter.substitute(found.len(), self.value(found.as_str(), &text[found.end()..]));
            done = found.end();
        }
        self.lowercase_range(text, done..text.len(), &mut rewriter);
        rewriter.finish()
    }

    fn lowercase_range(&self, text: &str, range: Range<usize>, rewriter: &mut Rewriter<'_, '_>) {
        if !self.lowercase {
            return;
        }
        let start = range.start;
        for (at, c) in text[range].char_indices() {
            let lowered = c.to_lowercase();
            if !lowered.clone().eq([c]) {
                rewriter.keep_until(start + at);
                rewriter.substitute(c.len_utf8(), &lowered.to_string());
            }
        }
    }

    /// What replaces `key`, which is followed by `rest`. The literal stands for a word, so a key before it is replaced as before an
    /// `a`.
    fn value(&self, key: &str, rest: &str) -> &str {
        let Some(all) = &self.replacements else { return "" };
        let before_word = || all.values.get(&format!("{key}a"))?.strip_suffix('a');
        let is_before_literal =
            all.literal.as_ref().is_some_and(|literal| rest.starts_with(literal.as_str()));
        let value = if is_before_literal { before_word() } else { None };
        value.or_else(|| all.values.get(key).map(String::as_str)).unwrap_or_default()
    }

    /// Whether a text without white space stays as it is.
    pub(super) fn keep_words(&self) -> bool {
        self.replacements.is_none() && !self.lowercase
    }

    /// Whether a key of `replace` may match the space between two words that are joined by one.
    pub(super) fn may_replace_space_between(&self, before: &str, next: &str) -> bool {
        let around = Around { before: before.chars().next_back(), after: next.chars().next() };
        self.replacements.iter().flat_map(|all| &all.spaces).any(|key| key.allows(around))
    }

    /// Whether a text that begins with `text` may be cut at both ends of `range`, however it continues: no rule matches across
    /// an end of the range or within it.
    pub(super) fn allow_cuts_around(&self, text: &str, range: Range<usize>) -> bool {
        let Some(replacements) = &self.replacements else {
            return !(self.drops_carriage_returns && text[range].contains('\r'));
        };
        let start = text.floor_char_boundary(range.start.saturating_sub(replacements.longest_key));
        let end = text.ceil_char_boundary(range.end + replacements.longest_key);
        // A key may match across carriage returns that are dropped, so near one no cut is certain.
        if self.drops_carriage_returns && text[start..end].contains('\r') {
            return false;
        }
        // A key overlaps the range if it begins before the range's end and ends after the range's start.
        let begins = (start..range.end).filter(|&at| text.is_char_boundary(at));
        begins.into_iter().all(|at| {
            let rest = &text[at..];
            !replacements.values.keys().any(|key| {
                at + key.len() > range.start && (rest.starts_with(key.as_str()) || key.starts_with(rest))
            })
        })
    }
}

impl Replacements {
    /// Replaces each key of `pairs` by what `normalise` makes of its value, and `literal` by itself.
    ///
    /// # Errors
    /// `Load` if a key is empty or occurs twice, if a value is too long for its key, or if the keys are too large for a regular expression.
    fn new(
        pairs: &[(String, String)],
        literal: Option<&str>,
        normalise: impl Fn(&str) -> String,
    ) -> Result<Self> {
        let mut values = HashMap::new();
        for (key, value) in pairs {
            if key.is_empty() {
                return Err(Error::load("`replace` has an empty key; expected the string that is replaced"));
            }
            let value = normalise(value);
            if value.len() / key.len() > GROWTH_MAX {
                return Err(Error::load(format!(
                    "`replace` makes `{}` more than {GROWTH_MAX} times as long",
                    escape_invisible(key)
                )));
            }
            if values.insert(key.clone(), value).is_some() {
                return Err(Error::load(format!("`replace` has the key `{}` twice", escape_invisible(key))));
            }
        }
        if let Some(literal) = literal {
            values.entry(literal.to_owned()).or_insert_with(|| literal.to_owned());
        }
        let mut keys: Vec<&str> = values.keys().map(String::as_str).collect();
        keys.sort_by_key(|key| (std::cmp::Reverse(key.len()), *key));
        let longest_key = keys[0].len();
        let spaces = Around::all(&keys);
        let pattern = keys.iter().map(|key| regex::escape(key)).collect::<Vec<_>>().join("|");
        let keys = Regex::new(&pattern).map_err(|error| {
            Error::load(format!("the keys of `replace` are too many or too long: {error}"))
        })?;
        Ok(Self { keys, values, literal: literal.map(str::to_owned), longest_key, spaces })
    }
}

fn drop_carriage_returns<'t>(source: &Rewritten<'t>, memory: &mut dyn Memory) -> Result<Rewritten<'t>> {
    let mut rewriter = Rewriter::new(source, memory);
    for (at, dropped) in source.text().match_indices('\r') {
        rewriter.keep_until(at);
        rewriter.substitute(dropped.len(), "");
    }
    rewriter.finish()
}

#[cfg(test)]
mod tests {
    use super::super::TokenizerKind;
    use super::*;

    fn rules(change: impl FnOnce(&mut TokenizerSpec)) -> Rules {
        let mut spec = TokenizerSpec::new(TokenizerKind::Char);
        change(&mut spec);
        Rules::new(&spec, None).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn newline(spec: &mut TokenizerSpec) {
        spec.newline = Some("<eos>".into());
    }

    #[test]
    fn carriage_returns_are_dropped_only_if_line_ends_are_tokens() {
        assert_eq!(rules(|_| ()).apply("a\r\nb").text(), "a\r\nb");
        assert_eq!(rules(newline).apply("a\r\nb\r").text(), "a\nb");
    }

    #[test]
    fn the_longest_key_at_the_leftmost_place_is_replaced_once() {
        let keys = [("--", "—"), ("-", "--"), ("---", "-"), (".*", "x")];
        let rules = rules(|spec| spec.replace = pairs(&keys));
        assert_eq!(rules.apply("a-b--c---d----e.f.*").text(), "a--b—c-d---e.fx");
    }

    #[test]
    fn letters_are_lowercased_without_regard_to_their_neighbours() {
        let rules = rules(|spec| {
            spec.lowercase = true;
            spec.replace = pairs(&[("Ab", "XÉ")]);
        });
        let lowercased = |text: &str| rules.apply(text).text().to_owned();
        assert_eq!(lowercased("ÀÉ ΟΔΟΣ İI Ǆ"), "àé οδοσ i\u{307}i ǆ", "there is no final sigma");
        assert_eq!(
            lowercased("Ab AB ab"),
            "xé ab ab",
            "keys match before lowercasing; values are lowercased"
        );
    }

    #[test]
    fn a_literal_is_neither_replaced_nor_lowercased() {
        let mut spec = TokenizerSpec::new(TokenizerKind::Word);
        spec.lowercase = true;
        assert_eq!(Rules::new(&spec, Some("<UNK>")).unwrap().apply("A<UNK>B").text(), "a<UNK>b");
        spec.replace = pairs(&[("<", ""), ("K", "k"), ("UNK", "X")]);
        assert_eq!(Rules::new(&spec, Some("<UNK>")).unwrap().apply("K<UNK><UN").text(), "k<UNK>un");
        spec.replace = pairs(&[("'", "’"), ("'a", "'a"), ("-a", "x")]);
        let before_word = Rules::new(&spec, Some("<UNK>")).unwrap().apply("'<UNK>'<-<UNK>").text().to_owned();
        assert_eq!(before_word, "'<UNK>’<-<UNK>", "it is a word for the rules of other characters");
    }

    #[test]
    fn only_a_key_with_a_space_between_the_same_characters_may_replace_the_space() {
        let rules = rules(|spec| spec.replace = pairs(&[(" '", "x"), (". . .", "…"), ("a\tb", "c")]));
        for (before, next, may) in
            [("a", "'", true), (".", ".", true), (".", "a", false), ("a", ".", false), ("a", "b", false)]
        {
            assert_eq!(rules.may_replace_space_between(before, next), may, "{before} {next}");
        }
    }

    #[test]
    fn a_key_may_match_across_a_dropped_carriage_return() {
        let rules = rules(|spec| {
            newline(spec);
            spec.replace = pairs(&[("ab", "c")]);
        });
        assert_eq!(rules.apply("xa\rby").text(), "xcy");
    }

    #[test]
    fn an_empty_or_repeated_key_is_refused() {
        for (keys, message) in [
            (&[("", "x")][..], "`replace` has an empty key; expected the string that is replaced"),
            (&[("\n", "x"), ("\n", "y")], r"`replace` has the key `\n` twice"),
        ] {
            assert_eq!(Replacements::new(&pairs(keys), None, str::to_owned).err().unwrap().message, message);
        }
    }

    #[test]
    fn a_value_that_explodes_is_refused() {
        let long = "x".repeat(2 * GROWTH_MAX);
        assert!(Replacements::new(&pairs(&[("ab", &long)]), None, str::to_owned).is_ok());
        let message = Replacements::new(&pairs(&[("a", &long)]), None, str::to_owned).err().unwrap().message;
        assert_eq!(message, "`replace` makes `a` more than 256 times as long");
    }

    #[test]
    fn a_cut_is_not_allowed_where_a_key_may_match_across_it() {
        let rules = rules(|spec| {
            newline(spec);
            spec.replace = pairs(&[("  ", " "), ("e.g.", "eg")]);
        });
        let allowed = |text: &str, range| rules.allow_cuts_around(text, range);
        assert!(allowed("a bc", 1..2));
        assert!(!allowed("a  b", 1..2));
        assert!(!allowed("a ", 1..2), "a second space may follow");
        assert!(!allowed("see e.", 6..6), "the rest of a key may follow");
        assert!(allowed("see e, ", 6..6));
        assert!(!allowed("a\r b, c", 2..3), "a carriage return is near");
    }
}
