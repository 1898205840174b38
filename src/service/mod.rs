//! The use cases. A placeholder: what the edge needs of them until they are written.

use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::telemetry::Metrics;

/// Models, sessions and the engine behind one door.
#[derive(Default)]
pub struct Service;

/// What the service says of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The names of the models, in order.
    pub models: Vec<String>,
    /// The model of requests that name none.
    pub default_model: Option<String>,
    /// The kernels' instruction set.
    pub kernel: &'static str,
    /// `fma` or `no_fma`: bit promises across machines hold within one value.
    pub numerics: &'static str,
    /// What the processor offers of that which the kernels can use.
    pub cpu_features: Vec<&'static str>,
}

impl Service {
    /// Loads the models and starts the engine. Blocks.
    pub fn load(_config: &Config, _metrics: &Arc<Metrics>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self))
    }

    /// What there is to know.
    pub fn about(&self) -> About {
        About::default()
    }

    /// Writes the gauges that are known only when asked: sessions and their memory.
    pub fn observe(&self, _metrics: &Metrics) {}

    /// Ends every job, streams included, with `finish_reason: "shutdown"`. Does not wait for them.
    pub fn stop(&self) {}
}
