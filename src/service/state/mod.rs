//! Use case: a state leaves the server and comes back, to this server or to another with the same weights.

pub(super) mod file;
mod size;

use std::sync::Arc;

use super::Service;
use super::bounds::Bound;
use super::refusal::counted;
use super::sessions::described;
use super::target::Target;
use crate::api;
use crate::api::sessions::Session;
use crate::api::state::{CacheState, Carried, LayerState, PutStateQuery, SessionState};
use crate::catalog::Served;
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Cache, CacheOptions, State};
use crate::session::{NewSession, OnExisting, SessionId, Snapshot, Standing};
use file::{StateFile, parts};
pub(super) use size::Brought;

/// A session that was given a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Imported {
    /// There was no session with the id.
    Created(Session),
    /// The session stands elsewhere now.
    Replaced(Session),
}

impl Service {
    /// The state of a session, as a file. This is no use of the session.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn export_state(&self, id: &str) -> Result<Vec<u8>> {
        let (served, snapshot) = self.state_of(id)?;
        let cache = snapshot.state.cache().map_or(0, |cache| cache.bytes_max(0));
        self.keep(self.room_for_state_file(size::len(&served) + cache)?);
        file::write(&served, &snapshot)
    }

    /// The state of a session, layer by layer. This is no use of the session.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn describe_state(&self, id: &str) -> Result<SessionState> {
        let (served, snapshot) = self.state_of(id)?;
        let (layers, values) = match served.model.state_is_layered() {
            true => (layers(&served, &snapshot.state), None),
            false => (Vec::new(), Some(snapshot.state.as_slice().to_vec())),
        };
        Ok(SessionState {
            model: served.name.to_string(),
            identity: served.identity.to_string(),
            position: snapshot.position,
            layers,
            values,
            cache: snapshot.state.cache().map(|cache| described_cache(cache)),
        })
    }

    fn state_of(&self, id: &str) -> Result<(Arc<Served>, Snapshot)> {
        let session = self.session_target(id, None)?;
        let Standing { model, snapshot, .. } = self.sessions.look(&session.id)?;
        self.check_model(&session, &model, &snapshot)?;
        Ok((session.served, snapshot))
    }

    /// Sets the session `id` to a state, or creates it there. A session that exists keeps everything but its state: its time to live, its
    /// extra words, and how far it can go back, which begins anew. Its cache is that of the state.
    ///
    /// # Errors
    /// `StateMismatch` for a state that is damaged, or was computed by other weights; `SessionBusy`; `PositionMismatch`; no room for the
    /// session, or for a cache that is larger than it had, and then it stays where it was.
    pub async fn import_state(&self, id: &str, bytes: &[u8], query: PutStateQuery) -> Result<Imported> {
        self.settled_in(id, self.import_now(id, bytes, query)).await
    }

    async fn import_now(&self, id: &str, bytes: &[u8], query: PutStateQuery) -> Result<Imported> {
        let PutStateQuery { model, expected } = query;
        let id = SessionId::parse(id)?;
        let exists = match self.sessions.info(&id) {
            Ok(_) => true,
            Err(error) if expected.expected_position.is_some() => return Err(error),
            Err(_) => false,
        };
        if !exists {
            let (served, snapshot) = self.read_state(bytes, model.as_deref()).await?;
            let _claim = self.claim_new(Some(&id)).await?;
            let session = self.add_session(NewSession {
                id: Some(id),
                model: served.name.clone(),
                vocab_size: served.model.info().vocab_size,
                snapshot,
                ttl: None,
                extra_words: None,
                on_existing: OnExisting::Refuse,
            })?;
            return Ok(Imported::Created(session));
        }
        let session = self.session_target(id.as_str(), model.as_deref())?;
        let (_, snapshot) = self.read_state(bytes, Some(&session.served.name)).await?;
        let mut lease = self.lease(&session, expected).await?;
        counted(&self.metrics, lease.restart(snapshot))?;
        drop(lease);
        Ok(Imported::Replaced(described(self.sessions.info(&id)?)))
    }

    /// The start of a model, or the state that the field `state` of a request gives, which is encoded in base64.
    ///
    /// # Errors
    /// `ModelNotFound`; `StateMismatch`.
    pub(super) async fn state_target(&self, model: Option<&str>, state: Option<&str>) -> Result<Target> {
        let Some(state) = state else { return self.model_target(model) };
        let not_base64 = |error| {
            let message = format!("`state` is not base64: {error}; what `return_state` returned is required");
            Error::new(ErrorKind::StateMismatch, message)
        };
        let read = match base64::decode(state).map_err(not_base64) {
            Ok(bytes) => self.read_state(&bytes, model).await,
            Err(error) => Err(error),
        };
        let (served, snapshot) = read.map_err(|error| match error.kind {
            ErrorKind::StateMismatch => error.at("state"),
            _ => error,
        })?;
        Ok(Target::Given { served, snapshot: Box::new(snapshot) })
    }

    /// Where a request without a session starts, with the cache that it asks for.
    ///
    /// # Errors
    /// As [`Self::state_target`] and [`Self::with_cache`].
    pub(super) async fn start_target(&self, model: Option<&str>, carried: &Carried) -> Result<Target> {
        let target = self.state_target(model, carried.state.as_deref()).await?;
        self.with_cache(target, carried.cache.as_ref())
    }

    /// The state of a file, and the model that it belongs to: `model`, or else the one with the same weights.
    async fn read_state(&self, bytes: &[u8], model: Option<&str>) -> Result<(Arc<Served>, Snapshot)> {
        let file = StateFile::open(bytes)?;
        let served = match model {
            Some(name) => self.named_model(Some(name))?,
            None => self.model_of(&file)?,
        };
        let snapshot = file.snapshot(&served)?;
        if let Some(cache) = snapshot.state.cache() {
            let Bound { max, option, .. } = self.cache_window("state");
            let window = cache.options().window;
            if window > max {
                let message = format!(
                    "the window of the cache in `state` is {window}; the maximum is {max} (`{option}`)"
                );
                return Err(Error::invalid("state", message));
            }
        }
        // Some models keep token ids in their states, and check them when they run.
        let checked = self.read_copy(&served, snapshot.clone(), ReadingPlan::default()).await;
        checked.map_err(|error| match error.kind {
            ErrorKind::Internal => Error { kind: ErrorKind::StateMismatch, ..error },
            _ => error,
        })?;
        Ok((served, snapshot))
    }

    /// The first model with this identity.
    pub(super) fn model_with(&self, identity: &str) -> Option<Arc<Served>> {
        self.catalog().iter().find(|served| *served.identity == *identity).cloned()
    }

    fn model_of(&self, file: &StateFile<'_>) -> Result<Arc<Served>> {
        let identity = file.identity()?;
        let name = file.model()?;
        let named = self.registry.get(name).filter(|served| *served.identity == *identity);
        named.or_else(|| self.model_with(identity)).ok_or_else(|| {
            let message = format!(
                "the state was computed by model `{name}` with identity `{identity}`; no model here has this identity"
            );
            Error::new(ErrorKind::StateMismatch, message)
        })
    }
}

