//! The vocabulary, and its file `vocab.txt`: one entry on each line, whose id is the line's number from 0.

use std::collections::HashMap;
use std::sync::Arc;

use super::escape::escape_invisible;
use crate::error::{Error, Result};
use crate::lm::TokenId;

/// Entries by id, and ids by entry.
pub(super) struct Vocabulary {
    entries: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, TokenId>,
}

impl Vocabulary {
    /// Reads a `vocab.txt` in UTF-8. Only `"\n"` ends a line, and the last line may lack it. `\n`, `\r`, `\t` and `\\` are escape
    /// sequences; a backslash before any other character stands for itself.
    ///
    /// # Errors
    /// `Load`, naming the line at fault.
    pub(super) fn parse(file: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(file).map_err(|error| {
            let line = 1 + file[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            Error::load(format!("line {line} is not UTF-8"))
        })?;
        if text.is_empty() {
            return Err(Error::load("the file is empty; expected one token on each line"));
        }
        if has_carriage_returns(text) {
            return Err(Error::load(r"its lines end with `\r\n`; expected lines that end with `\n` alone"));
        }
        Self::from_entries(text.strip_suffix('\n').unwrap_or(text).split('\n').map(unescape))
    }

    /// The vocabulary of `entries`, numbered from 0.
    ///
    /// # Errors
    /// `Load`, naming both lines of an entry that occurs twice.
    fn from_entries(entries: impl Iterator<Item = String>) -> Result<Self> {
        let mut vocabulary = Self { entries: Vec::new(), ids: HashMap::new() };
        for entry in entries {
            let entry: Arc<str> = entry.into();
            let id = TokenId::try_from(vocabulary.entries.len())
                .map_err(|_| Error::load(format!("the file has more than {} entries", TokenId::MAX)))?;
            if let Some(first) = vocabulary.ids.insert(entry.clone(), id) {
                let first = u64::from(first) + 1;
                let second = u64::from(id) + 1;
                let entry = escape_invisible(&entry);
                return Err(Error::load(format!("line {second} repeats `{entry}` of line {first}")));
            }
            vocabulary.entries.push(entry);
        }
        Ok(vocabulary)
    }

    /// The vocabulary of entries with their ids. An id without an entry has the empty string, which is not found as an entry.
    pub(super) fn sparse(pairs: impl IntoIterator<Item = (String, TokenId)>) -> Self {
        let pairs: Vec<(Arc<str>, TokenId)> =
            pairs.into_iter().map(|(entry, id)| (entry.into(), id)).collect();
        let len = pairs.iter().map(|&(_, id)| id as usize + 1).max().unwrap_or(0);
        let mut entries = vec![Arc::from(""); len];
        for (entry, id) in &pairs {
            entries[*id as usize] = entry.clone();
        }
        Self { entries, ids: pairs.into_iter().collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of `token`; empty if it has none.
    pub(super) fn entry(&self, token: TokenId) -> &str {
        self.entries.get(token as usize).map_or("", |entry| entry)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &**entry)
    }

    pub(super) fn id_of(&self, entry: &str) -> Option<TokenId> {
        self.ids.get(entry).copied()
    }
}

/// Whether the lines of a file end with `"\r\n"`: two of them at least, and every line that tells. The last line does not if it has no end, and a
/// line of `"\r"` alone may be the entry of that character, in a vocabulary of characters.
fn has_carriage_returns(text: &str) -> bool {
    let ended = text.rsplit_once('\n').map_or("", |(ended, _)| ended);
    let lines: Vec<&str> = ended.split('\n').collect();
    let telling: Vec<&str> = lines.iter().copied().filter(|line| *line != "\r").collect();
    let telling = if telling.is_empty() { &lines } else { &telling };
    lines.len() > 1 && telling.iter().all(|line| line.ends_with('\r'))
}

fn unescape(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        entry.push_str(before);
        let (plain, len) = match escape.as_bytes().get(1) {
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'\\') => ('\\', 2),
            _ => ('\\', 1),
        };
        entry.push(plain);
        rest = &escape[len..];
    }
    entry + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(file: &str) -> Vec<String> {
        let vocabulary = Vocabulary::parse(file.as_bytes()).unwrap();
        (0..vocabulary.len()).map(|id| vocabulary.entry(id as TokenId).to_owned()).collect()
    }

    #[test]
    fn only_line_feeds_end_a_line() {
        assert_eq!(entries("a\nb"), ["a", "b"]);
        assert_eq!(entries("a\nb\n"), ["a", "b"]);
        assert_eq!(entries("a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(entries("a\u{2028}\u{85}\x0b\n\r\n"), ["a\u{2028}\u{85}\x0b", "\r"]);
    }

    #[test]
    fn escape_sequences_are_replaced() {
        assert_eq!(
            entries("\\n\n\\r\n\\t\n\\\\\n\\\\n\n1\\/2\nx\\"),
            ["\n", "\r", "\t", "\\", "\\n", "1\\/2", "x\\"]
        );
    }

    #[test]
    fn a_file_that_is_not_a_vocabulary_is_refused() {
        for (file, message) in [
            (&b""[..], "the file is empty; expected one token on each line"),
            (b"a\nb\xff\n", "line 2 is not UTF-8"),
            (b"a\nb\na\n", "line 3 repeats `a` of line 1"),
            (b"\\n\n\\n\n", r"line 2 repeats `\n` of line 1"),
        ] {
            assert_eq!(Vocabulary::parse(file).err().unwrap().message, message);
        }
    }

    #[test]
    fn lines_that_end_with_a_carriage_return_are_refused() {
        for file in ["a\r\nb\r\n", "the\r\nsea\r\nman", "a\r\n\r\nb\r\n", "a\r\n\r\n", "\r\n\r\n"] {
            let refused = Vocabulary::parse(file.as_bytes()).err().map(|error| error.message);
            let message = r"its lines end with `\r\n`; expected lines that end with `\n` alone";
            assert_eq!(refused.as_deref(), Some(message), "{file:?}");
        }
    }

    #[test]
    fn a_carriage_return_may_be_an_entry() {
        assert_eq!(entries("\r\n"), ["\r"]);
        assert_eq!(entries("\r\na"), ["\r", "a"]);
        assert_eq!(entries("\r\na\n"), ["\r", "a"]);
        assert_eq!(entries("a\n\r\n\\n"), ["a", "\r", "\n"]);
        assert_eq!(entries("a\n\r"), ["a", "\r"]);
    }

    #[test]
    fn an_id_without_an_entry_has_the_empty_string() {
        let vocabulary = Vocabulary::sparse([("a".to_owned(), 0), ("c".to_owned(), 2)]);
        assert_eq!((vocabulary.len(), vocabulary.entry(1), vocabulary.id_of("")), (3, "", None));
        assert_eq!((vocabulary.entry(2), vocabulary.entry(9)), ("c", ""));
    }
}
