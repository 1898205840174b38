//! One model folder served to this process alone: what the commands that work on a model stand on.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::failure::{Failure, Outcome};
use super::input::ModelArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::service::Service;

/// The service over one folder, and the thread that waits for its answers.
///
/// Ctrl-C is left to the system, which ends the process: nothing has to be put away, and a shell sees by the signal that its loop
/// is to end too.
pub(super) struct Local {
    /// The use cases.
    pub(super) service: Arc<Service>,
    runtime: Runtime,
}

/// Nobody else waits for this process: it takes the time that it takes.
const TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What `serve --max-tokens` keeps one client from taking, the owner of the machine may have.
const TOKENS_MAX: usize = 1 << 40;

impl Local {
    /// Loads the model, under the options of the environment.
    pub(super) fn open(model: &ModelArg) -> Outcome<Self> {
        let mut config = Config::from_environment()?;
        config.models.clone_from(&model.folder);
        (config.default_model, config.strict) = (None, true);
        (config.http.request_timeout, config.limits.max_tokens) = (TIMEOUT, TOKENS_MAX);
        let service = Service::load(&config, &Arc::default(), Clock::system())?;
        let names: Vec<String> =
            service.catalog().iter().map(|served| format!("`{}`", served.name)).collect();
        if names.len() > 1 {
            let folder = model.folder.display();
            let message = format!(
                "`--model {folder}` holds the models {}, expected the folder of one",
                names.join(", ")
            );
            return Err(Failure::Usage(message));
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { service, runtime })
    }

    /// Waits for `work`.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}
