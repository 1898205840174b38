//! One model folder, read and checked whole: from files to what can be served.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::manifest::Manifest;
use super::weights::read_weights;
use crate::error::{Error, Result};
use crate::lm::{Cell, Dtype, Joint, Logits, Model, Row, Scratch, State, Tail, TokenId};
use crate::rnn::{GruForm, Kernel, Rnn};
use crate::text::{Digest, Kind, Tokenizer, visible};

/// A model with all that serving it takes.
#[derive(Clone)]
pub struct Served {
    /// The folder's name: what requests call it.
    pub name: Arc<str>,
    /// The weights.
    pub model: Arc<dyn Model>,
    /// Texts to its tokens and back. It may have fewer entries than the model has outputs, where a `tokenizer.json` was padded.
    pub tokenizer: Arc<Tokenizer>,
    /// SHA-256 over weights, architecture and effective weight type, in hexadecimal. States belong to one identity.
    pub identity: String,
    /// What every sequence has read before its position 0.
    pub initial_tokens: Vec<TokenId>,
    /// The state after the initial tokens: where sequences start.
    pub start: State,
    /// How the text stands there.
    pub start_tail: Tail,
    /// When the weights were written.
    pub created: SystemTime,
}

impl Served {
    /// A model that starts after `initial_tokens`.
    ///
    /// # Errors
    /// `Load` when reading them fails.
    pub fn new(parts: Parts, initial_tokens: Vec<TokenId>) -> Result<Self> {
        let Parts { name, model, tokenizer, identity, created } = parts;
        let start = state_after(&*model, &initial_tokens)?;
        let start_tail = Tail::new(&initial_tokens, Joint::Open);
        Ok(Self { name, model, tokenizer, identity, initial_tokens, start, start_tail, created })
    }
}

/// What a [`Served`] is made of, before its first state is known.
pub struct Parts {
    /// See [`Served::name`].
    pub name: Arc<str>,
    /// See [`Served::model`].
    pub model: Arc<dyn Model>,
    /// See [`Served::tokenizer`].
    pub tokenizer: Arc<Tokenizer>,
    /// See [`Served::identity`].
    pub identity: String,
    /// See [`Served::created`].
    pub created: SystemTime,
}

/// Loads the model folder `folder`, to run on `kernel`.
///
/// # Errors
/// `Load` naming the file at fault, what was found in it and what was expected.
pub fn load_folder(folder: &Path, kernel: Kernel) -> Result<Served> {
    let name = name_of(folder)?;
    let manifest = read_manifest(folder)?;
    let tokenizer = load_tokenizer(folder, &manifest)?;
    let initial_tokens = initial_tokens(&manifest, &tokenizer)?;

    let file = read(folder, &manifest.weights)?;
    let within = |error: Error| error.within(format!("`{}`", manifest.weights));
    let (weights, stored) =
        read_weights(&file, &manifest.architecture, manifest.output_weights).map_err(within)?;
    let identity = identity(&file, &manifest);
    drop(file);
    let model: Arc<dyn Model> =
        Arc::new(Rnn::new(&manifest.architecture, weights, stored, kernel).map_err(within)?);
    let created = created(folder, &manifest.weights)?;
    Served::new(
        Parts { name: name.into(), model, tokenizer: Arc::new(tokenizer), identity, created },
        initial_tokens,
    )
}

/// The checked manifest of the model folder `folder`.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest> {
    let json = read(folder, Manifest::FILE)?;
    Manifest::parse(&json).map_err(|error| error.within(format!("`{}`", Manifest::FILE)))
}

/// The folder's own name, also where the path ends in `.` or `..`.
fn name_of(folder: &Path) -> Result<String> {
    let canonical = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    let name = folder.file_name().or(canonical.file_name()).and_then(|name| name.to_str());
    let expected =
        || Error::load(format!("`{}` has no name in UTF-8, which the model would have", folder.display()));
    name.map(str::to_owned).ok_or_else(expected)
}

fn load_tokenizer(folder: &Path, manifest: &Manifest) -> Result<Tokenizer> {
    let file = &manifest.tokenizer_file;
    let tokenizer = Tokenizer::new(&manifest.tokenizer, &read(folder, file)?)
        .map_err(|error| error.within(format!("`tokenizer` with `{file}`")))?;
    let (found, expected) = (tokenizer.vocab_size(), manifest.architecture.vocab_size);
    let fits = match tokenizer.kind() {
        // Output layers are often padded to a multiple of 8 or 64 over a vocabulary that training tools made.
        Kind::HuggingFace => found <= expected,
        Kind::Whitespace | Kind::Word | Kind::Char => found == expected,
    };
    if !fits {
        let more = if tokenizer.kind() == Kind::HuggingFace { " at most" } else { "" };
        return Err(Error::load(format!(
            "`{file}` has {found} entries, expected {expected}{more}: `architecture.vocab_size`"
        )));
    }
    Ok(tokenizer)
}

fn initial_tokens(manifest: &Manifest, tokenizer: &Tokenizer) -> Result<Vec<TokenId>> {
    let id = |entry: &String| {
        let unknown = || {
            Error::load(format!(
                "`initial_tokens` has `{}`, which the vocabulary does not have",
                visible(entry)
            ))
        };
        tokenizer.id_of(entry).ok_or_else(unknown)
    };
    manifest.initial_tokens.iter().map(id).collect()
}

fn state_after(model: &dyn Model, tokens: &[TokenId]) -> Result<State> {
    let mut state = model.zero_state();
    let mut rows = [Row::new(&mut state, tokens, Logits::None)];
    model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| ());
    let [Row { outcome, .. }] = rows;
    outcome.map_err(|error| Error::load(format!("reading `initial_tokens`: {error}")))?;
    Ok(state)
}

/// The digest over all that decides the model's numbers.
fn identity(weights: &[u8], manifest: &Manifest) -> String {
    let architecture = &manifest.architecture;
    let gru_form = match (architecture.cell, architecture.gru_form) {
        (Cell::Gru, GruForm::ResetAfter) => "reset_after",
        (Cell::Gru, GruForm::ResetBefore) => "reset_before",
        _ => "none",
    };
    // What the weights are multiplied as, whatever the file stores: see `ModelInfo::weights_dtype`.
    let effective = Dtype::F32;
    let mut digest = Digest::default();
    digest.field(weights);
    digest.field(architecture.cell.name().as_bytes());
    digest.field(gru_form.as_bytes());
    digest.field(manifest.output_weights.name().as_bytes());
    for size in
        [architecture.vocab_size, architecture.embedding_size].iter().chain(&architecture.hidden_sizes)
    {
        digest.field(size.to_string().as_bytes());
    }
    digest.field(effective.name().as_bytes());
    digest.finish()
}

fn created(folder: &Path, file: &str) -> Result<SystemTime> {
    let path = folder.join(file);
    path.metadata().and_then(|metadata| metadata.modified()).map_err(|error| unreadable(&path, &error))
}

pub(super) fn read(folder: &Path, file: &str) -> Result<Vec<u8>> {
    std::fs::read(folder.join(file)).map_err(|error| unreadable(Path::new(file), &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::load(format!("cannot read `{}`: {error}", path.display()))
}
