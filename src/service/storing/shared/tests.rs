//! Requests that a shared store turns away.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::{Ask, Asking};
use crate::catalog::{Catalog, Served};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::service::Service;
use crate::service::storing::Storing;
use crate::service::storing::simulation::process::served;
use crate::service::storing::writer::Progress;
use crate::session::{ChangeLimits, Changes, Eviction, SessionId};
use crate::telemetry::Metrics;

/// A service whose requests may ask the thread of a store, unless `waiting_max` sessions wait, and the other end: nobody reads there, and no
/// question may wait.
fn unheard(metrics: &Arc<Metrics>, waiting_max: usize) -> (Service, Receiver<Ask>) {
    let catalog = Catalog::new(vec![Served::clone(&served())], None).unwrap();
    let mut service = Service::start(&Config::default(), catalog, metrics.clone(), Clock::manual()).unwrap();
    let limits = ChangeLimits { sessions_max: 10, interval: Duration::ZERO, eviction: Eviction::Keeps };
    let changes = Arc::new(Changes::new(limits));
    let (asks, asked) = sync_channel(0);
    let progress = watch::Sender::new(Progress::default()).subscribe();
    let timeout = Duration::ZERO;
    let asking = Asking { asks, changes: changes.clone(), progress: progress.clone(), timeout, waiting_max };
    let thread = Mutex::new(None);
    let storing = Storing { changes, progress, flush: timeout, asking: Some(asking), thread };
    Arc::get_mut(&mut service.shared).unwrap().storing = Some(storing);
    (service, asked)
}

#[tokio::test]
async fn requests_that_a_shared_store_turns_away_are_counted_by_their_reason() {
    let id = SessionId::parse("s").unwrap();
    let counted = |metrics: &Metrics, reason: &str| {
        let page = metrics.render();
        let line = format!("rnnlm_requests_rejected_total{{reason=\"{reason}\"}} ");
        page.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse::<u64>().unwrap()
    };

    let metrics = Arc::new(Metrics::new());
    let (service, _asked) = unheard(&metrics, 0);
    for refused in
        [service.claim(&id).await, service.claim_new(Some(&id)).await, service.claim_new(None).await]
    {
        assert_eq!(refused.err().unwrap().kind, ErrorKind::SessionsFull);
    }
    assert_eq!((counted(&metrics, "sessions_full"), counted(&metrics, "queue_full")), (3, 0));

    let metrics = Arc::new(Metrics::new());
    let (service, _asked) = unheard(&metrics, 1);
    assert_eq!(service.claim(&id).await.err().unwrap().kind, ErrorKind::QueueFull);
    assert_eq!(service.meet_session("s").await.err().unwrap().kind, ErrorKind::QueueFull);
    assert_eq!((counted(&metrics, "sessions_full"), counted(&metrics, "queue_full")), (0, 2));
}
