//! What happens to a text before it is split: carriage returns dropped, strings replaced, letters lowered. In this order.

use std::collections::HashMap;
use std::ops::Range;

use regex::Regex;

use super::TokenizerSpec;
use super::rewrite::{Rewriter, Rewritten};
use super::visible::visible;
use crate::error::{Error, Result};

/// The rules of one tokenizer.
pub(super) struct Rules {
    /// Whether `"\r"` is dropped: only where line ends are tokens.
    drops_returns: bool,
    lowercase: bool,
    replacements: Option<Replacements>,
}

struct Replacements {
    /// The keys, longest first: leftmost-first then matches the longest.
    keys: Regex,
    /// Key to value; the values are lowered already where letters are.
    values: HashMap<String, String>,
    /// The longest key, in bytes.
    reach: usize,
}

impl Rules {
    /// The rules of `spec`.
    ///
    /// # Errors
    /// `Load` for a key of `replace` that is empty or there twice.
    pub(super) fn new(spec: &TokenizerSpec) -> Result<Self> {
        let replacements = match spec.replace.as_slice() {
            [] => None,
            pairs => Some(Replacements::new(pairs, |value| match spec.lowercase {
                true => value.chars().flat_map(char::to_lowercase).collect(),
                false => value.to_owned(),
            })?),
        };
        Ok(Self { drops_returns: spec.newline.is_some(), lowercase: spec.lowercase, replacements })
    }

