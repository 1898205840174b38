//! Use case: what there is to know of the models.

use std::sync::Arc;
use std::time::SystemTime;

use super::Service;
use crate::catalog::{Served, Understanding};
use crate::error::Result;
use crate::lm::Cell;

/// A model, as its clients know it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDescription {
    /// What requests call it.
    pub name: Arc<str>,
    /// Whether it is the model of requests that name none.
    pub is_default: bool,
    /// When the weights were written.
    pub created: SystemTime,
    /// The recurrent cell, by its name in manifests; `None` for a network that was not recognised.
    pub cell: Option<&'static str>,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Units of each layer, the first layer first.
    pub hidden_sizes: Vec<usize>,
    /// Number of weights.
    pub parameter_count: u64,
    /// The type that the weights are held in.
    pub weights_dtype: &'static str,
    /// Bytes of one sequence's state.
    pub state_bytes: usize,
    /// What computes the model.
    pub backend: &'static str,
    /// SHA-256 over weights and architecture: states belong to one identity.
    pub identity: String,
    /// How texts are split.
    pub tokenizer_kind: &'static str,
    /// SHA-256 over vocabulary and rules: perplexities compare only where it is equal.
    pub tokenizer_sha256: String,
    /// How its graph was understood; `None` for weights that are not a graph.
    pub understanding: Option<Arc<Understanding>>,
}

impl Service {
    /// All models, by rising name.
    pub fn models(&self) -> Vec<ModelDescription> {
        self.catalog.iter().map(|served| self.describe(served)).collect()
    }

    /// The model `name`.
    ///
    /// # Errors
    /// `ModelNotFound`.
    pub fn model(&self, name: &str) -> Result<ModelDescription> {
        Ok(self.describe(self.catalog.get(Some(name))?))
    }

    fn describe(&self, served: &Arc<Served>) -> ModelDescription {
        let info = served.model.info();
        ModelDescription {
            name: served.name.clone(),
            is_default: Arc::ptr_eq(served, self.catalog.default()),
            created: served.created,
            cell: info.cell.map(Cell::name),
            vocab_size: info.vocab_size,
            hidden_sizes: info.hidden_sizes.clone(),
            parameter_count: info.parameter_count,
            weights_dtype: info.weights_dtype.name(),
            state_bytes: info.state_len * size_of::<f32>(),
            backend: info.backend.name(),
            identity: served.identity.to_string(),
            tokenizer_kind: served.tokenizer.kind().name(),
            tokenizer_sha256: served.tokenizer.sha256().to_owned(),
            understanding: served.understanding.clone(),
        }
    }
}
