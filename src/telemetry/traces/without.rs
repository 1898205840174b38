//! Stands in for the sender in a build without the feature `otel`: there is none.

use super::RequestSpans;
use crate::clock::Clock;
use crate::config::ObservingOptions;

/// No value of this type exists.
pub(super) enum Sender {}

impl Sender {
    /// The configuration has refused a collector.
    pub(super) fn start(_options: &ObservingOptions, _clock: &Clock) -> Option<Self> {
        None
    }

    pub(super) fn send(&self, _spans: &RequestSpans<'_>) {
        match *self {}
    }

    pub(super) fn close(&self) {
        match *self {}
    }
}
