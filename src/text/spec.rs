//! The specification of a tokenizer, as a manifest gives it: everything but the vocabulary itself.

/// What a [`Tokenizer`](super::Tokenizer) is built from, together with the bytes of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerSpec {
    /// How a text is split.
    pub kind: TokenizerKind,
    /// The entry that stands for every word that is not in the vocabulary.
    pub unk: Option<String>,
    /// The entry that ends a text.
    pub eos: Option<String>,
    /// The entry that every `"\n"` becomes; `"\r"` is then dropped.
    pub newline: Option<String>,
    /// Whether letters are lowercased before splitting, each without regard to its neighbours.
    pub lowercase: bool,
    /// Literal strings and their replacements, applied before lowercasing and splitting: one pass, leftmost-longest.
    pub replace: Vec<(String, String)>,
    /// The regular expression of [`TokenizerKind::Word`]; `None` means [`DEFAULT_PATTERN`].
    pub pattern: Option<String>,
}

impl TokenizerSpec {
    /// A tokenizer of `kind` without any further rule.
    pub fn new(kind: TokenizerKind) -> Self {
        Self {
            kind,
            unk: None,
            eos: None,
            newline: None,
            lowercase: false,
            replace: Vec::new(),
            pattern: None,
        }
    }
}

/// Words (with their combining marks), numbers, English clitics, and single characters of anything else.
pub const DEFAULT_PATTERN: &str =
    r"[Oo]'[Cc]lock|[Mm]a'am|'(?:[dmst]|ll|re|ve)\b|\p{L}[\p{L}\p{M}]*|\p{N}+|[^\s]";

/// The ways of splitting a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenizerKind {
    /// At white space, which is dropped.
    Whitespace,
    /// By a regular expression, into words and punctuation; white space that it does not match is dropped.
    Word,
    /// Into single Unicode scalar values.
    Char,
    /// As a Hugging Face `tokenizer.json` specifies.
    HuggingFace,
}

impl TokenizerKind {
    /// All kinds.
    pub const ALL: [TokenizerKind; 4] =
        [TokenizerKind::Whitespace, TokenizerKind::Word, TokenizerKind::Char, TokenizerKind::HuggingFace];

    /// The name in manifests and answers.
    pub fn name(self) -> &'static str {
        match self {
            TokenizerKind::Whitespace => "whitespace",
            TokenizerKind::Word => "word",
            TokenizerKind::Char => "char",
            TokenizerKind::HuggingFace => "huggingface",
        }
    }
}
