//! Who acts under a name: all keys of one name share what it owns and what it may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::bucket::{Allowance, Bucket, TooEarly};
use crate::error::{Error, ErrorKind, Result};

/// What every name may use; without a bound where it is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quotas {
    /// Requests a second, above 0.
    pub requests_per_second: Option<f64>,
    /// Requests at once after a pause, above 0; by default as many as one second allows.
    pub requests_burst: Option<u32>,
    /// Requests that engines work on at once.
    pub jobs_max: Option<usize>,
}

/// A name, for as long as the server runs: its sessions are there again when its key is.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) name: Arc<str>,
    bucket: Option<Bucket>,
    per_second: f64,
    jobs: AtomicUsize,
    jobs_max: Option<usize>,
}

/// What a name holds now, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The name.
    pub name: Arc<str>,
    /// Requests that engines work on.
    pub jobs: usize,
}

/// The right of a request to have engines work on it, until this is dropped.
#[derive(Debug)]
pub struct JobPermit(Arc<Holder>);

impl Quotas {
    /// The depth of the bucket for `per_second` requests a second.
    fn burst(&self, per_second: f64) -> u32 {
        self.requests_burst.unwrap_or((per_second.ceil() as u32).max(1))
    }
}

impl Holder {
    pub(super) fn new(name: Arc<str>, quotas: &Quotas, now: Instant) -> Self {
        let rate = quotas.requests_per_second;
        Self {
            name,
            bucket: rate.map(|rate| Bucket::new(rate, quotas.burst(rate), now)),
            per_second: rate.unwrap_or_default(),
            jobs: AtomicUsize::new(0),
            jobs_max: quotas.jobs_max,
        }
    }

    /// Counts a request.
    pub(super) fn request(&self, now: Instant) -> Result<Option<Allowance>> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        bucket.take(now).map(Some).map_err(|TooEarly { burst, retry_after }| {
            let per_second = self.per_second;
            let message = format!(
                "too many requests with this key; the maximum is {per_second} per second (`--key-requests-per-second`), and {burst} at once (`--key-requests-burst`)"
            );
            Error::new(ErrorKind::RateLimited, message).retry_after(retry_after).over(burst.into())
        })
    }

    pub(super) fn begin_job(self: &Arc<Self>) -> Result<JobPermit> {
        let max = self.jobs_max.unwrap_or(usize::MAX);
        let counted = self.jobs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |jobs| {
            Some(jobs + 1).filter(|jobs| *jobs <= max)
        });
        match counted {
            Ok(_) => Ok(JobPermit(self.clone())),
            Err(jobs) => {
                let message = format!(
                    "{jobs} requests with this key are being worked on; the maximum is {max} (`--key-jobs-max`)"
                );
                Err(Error::new(ErrorKind::RateLimited, message).retry_after(JOB_RETRY_AFTER).over(max as u64))
            }
        }
    }

    pub(super) fn holding(&self) -> Holding {
        Holding { name: self.name.clone(), jobs: self.jobs.load(Ordering::SeqCst) }
    }
}

/// When one of the running requests ends is not known.
const JOB_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Drop for JobPermit {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::SeqCst);
    }
}
