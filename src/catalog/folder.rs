//! One model folder, read and checked as a whole: from files to a model that can be served.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::files::{Limit, read, read_regular, resolve, unreadable};
use super::guard::guarded;
use super::manifest::{Manifest, NetworkSpec};
use super::network::{Computed, Source};
use super::stamp::Stamp;
use crate::error::{Error, Result};
use crate::lm::{Logits, Model, Row, Scratch, State, TokenId};
use crate::onnx::Understanding;
use crate::probe::{Loading, Probe, Trial};
use crate::text::{Joint, Tail, Tokenizer, TokenizerKind, TokenizerSpec, escape_invisible};

/// A model with everything that is needed to serve it.
#[derive(Clone)]
pub struct Served {
    /// The folder's name, which requests use.
    pub name: Arc<str>,
    /// The weights.
    pub model: Arc<dyn Model>,
    /// From text to token ids and back. It may have fewer entries than the model has outputs, where the output layer was padded.
    pub tokenizer: Arc<Tokenizer>,
    /// SHA-256 over weights, architecture or overrides, and effective weight type, in hexadecimal. A state belongs to one identity.
    pub identity: Arc<str>,
    /// What every sequence has read before its position 0.
    pub initial_tokens: Vec<TokenId>,
    /// The state after the initial tokens: where sequences start.
    pub start: State,
    /// The context of the text decoder there.
    pub start_tail: Tail,
    /// When the weights file was last modified.
    pub created: SystemTime,
    /// How its graph was understood; `None` for a safetensors file.
    pub understanding: Option<Arc<Understanding>>,
    /// What its files looked like when it was loaded.
    pub stamp: Stamp,
    /// What lives as long as anybody uses the model, such as an account of its memory.
    pub held: Option<Kept>,
}

/// Something that is kept until its last owner drops it.
pub type Kept = Arc<dyn Send + Sync>;

impl Served {
    /// A model that starts after `initial_tokens`.
    ///
    /// # Errors
    /// `Load` when the model fails on them.
    pub fn new(parts: Parts, initial_tokens: Vec<TokenId>) -> Result<Self> {
        let Parts { name, model, tokenizer, identity, created, understanding } = parts;
        let start = state_after(&*model, &initial_tokens)?;
        let start_tail = Tail::new(&initial_tokens, Joint::Open);
        Ok(Self {
            name,
            model,
            tokenizer,
            identity,
            initial_tokens,
            start,
            start_tail,
            created,
            understanding,
            stamp: Stamp::default(),
            held: None,
        })
    }
}

/// The parts of a [`Served`], before its first state is known.
pub struct Parts {
    /// See [`Served::name`].
    pub name: Arc<str>,
    /// See [`Served::model`].
    pub model: Arc<dyn Model>,
    /// See [`Served::tokenizer`].
    pub tokenizer: Arc<Tokenizer>,
    /// See [`Served::identity`].
    pub identity: Arc<str>,
    /// See [`Served::created`].
    pub created: SystemTime,
    /// See [`Served::understanding`].
    pub understanding: Option<Arc<Understanding>>,
}

/// Loads the model folder `folder`. What `loading` leaves open, its manifest decides.
///
/// # Errors
/// `Load` naming the file at fault, what was found in it and what was expected; also where reading it panics, which is a bug.
pub fn load_folder(folder: &Path, loading: impl Into<Loading>) -> Result<Served> {
    guarded(|| read_folder(folder, &loading.into()))
}

fn read_folder(folder: &Path, loading: &Loading) -> Result<Served> {
    let name = name_of(folder)?;
    // Before anything is read: what changes meanwhile is a change for whoever looks later.
    let stamp = Stamp::of(folder)?;
    let manifest = read_manifest(folder)?;
    let tokenizer = load_tokenizer(folder, &manifest, loading.probe.as_ref())?;
    let initial_tokens = initial_tokens(&manifest, &tokenizer)?;

    let source = Source { folder, manifest: &manifest, tokenizer: &tokenizer };
    let Computed { model, identity, understanding } = source.load(loading)?;
    check_fit(&tokenizer, &manifest, model.info().vocab_size)?;
    let created = created(folder, &manifest.weights)?;
    let parts = Parts {
        name: name.into(),
        model,
        tokenizer: Arc::new(tokenizer),
        identity: identity.into(),
        created,
        understanding: understanding.map(Arc::new),
    };
    Ok(Served { stamp, ..Served::new(parts, initial_tokens)? })
}