impl Carried {
    /// Refuses a state or a cache that a request to the session `id` brings.
    pub(super) fn check_in_session(&self, id: &str) -> Result<()> {
        if self.state.is_some() {
            let message = format!("`state` is given, but the request starts where session `{id}` stands");
            return Err(Error::invalid("state", message));
        }
        if self.cache.is_some() {
            let message = format!(
                "`cache` is given, but session `{id}` has the cache that it was created with, or none"
            );
            return Err(Error::invalid("cache", message));
        }
        Ok(())
    }

    /// `snapshot`, a state of `served`, if the answer is to return it.
    pub(super) fn returned(&self, served: &Served, snapshot: Option<&Snapshot>) -> Result<Option<String>> {
        let Some(snapshot) = snapshot.filter(|_| self.return_state) else { return Ok(None) };
        encoded(served, snapshot).map(Some)
    }
}

/// `snapshot`, a state of `served`, as the field `state` of a request takes it.
fn encoded(served: &Served, snapshot: &Snapshot) -> Result<String> {
    Ok(base64::encode(file::write(served, snapshot)?))
}

/// A cache as its clients see it.
fn described_cache(cache: &Cache) -> CacheState {
    let CacheOptions { window, theta, lambda } = cache.options();
    let options = api::cache::Cache { window, theta, lambda };
    CacheState { options, length: cache.entries().count() }
}

/// About how many bytes the state of a model takes as the field `state` of an answer.
pub(super) fn encoded_len(served: &Served) -> usize {
    size::len(served).div_ceil(3) * 4
}

/// About how many bytes a full cache adds to that; 0 for a window of 0, which is none.
pub(super) fn cache_len(served: &Served, window: usize) -> usize {
    size::cache_len(served, window).div_ceil(3) * 4
}

/// About how many bytes the file of a state has whose cache is full.
pub(super) fn exported_len(served: &Served, window: usize) -> usize {
    size::len(served) + size::cache_len(served, window)
}

/// The vectors of a state, layer by layer.
fn layers(served: &Served, state: &State) -> Vec<LayerState> {
    let mut layers: Vec<LayerState> = Vec::new();
    let mut rest = state.as_slice();
    for part in parts(served) {
        let (values, after) = rest.split_at(part.len);
        rest = after;
        let norm = norm(values);
        let values = values.to_vec();
        match layers.last_mut() {
            Some(layer) if part.name.starts_with('c') => {
                layer.c = Some(values);
                layer.c_norm = Some(norm);
            }
            _ => layers.push(LayerState { h: values, h_norm: norm, c: None, c_norm: None }),
        }
    }
    layers
}

/// The Euclidean norm.
fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}
