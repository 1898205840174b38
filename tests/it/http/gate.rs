//! A scripted model whose runs wait for the test, so that a test can look at the middle of a run without a race.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc as threads};

use rnnlm_server::catalog::Served;
use tokio::sync::mpsc;

use crate::harness::models::scripted;
use crate::harness::patience::in_time;

/// Holds every run of its model until the test lets it through. Dropping the gate lets all runs through.
pub(crate) struct Gate {
    runs: mpsc::Receiver<Vec<usize>>,
    pass: threads::SyncSender<()>,
}

/// More runs than any test lets through, so that a test that counts them late still sees all.
const RUNS_MAX: usize = 1024;

/// The scripted model behind a gate.
pub(crate) fn gated() -> (Served, Gate) {
    let (entered, runs) = mpsc::channel(RUNS_MAX);
    let (pass, passed) = threads::sync_channel(RUNS_MAX);
    let passed = Mutex::new(passed);
    // The gate is open while loading, which reads the initial tokens before the test can let runs through.
    let armed = Arc::new(AtomicBool::new(false));
    let closed = armed.clone();
    let served = scripted(|fake| {
        fake.before_run(move |lengths| {
            if closed.load(Ordering::SeqCst) {
                let _ = entered.try_send(lengths.to_vec());
                let _ = passed.lock().unwrap().recv();
            }
        })
    });
    armed.store(true, Ordering::SeqCst);
    (served, Gate { runs, pass })
}

impl Gate {
    /// Waits until a run is about to start, and returns the number of tokens of each of its rows.
    pub(crate) async fn entered(&mut self) -> Vec<usize> {
        in_time(self.runs.recv()).await.unwrap()
    }

    /// Lets one run through.
    pub(crate) fn pass(&self) {
        self.pass.send(()).unwrap();
    }

    /// Lets the next run through, and returns the number of tokens of each of its rows.
    pub(crate) async fn let_through(&mut self) -> Vec<usize> {
        let lengths = self.entered().await;
        self.pass();
        lengths
    }

    /// Lets all runs through. The receiver still gets the numbers of tokens that they read.
    pub(crate) fn open(self) -> mpsc::Receiver<Vec<usize>> {
        self.runs
    }
}