/// The length of the file of weights in `folder`, about what the model needs at least. Weights of an ONNX graph may lie in any other file
/// of its folder, and the graph is not read to know in which.
///
/// # Errors
/// `Load` for a folder without a manifest or without the file that it names.
pub fn weights_bytes(folder: &Path) -> Result<usize> {
    let manifest = read_manifest(folder)?;
    let path = resolve(folder, &manifest.weights)?;
    let len = path.metadata().map_err(|error| unreadable(&path, &error))?.len();
    let beside = match manifest.network {
        NetworkSpec::Declared(_) => 0,
        NetworkSpec::Graph(_) => external_bytes(folder, &manifest)?,
    };
    Ok(usize::try_from(len.saturating_add(beside)).unwrap_or(usize::MAX))
}

/// The length of all files in `folder` that may hold weights of its graph.
fn external_bytes(folder: &Path, manifest: &Manifest) -> Result<u64> {
    let stamp = Stamp::of(folder)?;
    let names = stamp.paths().filter_map(|path| path.strip_prefix(folder).ok()?.to_str());
    let may_hold = |name: &&str| *name != manifest.tokenizer_file && may_hold_weights(name);
    // What is no regular file inside the folder is not read, and a file with two names is one.
    let files: BTreeSet<PathBuf> =
        names.filter(may_hold).filter_map(|name| resolve(folder, name).ok()).collect();
    let mut len = 0u64;
    for file in files {
        let bytes = file.metadata().map_err(|error| unreadable(&file, &error))?.len();
        len = len.saturating_add(bytes);
    }
    Ok(len)
}

/// Whether a file of this name may hold weights of the graph beside it: exporters name such files as they like.
fn may_hold_weights(name: &str) -> bool {
    /// Of texts, and of other models.
    const OTHERS: [&str; 6] = ["json", "md", "onnx", "py", "safetensors", "txt"];

    let path = Path::new(name);
    // Such as those of a version control system.
    let is_hidden = path.iter().any(|part| part.to_str().is_some_and(|part| part.starts_with('.')));
    let extension = path.extension().and_then(OsStr::to_str);
    !is_hidden && !extension.is_some_and(|extension| OTHERS.contains(&extension))
}

/// The checked manifest of the model folder `folder`.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest> {
    if let Some(graph) = graph_without_manifest(folder) {
        return Err(Error::load(format!(
            "`{}` has no manifest; `rnnlm-server inspect {} --write-manifest` writes one to start from",
            graph.file_name().unwrap_or_default().display(),
            graph.display()
        )));
    }
    let json = read(folder, Manifest::FILE, Limit::Manifest)?;
    Manifest::parse(&json).map_err(|error| error.within(format!("`{}`", Manifest::FILE)))
}

/// The first ONNX file of a folder without a manifest.
pub(super) fn graph_without_manifest(folder: &Path) -> Option<PathBuf> {
    if folder.join(Manifest::FILE).exists() {
        return None;
    }
    let files = folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "onnx") && path.is_file()).min()
}

/// The name of the model in `folder`: the folder's own, even where the path ends in `.` or `..`.
///
/// # Errors
/// A name that is not UTF-8; a path that cannot be followed.
pub fn name_of(folder: &Path) -> Result<String> {
    let canonical = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    let name = folder.file_name().or(canonical.file_name()).and_then(|name| name.to_str());
    let expected = || {
        Error::load(format!(
            "the name of `{}` is not UTF-8, so the model cannot be named after it",
            folder.display()
        ))
    };
    name.map(str::to_owned).ok_or_else(expected)
}

