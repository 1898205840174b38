//! One model folder, served to this process alone, for the commands that work on a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::failure::{Failure, Outcome};
use super::input::{ModelArg, ModelsArg, Weighted, check_no_model};
use crate::api::mixture::MixturePart;
use crate::clock::Clock;
use crate::config::{Config, SessionStore};
use crate::service::{self, Service, model_name};

/// The use cases over one folder, and the runtime that waits for their answers.
///
/// Ctrl-C is left to the system, which ends the process: there is nothing to clean up, and a shell loop sees the signal and ends
/// too.
pub(super) struct Local {
    /// The use cases.
    pub(super) service: Arc<Service>,
    /// The models as a mixture, if they are several.
    pub(super) mixture: Option<Vec<MixturePart>>,
    runtime: Runtime,
}

/// Nobody else waits for this process, so it may take any time.
const TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// `serve --max-tokens` protects a server from its clients; here the user owns the machine.
const TOKENS_MAX: usize = 1 << 40;

impl Local {
    /// Loads the model, under the options of the environment.
    pub(super) fn open(model: &ModelArg) -> Outcome<Self> {
        Self::open_folder(&model.folder)
    }

    /// Loads the model, or those of a mixture.
    pub(super) fn open_models(models: &ModelsArg) -> Outcome<Self> {
        match &models.folder {
            Some(folder) if models.mixture.is_empty() => Self::open_folder(folder),
            folder => {
                check_no_model(folder.as_ref(), "--mixture")?;
                Self::open_mixture(&models.mixture)
            }
        }
    }

    fn open_mixture(mixture: &[Weighted]) -> Outcome<Self> {
        let folders: Vec<PathBuf> = mixture.iter().map(|part| part.folder.clone()).collect();
        let service = Service::load_each(&config()?, &folders, Clock::system())?;
        let parts = mixture.iter().map(|Weighted { folder, weight }| {
            Ok::<_, Failure>(MixturePart { model: model_name(folder)?, weight: *weight })
        });
        let mixture = Some(parts.collect::<Outcome<_>>()?);
        Ok(Self { service, mixture, runtime: runtime()? })
    }

    fn open_folder(folder: &Path) -> Outcome<Self> {
        let mut config = config()?;
        folder.clone_into(&mut config.models);
        let service = Service::load(&config, &Arc::default(), Clock::system())?;
        let names: Vec<String> =
            service.catalog().iter().map(|served| format!("`{}`", served.name)).collect();
        if names.len() > 1 {
            let folder = folder.display();
            let message = format!(
                "`--model {folder}` has the models {}; it must be the folder of one",
                names.join(", ")
            );
            return Err(Failure::Usage(message));
        }
        Ok(Self { service, mixture: None, runtime: runtime()? })
    }

    /// The name of the model; those of a mixture joined by `+`.
    pub(super) fn model(&self) -> String {
        match &self.mixture {
            None => self.service.catalog().default().name.to_string(),
            Some(parts) => parts.iter().map(|part| part.model.as_str()).collect::<Vec<_>>().join("+"),
        }
    }

    /// Waits for `work`.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// The options of the environment, as far as they make sense without a server.
fn config() -> Outcome<Config> {
    let mut config = Config::from_environment()?.probed()?;
    config.default_model = None;
    // A command has no sessions that could outlive it, and the store of the environment may be that of a server.
    config.sessions.session_store = SessionStore::Memory;
    config.strict = true;
    config.http.request_timeout = TIMEOUT;
    config.limits.max_tokens = TOKENS_MAX;
    // The pieces of a file are jobs that wait together.
    config.engine.queue_max = config.engine.queue_max.max(service::CODING_JOBS);
    Ok(config)
}

fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
