//! The gauges of memory.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What memory there is and what it is used for, as gauges.
#[derive(Default)]
pub(super) struct MemoryMetrics {
    counted: Family<PurposeLabel, Gauge>,
    max: Gauge,
    requests_max: Gauge,
    requests_peak: Gauge,
    resident: Gauge,
}

/// What memory there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFigures {
    /// Of the whole service.
    pub bytes_max: usize,
    /// Of all requests together, at most.
    pub requests_max: usize,
    /// Of all requests together, the most so far.
    pub requests_peak: usize,
    /// Of the process; 0 if it is not known.
    pub resident: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurposeLabel {
    purpose: &'static str,
}

impl MemoryMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("memory_bytes", "Memory that is counted, by what it is for", self.counted.clone());
        r.register("memory_max_bytes", "Memory of the whole service", self.max.clone());
        r.register(
            "memory_requests_max_bytes",
            "Memory of all requests together that is given out at most",
            self.requests_max.clone(),
        );
        r.register(
            "memory_requests_peak_bytes",
            "The most memory that was given out to all requests at once",
            self.requests_peak.clone(),
        );
        r.register(
            "memory_resident_bytes",
            "Memory of the process as the system counts it; 0 where it does not say",
            self.resident.clone(),
        );
    }

    pub(super) fn set_counted(&self, purpose: &'static str, bytes: usize) {
        self.counted.get_or_create(&PurposeLabel { purpose }).set(as_gauge(bytes));
    }

    pub(super) fn set(&self, figures: MemoryFigures) {
        let MemoryFigures { bytes_max, requests_max, requests_peak, resident } = figures;
        self.max.set(as_gauge(bytes_max));
        self.requests_max.set(as_gauge(requests_max));
        self.requests_peak.set(as_gauge(requests_peak));
        self.resident.set(as_gauge(resident));
    }
}

/// A count, or a number of bytes, as the type of a gauge.
pub(super) fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