/// The tokenizer of a folder, which `probe` may try first.
pub(super) fn load_tokenizer(folder: &Path, manifest: &Manifest, probe: Option<&Probe>) -> Result<Tokenizer> {
    let file = &manifest.tokenizer_file;
    let within = |error: Error| error.within(format!("`tokenizer` with `{file}`"));
    let bytes = read(folder, file, Limit::Tokenizer).map_err(|error| {
        let holds = match manifest.tokenizer.kind {
            TokenizerKind::HuggingFace => "a Hugging Face `tokenizer.json`",
            TokenizerKind::Whitespace | TokenizerKind::Word | TokenizerKind::Char => {
                "one token a line, line number = id"
            }
        };
        Error::load(format!("{error}; `tokenizer.file` names it, expected {holds}"))
    })?;
    try_first(folder, file, manifest.tokenizer.kind, probe).map_err(within)?;
    Tokenizer::new(&manifest.tokenizer, &bytes).map_err(within)
}

/// Has `probe` read the tokenizer `file` of a folder first, if its `kind` is one that is not bounded by reading.
pub(super) fn try_first(folder: &Path, file: &str, kind: TokenizerKind, probe: Option<&Probe>) -> Result<()> {
    match (kind, probe) {
        (TokenizerKind::HuggingFace, Some(probe)) => {
            probe.run(&Trial { kind: "tokenizer", path: &resolve(folder, file)?, input: b"" })
        }
        _ => Ok(()),
    }
}

/// Reads the `tokenizer.json` at `path`, as the child that tries it.
///
/// # Errors
/// `Load` if it is none.
pub fn try_tokenizer(path: &Path) -> Result<()> {
    let bytes = read_regular(path, Limit::Tokenizer)?;
    Tokenizer::new(&TokenizerSpec::new(TokenizerKind::HuggingFace), &bytes).map(drop)
}

/// Refuses a vocabulary that does not have the size of the model's.
fn check_fit(tokenizer: &Tokenizer, manifest: &Manifest, expected: usize) -> Result<()> {
    let found = tokenizer.vocab_size();
    let fits = match tokenizer.kind() {
        // Training tools often pad the output layer to a multiple of 8 or 64.
        TokenizerKind::HuggingFace => found <= expected,
        TokenizerKind::Whitespace | TokenizerKind::Word | TokenizerKind::Char => found == expected,
    };
    if fits {
        return Ok(());
    }
    let more = if tokenizer.kind() == TokenizerKind::HuggingFace { " at most" } else { "" };
    let by = match manifest.network {
        NetworkSpec::Declared(_) => "`architecture.vocab_size`".to_owned(),
        NetworkSpec::Graph(_) => format!("the logits of `{}`", manifest.weights),
    };
    let file = &manifest.tokenizer_file;
    Err(Error::load(format!("`{file}` has {found} entries, expected {expected}{more}: {by}")))
}

fn initial_tokens(manifest: &Manifest, tokenizer: &Tokenizer) -> Result<Vec<TokenId>> {
    let id = |entry: &String| {
        let unknown = || {
            Error::load(format!(
                "`initial_tokens` has `{}`, which the vocabulary does not have",
                escape_invisible(entry)
            ))
        };
        tokenizer.id_of(entry).ok_or_else(unknown)
    };
    manifest.initial_tokens.iter().map(id).collect()
}

fn state_after(model: &dyn Model, tokens: &[TokenId]) -> Result<State> {
    let mut state = model.start_state();
    let mut rows = [Row::new(&mut state, tokens, Logits::None)];
    model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| ());
    let [Row { outcome, .. }] = rows;
    outcome.map_err(|error| Error::load(format!("reading `initial_tokens`: {error}")))?;
    Ok(state)
}

fn created(folder: &Path, file: &str) -> Result<SystemTime> {
    let path = folder.join(file);
    path.metadata().and_then(|metadata| metadata.modified()).map_err(|error| unreadable(&path, &error))
}
