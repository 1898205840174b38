//! One model folder, served to this process alone, for the commands that work on a model.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::failure::{Failure, Outcome};
use super::input::ModelArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::service::Service;

/// The use cases over one folder, and the runtime that waits for their answers.
///
/// Ctrl-C is left to the system, which ends the process: there is nothing to clean up, and a shell loop sees the signal and ends
/// too.
pub(super) struct Local {
    /// The use cases.
    pub(super) service: Arc<Service>,
    runtime: Runtime,
}

/// Nobody else waits for this process, so it may take any time.
const TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// `serve --max-tokens` protects a server from its clients; here the user owns the machine.
const TOKENS_MAX: usize = 1 << 40;

impl Local {
    /// Loads the model, under the options of the environment.
    pub(super) fn open(model: &ModelArg) -> Outcome<Self> {
        let mut config = Config::from_environment()?.probed()?;
        config.models.clone_from(&model.folder);
        config.default_model = None;
        config.strict = true;
        config.http.request_timeout = TIMEOUT;
        config.limits.max_tokens = TOKENS_MAX;
        let service = Service::load(&config, &Arc::default(), Clock::system())?;
        let names: Vec<String> =
            service.catalog().iter().map(|served| format!("`{}`", served.name)).collect();
        if names.len() > 1 {
            let folder = model.folder.display();
            let message = format!(
                "`--model {folder}` has the models {}; it must be the folder of one",
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
