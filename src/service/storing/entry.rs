//! A session as an entry of a store: the file of its state, as `GET /v1/sessions/{id}/state` answers it, with what else belongs to the
//! session in its metadata.
//!
//! Extra words are a tensor of bytes, because metadata are bounded: for each, the logarithm of its share as a double, the length of its text
//! in four bytes, and the text. The state has a checksum of its own; a second one covers the rest. An entry is read only if it is what
//! this module has written.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::catalog::Served;
use crate::digest::Digest;
use crate::error::Result;
use crate::service::state::file::{Beside, StateFile, mismatch, write_beside};
use crate::session::{Record, Restored, StoredName, Unusable, no_longer_served, weights_changed};
use crate::text::ExtraWords;

/// The names of the metadata.
const NAME: &str = "session";
const CREATED: &str = "session_created";
const LAST_USED: &str = "session_last_used";
const TTL: &str = "session_ttl";
const REWIND_TOKENS: &str = "session_rewind_tokens";
const CHECKSUM: &str = "session_checksum";

/// The name of the tensor.
const WORDS: &str = "session_words";

/// What an entry holds beside the state of its session.
struct Outline {
    name: StoredName,
    /// Nanoseconds since 1970.
    created: u64,
    last_used: u64,
    /// Nanoseconds.
    ttl: u64,
    rewind_tokens: usize,
}

/// What became of an entry.
pub(super) enum Found {
    /// It lives on.
    Session(Box<Restored>),
    /// Its weights are not here.
    Unusable(Unusable),
}

/// The entry of a session of `served`.
pub(super) fn write(served: &Served, record: &Record) -> Result<Vec<u8>> {
    let words = record.extra_words.as_ref().map_or_else(Vec::new, |words| bytes_of(words));
    let outline = Outline {
        name: record.name.clone(),
        created: nanos_of(record.created_at),
        last_used: nanos_of(record.last_used_at),
        ttl: u64::try_from(record.ttl.as_nanos()).unwrap_or(u64::MAX),
        rewind_tokens: record.rewind_tokens,
    };
    let metadata = vec![
        (NAME, outline.name.to_string()),
        (CREATED, outline.created.to_string()),
        (LAST_USED, outline.last_used.to_string()),
        (TTL, outline.ttl.to_string()),
        (REWIND_TOKENS, outline.rewind_tokens.to_string()),
        (CHECKSUM, outline.checksum(&record.model, &words)),
    ];
    write_beside(served, &record.snapshot, Beside { metadata, bytes: Some((WORDS, &words)) })
}

/// The session of an entry with this `key`. `served` finds a model by its name.
///
/// # Errors
/// `StateMismatch` for an entry that is damaged.
pub(super) fn read(key: &str, bytes: &[u8], served: impl Fn(&str) -> Option<Arc<Served>>) -> Result<Found> {
    let file = StateFile::open_beside(bytes, 1)?;
    let words = file.bytes(WORDS)?;
    let outline = Outline::read(&file)?;
    let model = file.model()?;
    if outline.name.to_string() != key {
        return Err(mismatch(format!("the entry is that of session `{}`", outline.name)));
    }
    if outline.checksum(model, words) != file.field(CHECKSUM)? {
        return Err(mismatch("the entry is damaged: its checksum does not match its content".to_owned()));
    }
    let identity = file.identity()?;
    let why = match served(model) {
        Some(served) if *served.identity == *identity => return outline.session(&file, &served, words),
        Some(served) => weights_changed(model, identity, &served.identity),
        None => no_longer_served(model),
    };
    let expires_at = time_of(outline.last_used.saturating_add(outline.ttl));
    Ok(Found::Unusable(Unusable { name: outline.name, why, expires_at }))
}

impl Outline {
    fn read(file: &StateFile<'_>) -> Result<Self> {
        let number = |key: &str| -> Result<u64> {
            let found = file.field(key)?;
            found
                .parse()
                .map_err(|_| mismatch(format!("`{key}` of the entry is {found:?}, expected a number")))
        };
        Ok(Self {
            name: StoredName::parse(file.field(NAME)?).map_err(|error| mismatch(error.message))?,
            created: number(CREATED)?,
            last_used: number(LAST_USED)?,
            ttl: number(TTL)?,
            rewind_tokens: usize::try_from(number(REWIND_TOKENS)?).unwrap_or(usize::MAX),
        })
    }

    /// A digest of all that is not in the state.
    fn checksum(&self, model: &str, words: &[u8]) -> String {
        let Self { name, created, last_used, ttl, rewind_tokens } = self;
        let mut digest = Digest::default();
        digest.field(name.to_string().as_bytes());
        digest.field(model.as_bytes());
        for number in [*created, *last_used, *ttl, *rewind_tokens as u64] {
            digest.field(&number.to_le_bytes());
        }
        digest.field(words);
        digest.finish()
    }

    fn session(self, file: &StateFile<'_>, served: &Arc<Served>, words: &[u8]) -> Result<Found> {
        let record = Record {
            name: self.name,
            model: served.name.clone(),
            snapshot: file.snapshot(served)?,
            rewind_tokens: self.rewind_tokens,
            ttl: Duration::from_nanos(self.ttl),
            extra_words: words_of(words)?.map(Arc::new),
            created_at: time_of(self.created),
            last_used_at: time_of(self.last_used),
        };
        // One copy of the identity for all sessions.
        let snapshot = crate::session::Snapshot { identity: served.identity.clone(), ..record.snapshot };
        let record = Record { snapshot, ..record };
        Ok(Found::Session(Box::new(Restored { record, vocab_size: served.model.info().vocab_size })))
    }
}

/// Nanoseconds since 1970; times before are 1970.
fn nanos_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn time_of(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn bytes_of(words: &ExtraWords) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (text, log_share) in words.shares() {
        bytes.extend(log_share.to_le_bytes());
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn words_of(mut bytes: &[u8]) -> Result<Option<ExtraWords>> {
    let mut shares = Vec::new();
    while !bytes.is_empty() {
        let (share, text, rest) = first_word(bytes)
            .ok_or_else(|| mismatch("the extra words of the entry are cut short".to_owned()))?;
        if !(f64::NEG_INFINITY..=0.0).contains(&share) {
            return Err(mismatch(format!(
                "an extra word of the entry has the logarithm {share}, expected one of a share"
            )));
        }
        shares.push((text.into(), share));
        bytes = rest;
    }
    Ok((!shares.is_empty()).then(|| ExtraWords::of_shares(shares)))
}

/// The share and the text of the first word, and the bytes after it.
fn first_word(bytes: &[u8]) -> Option<(f64, &str, &[u8])> {
    let (share, bytes) = bytes.split_first_chunk()?;
    let (len, bytes) = bytes.split_first_chunk()?;
    let (text, rest) = bytes.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((f64::from_le_bytes(*share), std::str::from_utf8(text).ok()?, rest))
}
