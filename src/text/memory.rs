//! The memory that encoding a text takes, asked for before it is allocated.

use crate::error::Result;

/// Gives memory for an encoding, or refuses it.
pub trait Memory {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// If there are not so many; the encoding then fails with this error.
    fn take(&mut self, bytes: usize) -> Result<()>;

    /// Gives back `bytes` that were taken.
    fn give_back(&mut self, bytes: usize);
}

/// As much as is asked for.
pub(super) struct Unbounded;

impl Memory for Unbounded {
    fn take(&mut self, _bytes: usize) -> Result<()> {
        Ok(())
    }

    fn give_back(&mut self, _bytes: usize) {}
}

/// Makes room for another value in `list`.
///
/// # Errors
/// As [`Memory::take`].
pub(super) fn room_for_one<T>(list: &mut Vec<T>, memory: &mut dyn Memory) -> Result<()> {
    if list.len() == list.capacity() {
        let before = list.capacity();
        let added = growth(before, 1);
        memory.take((before + added).saturating_mul(size_of::<T>()))?;
        list.reserve_exact(added);
        // The values may have been moved, so both places were in use.
        memory.give_back(before * size_of::<T>());
    }
    Ok(())
}

/// Makes room for `more` bytes in `text`.
///
/// # Errors
/// As [`Memory::take`].
pub(super) fn room_in_text(text: &mut String, more: usize, memory: &mut dyn Memory) -> Result<()> {
    if text.capacity() - text.len() < more {
        let before = text.capacity();
        let added = growth(before, more);
        memory.take(before + added)?;
        text.reserve_exact(added);
        memory.give_back(before);
    }
    Ok(())
}

/// What is added to a capacity that does not suffice for `more`: it doubles at least, so that each value is moved twice on average.
fn growth(capacity: usize, more: usize) -> usize {
    const LEAST: usize = 4;
    capacity.max(more).max(LEAST)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{TokenizerKind, TokenizerSpec, Wanted};
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::text::Tokenizer;

    /// Gives at most `max` bytes at once.
    pub(in crate::text) struct Counted {
        max: usize,
        pub(in crate::text) taken: usize,
        pub(in crate::text) peak: usize,
    }

    impl Counted {
        pub(in crate::text) fn to(max: usize) -> Self {
            Self { max, taken: 0, peak: 0 }
        }
    }

    impl Memory for Counted {
        fn take(&mut self, bytes: usize) -> Result<()> {
            if bytes > self.max - self.taken {
                return Err(Error::new(ErrorKind::TooLarge, "too much"));
            }
            self.taken += bytes;
            self.peak = self.peak.max(self.taken);
            Ok(())
        }

        fn give_back(&mut self, bytes: usize) {
            self.taken -= bytes;
        }
    }

    fn tokenizer(kind: TokenizerKind, replace: &[(&str, &str)]) -> Tokenizer {
        let mut spec = TokenizerSpec::new(kind);
        spec.replace = replace.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Tokenizer::new(&spec, b"a\nb\n ").expect("the vocabulary is valid")
    }

    pub(in crate::text) const IDS: Wanted = Wanted { spans: false, tokens_max: usize::MAX };

    #[test]
    fn an_encoding_asks_for_as_much_as_it_holds_and_for_its_growth() {
        let text = "a".repeat(1000);
        let chars = tokenizer(TokenizerKind::Char, &[]);
        let mut memory = Counted::to(usize::MAX);
        let encoding = chars.encode_within(&text, IDS, &mut memory).unwrap();
        assert_eq!(encoding.bytes(), 4 * 1000 + 16, "ids, and the span of the first");
        assert!((encoding.bytes()..2 * encoding.bytes() + 100).contains(&memory.taken), "{}", memory.taken);
        let mut spans = Counted::to(usize::MAX);
        chars.encode_within(&text, Wanted::ALL, &mut spans).unwrap();
        assert!(spans.taken > 4 * memory.taken, "{} and {}", spans.taken, memory.taken);
        let mut too_little = Counted::to(memory.peak - 1);
        let refused = chars.encode_within(&text, IDS, &mut too_little).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooLarge);
        assert!(chars.encode_within(&text, IDS, &mut Counted::to(memory.peak)).is_ok());
    }

    #[test]
    fn a_text_that_rules_make_longer_is_asked_for_too() {
        let long = "ab".repeat(100);
        let rules = tokenizer(TokenizerKind::Char, &[("b", &long)]);
        let text = "b".repeat(100);
        let mut memory = Counted::to(usize::MAX);
        let encoding = rules.encode_within(&text, IDS, &mut memory).unwrap();
        assert_eq!(encoding.tokens.len(), 100 * 200);
        assert!(memory.taken >= 100 * 200 + encoding.bytes(), "{}", memory.taken);
        let refused = rules.encode_within(&text, IDS, &mut Counted::to(10_000)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::TooLarge);
    }
}
