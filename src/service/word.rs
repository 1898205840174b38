//! A word where one token is expected: it is short, so it is looked up at once, and no more of its tokens are found than needed.

use super::Service;
use super::input::check_token;
use super::memory::EncodingMemory;
use crate::api::prompt::Word;
use crate::budget::Purpose;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::text::Wanted;

impl Service {
    /// The token that a word or an id names; `path` is its path in the request.
    ///
    /// # Errors
    /// When it is not in the vocabulary, is not one token, or is too long; as [`Self::take`].
    pub(super) fn single_token(&self, served: &Served, word: &Word, path: &str) -> Result<TokenId> {
        let text = match word {
            Word::Id(token) => {
                return check_token(*token, served).map(|()| *token).map_err(|error| error.at(path));
            }
            Word::Text(text) => text,
        };
        self.check_word_len(text, path)?;
        let refused = |kind, what: &str| {
            let message = format!("`{path}` is {text:?}, which {what}");
            Err(Error::new(kind, message).at(path))
        };
        let wanted = Wanted { spans: false, tokens_max: 1 };
        let mut memory = EncodingMemory(self.take(Purpose::Tokens, 0)?);
        match served.tokenizer.encode_within(text, wanted, &mut memory) {
            Ok(encoding) => match encoding.tokens.as_slice() {
                [token] if encoding.unknown_count() == 0 => Ok(*token),
                [_] => refused(ErrorKind::UnknownToken, "is not in the vocabulary"),
                _ => refused(ErrorKind::EmptyInput, "has no tokens; one token is accepted"),
            },
            Err(error) if error.kind == ErrorKind::TextTooLong => {
                refused(ErrorKind::InvalidValue, "has more than one token; one token is accepted")
            }
            Err(error) => Err(self.counted(error).at(path)),
        }
    }

    /// Refuses a word, at `path` in the request, that is too long, whether it is half-typed or whole.
    pub(super) fn check_word_len(&self, word: &str, path: &str) -> Result<()> {
        let max = self.config.limits.max_prefix_length;
        if word.len() <= max.0 {
            return Ok(());
        }
        let found = word.len();
        let message = format!("`{path}` has {found} bytes; the maximum is {max} (`--max-prefix-length`)");
        Err(Error::new(ErrorKind::TextTooLong, message).at(path))
    }
}
