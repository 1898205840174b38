//! A manifest to start from, for an ONNX file without one: what can be inferred from the graph and the files beside it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::files::{Limit, read};
use super::folder::try_first;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::onnx::{Hints, Understanding, WindowHint};
use crate::probe::Probe;
use crate::text::{Tokenizer, TokenizerKind, TokenizerSpec};

/// A draft of a manifest, its keys in the order of the documentation.
#[derive(Debug, Serialize)]
pub struct Draft {
    format_version: u64,
    weights: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    onnx: Option<OnnxDraft>,
    tokenizer: TokenizerDraft,
    initial_tokens: Vec<String>,
    #[serde(skip)]
    has_vocabulary: bool,
}

#[derive(Debug, Serialize)]
struct OnnxDraft {
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "object")]
    state: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "object")]
    inputs: Vec<(String, serde_json::Value)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad: Option<String>,
}

#[derive(Debug, Serialize)]
struct TokenizerDraft {
    kind: &'static str,
    file: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eos: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newline: Option<String>,
}

/// Common names of the token for unknown words.
const UNK: [&str; 5] = ["<unk>", "<UNK>", "[UNK]", "<oov>", "unk"];
/// Common names of the token that ends a text.
const EOS: [&str; 6] = ["<eos>", "</s>", "<EOS>", "<end>", "[EOS]", "<|endoftext|>"];
/// Common names of the token that begins it.
const BOS: [&str; 7] = ["<s>", "<bos>", "<sos>", "<BOS>", "<start>", "[BOS]", "[CLS]"];
/// Common names of the padding token.
const PAD: [&str; 3] = ["<pad>", "<PAD>", "[PAD]"];

impl Draft {
    /// A draft for the graph `weights` in `folder`.
    pub fn new(folder: &Path, weights: &str, understanding: &Understanding, probe: Option<&Probe>) -> Self {
        let found = Found::beside(folder, probe);
        let marked = |key: &str, entries: &[&str]| found.marked(understanding, key, entries);
        let unk = marked("unk_id", &UNK);
        let eos = marked("eos_id", &EOS);
        let bos = marked("sos_id", &BOS).or_else(|| marked("bos_id", &[]));
        let pad = marked("pad_id", &PAD).or_else(|| bos.clone()).or_else(|| eos.clone());
        let has_line_ends = found.tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.id_of("\n").is_some());
        let newline = eos.clone().filter(|_| found.kind == TokenizerKind::Whitespace && !has_line_ends);
        let onnx = understanding.interface.clone().map(|interface| {
            let Hints { tokens, state, inputs, logits, window, .. } = interface;
            let window = match window {
                Some(WindowHint::Len(len)) => Some(len),
                Some(WindowHint::Unlimited) | None => None,
            };
            let pad = window.map(|_| pad.unwrap_or_else(|| found.entry(0).unwrap_or_else(|| PAD[0].into())));
            OnnxDraft { tokens, state, inputs, logits, window, pad }
        });
        Self {
            format_version: Manifest::FORMAT_VERSION,
            weights: weights.to_owned(),
            onnx,
            initial_tokens: bos.or_else(|| eos.clone()).into_iter().collect(),
            has_vocabulary: found.tokenizer.is_some(),
            tokenizer: TokenizerDraft { kind: found.kind.name(), file: found.file, unk, eos, newline },
        }
    }

    /// Whether the file of its tokenizer exists and can be read.
    pub fn has_vocabulary(&self) -> bool {
        self.has_vocabulary
    }

    /// The text of a `config.json`.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are JSON") + "\n"
    }

    /// Writes it into `folder`, which must have no manifest yet, and returns its path.
    ///
    /// # Errors
    /// `Load` when there is a manifest, or it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(Manifest::FILE);
        let refused =
            |error: std::io::Error| Error::load(format!("cannot write `{}`: {error}", path.display()));
        let mut file = File::create_new(&path).map_err(refused)?;
        file.write_all(self.json().as_bytes()).map_err(refused)?;
        Ok(path)
    }
}

/// The vocabulary beside a graph, or the file where one is expected.
struct Found {
    kind: TokenizerKind,
    file: &'static str,
    tokenizer: Option<Tokenizer>,
}

impl Found {
    fn beside(folder: &Path, probe: Option<&Probe>) -> Self {
        const LINES: &str = "vocab.txt";

        let open = |kind: TokenizerKind, file: &'static str| {
            let bytes = read(folder, file, Limit::Tokenizer).ok()?;
            try_first(folder, file, kind, probe).ok()?;
            let tokenizer = Tokenizer::new(&TokenizerSpec::new(kind), &bytes).ok()?;
            Some(Self { kind, file, tokenizer: Some(tokenizer) })
        };
        let lines =
            open(TokenizerKind::Whitespace, LINES).map(|found| Self { kind: found.kind_of_lines(), ..found });
        lines.or_else(|| open(TokenizerKind::HuggingFace, "tokenizer.json")).unwrap_or(Self {
            kind: TokenizerKind::Whitespace,
            file: LINES,
            tokenizer: None,
        })
    }

    /// `Char` where all entries except special ones are single characters.
    fn kind_of_lines(&self) -> TokenizerKind {
        let Some(tokenizer) = &self.tokenizer else { return TokenizerKind::Whitespace };
        let is_special = |entry: &str| {
            let ends = (entry.chars().next(), entry.chars().next_back());
            entry.len() > 2 && matches!(ends, (Some('<'), Some('>')) | (Some('['), Some(']')))
        };
        let mut entries = (0..tokenizer.vocab_size()).map(|id| tokenizer.entry(id as TokenId));
        match entries.all(|entry| entry.chars().count() <= 1 || is_special(entry)) {
            true => TokenizerKind::Char,
            false => TokenizerKind::Whitespace,
        }
    }

    fn entry(&self, id: TokenId) -> Option<String> {
        let entry = self.tokenizer.as_ref()?.entry(id);
        (!entry.is_empty()).then(|| entry.to_owned())
    }

    /// The entry whose id is in the graph's metadata under `key`, as icefall writes them; otherwise the first of `entries` in the vocabulary.
    fn marked(&self, understanding: &Understanding, key: &str, entries: &[&str]) -> Option<String> {
        let id = understanding.metadata.iter().find(|(name, _)| name == key);
        let by_id = id.and_then(|(_, id)| self.entry(id.parse().ok()?));
        let tokenizer = self.tokenizer.as_ref()?;
        let known = || entries.iter().find(|entry| tokenizer.id_of(entry).is_some());
        by_id.or_else(|| known().map(|&entry| entry.to_owned()))
    }
}

fn object<T: Serialize, S: Serializer>(pairs: &[(String, T)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}
