//! What an engine remembers of each model from one of its turns to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::active::Active;
use super::figures::{Figures, Work};
use super::job::ModelKey;

/// The models that had a job, except those that were replaced and have no job any more.
#[derive(Default)]
pub(super) struct Models(BTreeMap<ModelKey, Remembered>);

/// What is remembered of a model.
pub(super) struct Remembered {
    /// Those that the inbox reads, which keeps them while they are kept here.
    pub(super) figures: Arc<Figures>,
    /// Whether the last turn of this model left out texts that are drawn, for the sake of questions. The turns of other models in between
    /// do not count: they run no text of this one.
    pub(super) had_questions_only: bool,
}

impl Models {
    /// Remembers the model of a job that is admitted, and forgets those of its name that it replaces, unless `is_used` returns true for them.
    pub(super) fn note(&mut self, job: &Active, is_used: impl Fn(&ModelKey) -> bool) {
        if self.0.contains_key(&job.model_key) {
            return;
        }
        self.0.retain(|key, _| key.name != job.model_key.name || is_used(key));
        let remembered = Remembered { figures: job.figures().clone(), had_questions_only: false };
        self.0.insert(job.model_key.clone(), remembered);
    }

    /// A model that has a job.
    pub(super) fn of(&self, model: &ModelKey) -> &Remembered {
        self.0.get(model).expect(NEVER_NOTED)
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, model: &ModelKey) -> &mut Remembered {
        self.0.get_mut(model).expect(NEVER_NOTED)
    }

    /// Tells the inbox what the active jobs have left to do.
    pub(super) fn publish<'a>(&self, jobs: impl Iterator<Item = (&'a ModelKey, Work)>) {
        let mut works: BTreeMap<&ModelKey, Work> = BTreeMap::new();
        for (model, work) in jobs {
            let all = works.entry(model).or_default();
            *all = all.and(work);
        }
        for (model, remembered) in &self.0 {
            remembered.figures.set_running(works.get(model).copied().unwrap_or_default());
        }
    }
}

const NEVER_NOTED: &str = "bug: a model has a job that was never admitted";
