//! What the program is: the metric with its version, its features and its kernel.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::config::FEATURES;

/// A gauge that is always 1, once the kernel is known.
#[derive(Clone, Default)]
pub(super) struct BuildInfo(Family<BuildLabels, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    /// Separated by commas, in alphabetical order.
    features: String,
    kernel: &'static str,
}

impl BuildInfo {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "build_info",
            "The version of the program, its cargo features and its kernel",
            self.0.clone(),
        );
    }
}

impl Metrics {
    /// Tells that the engines run on the kernel with this name.
    pub fn runs_on(&self, kernel: &'static str) {
        let labels = BuildLabels { version: env!("CARGO_PKG_VERSION"), features: FEATURES.join(","), kernel };
        self.build.0.get_or_create(&labels).set(1);
    }
}