    /// `text` as it will be split.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Rewritten<'t> {
        let mut rewritten = Rewritten::unchanged(text);
        if self.drops_returns && text.contains('\r') {
            rewritten = drop_returns(&rewritten);
        }
        if self.replacements.is_some() || self.lowercase {
            rewritten = self.replace_and_lower(&rewritten);
        }
        rewritten
    }

    fn replace_and_lower<'t>(&self, source: &Rewritten<'t>) -> Rewritten<'t> {
        let text = source.text();
        let mut rewriter = Rewriter::new(source);
        let mut done = 0;
        for found in self.replacements.iter().flat_map(|all| all.keys.find_iter(text)) {
            self.lower(text, done..found.start(), &mut rewriter);
            rewriter.keep_until(found.start());
            rewriter.substitute(found.len(), self.value(found.as_str()));
            done = found.end();
        }
        self.lower(text, done..text.len(), &mut rewriter);
        rewriter.finish()
    }

    fn lower(&self, text: &str, range: Range<usize>, rewriter: &mut Rewriter<'_, '_>) {
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

    fn value(&self, key: &str) -> &str {
        self.replacements.as_ref().and_then(|all| all.values.get(key)).map_or("", String::as_str)
    }

    /// Whether some key of `replace` has white space in it: what joining words puts between them may be replaced.
    pub(super) fn replace_white_space(&self) -> bool {
        self.replacements
            .as_ref()
            .is_some_and(|all| all.values.keys().any(|key| key.contains(char::is_whitespace)))
    }

    /// Whether cutting a text that begins with `text` at both ends of `range`, however it goes on, leaves what the rules do to
    /// it unchanged and `range` itself alone.
    pub(super) fn leave_alone(&self, text: &str, range: Range<usize>) -> bool {
        let Some(replacements) = &self.replacements else {
            return !(self.drops_returns && text[range].contains('\r'));
        };
        let (start, end) = (range.start.saturating_sub(replacements.reach), range.end + replacements.reach);
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        // A key may match across returns that are dropped: near one, nothing is sure.
        if self.drops_returns && text[start..end].contains('\r') {
            return false;
        }
        // A key touches the range if it begins before its end and ends after its start.
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
    /// `pairs`, the values finished by `finish`.
    fn new(pairs: &[(String, String)], finish: impl Fn(&str) -> String) -> Result<Self> {
        let mut values = HashMap::new();
        for (key, value) in pairs {
            if key.is_empty() {
                return Err(Error::load("`replace` has an empty key; expected the string to replace"));
            }
            if values.insert(key.clone(), finish(value)).is_some() {
                return Err(Error::load(format!("`replace` has the key `{}` twice", visible(key))));
            }
        }
        let mut keys: Vec<&str> = values.keys().map(String::as_str).collect();
        keys.sort_by_key(|key| (std::cmp::Reverse(key.len()), *key));
        let reach = keys[0].len();
        let pattern = keys.iter().map(|key| regex::escape(key)).collect::<Vec<_>>().join("|");
        let keys = Regex::new(&pattern)
            .map_err(|error| Error::load(format!("`replace` has too many or too long keys: {error}")))?;
        Ok(Self { keys, values, reach })
    }
}

fn drop_returns<'t>(source: &Rewritten<'t>) -> Rewritten<'t> {
    let mut rewriter = Rewriter::new(source);
    for (at, dropped) in source.text().match_indices('\r') {
        rewriter.keep_until(at);
        rewriter.substitute(dropped.len(), "");
    }
    rewriter.finish()
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn rules(change: impl FnOnce(&mut TokenizerSpec)) -> Rules {
        let mut spec = TokenizerSpec::new(Kind::Char);
        change(&mut spec);
        Rules::new(&spec).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn newline(spec: &mut TokenizerSpec) {
        spec.newline = Some("<eos>".into());
    }

    #[test]
    fn returns_are_dropped_only_where_line_ends_are_tokens() {
        assert_eq!(rules(|_| ()).apply("a\r\nb").text(), "a\r\nb");
        assert_eq!(rules(newline).apply("a\r\nb\r").text(), "a\nb");
    }

    #[test]
    fn the_longest_of_the_leftmost_is_replaced_once() {
        let keys = [("--", "—"), ("-", "--"), ("---", "-"), (".*", "x")];
        let rules = rules(|spec| spec.replace = pairs(&keys));
        assert_eq!(rules.apply("a-b--c---d----e.f.*").text(), "a--b—c-d---e.fx");
    }

    #[test]
    fn letters_are_lowered_each_on_its_own() {
        let rules = rules(|spec| {
            spec.lowercase = true;
            spec.replace = pairs(&[("Ab", "XÉ")]);
        });
        let lowered = |text: &str| rules.apply(text).text().to_owned();
        assert_eq!(lowered("ÀÉ ΟΔΟΣ İI Ǆ"), "àé οδοσ i\u{307}i ǆ", "no final sigma");
        assert_eq!(lowered("Ab AB ab"), "xé ab ab", "replaced before, the value lowered too");
    }

    #[test]
    fn keys_may_match_what_dropping_returns_brings_together() {
        let rules = rules(|spec| {
            newline(spec);
            spec.replace = pairs(&[("ab", "c")]);
        });
        assert_eq!(rules.apply("xa\rby").text(), "xcy");
    }

    #[test]
    fn keys_that_cannot_be_are_refused() {
        for (keys, message) in [
            (&[("", "x")][..], "`replace` has an empty key; expected the string to replace"),
            (&[("\n", "x"), ("\n", "y")], r"`replace` has the key `\n` twice"),
        ] {
            assert_eq!(Replacements::new(&pairs(keys), str::to_owned).err().unwrap().message, message);
        }
    }

    #[test]
    fn a_key_that_may_begin_or_go_on_is_seen() {
        let rules = rules(|spec| {
            newline(spec);
            spec.replace = pairs(&[("  ", " "), ("e.g.", "eg")]);
        });
        let sure = |text: &str, range| rules.leave_alone(text, range);
        assert!(sure("a bc", 1..2));
        assert!(!sure("a  b", 1..2));
        assert!(!sure("a ", 1..2), "a second space may follow");
        assert!(!sure("see e.", 6..6), "a key may go on");
        assert!(sure("see e, ", 6..6));
        assert!(!sure("a\r b, c", 2..3), "a return near by");
    }
}
