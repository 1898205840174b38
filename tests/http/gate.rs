//! A scripted model whose every run waits until the test lets it go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc as blocking};

use rnnlm_server::catalog::Served;
use tokio::sync::mpsc;

use crate::models::scripted;

/// The test's hand on the model. Until it is closed, and once it is dropped, every run passes.
pub struct Gate {
    closed: Arc<AtomicBool>,
    begun: mpsc::Receiver<usize>,
    permits: blocking::Sender<()>,
}

impl Gate {
    /// The scripted model behind an open gate.
    pub fn scripted() -> (Served, Self) {
        const RUNS_MAX: usize = 1 << 16;
        let (began, begun) = mpsc::channel(RUNS_MAX);
        let (permits, waiting) = blocking::channel();
        let waiting = Mutex::new(waiting);
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = closed.clone();
        let served = scripted(move |fake| {
            fake.before_run(move |rows| {
                if is_closed.load(Ordering::SeqCst) {
                    // Without a receiver the test is over.
                    let _ = began.try_send(rows.iter().sum());
                    let _ = waiting.lock().unwrap().recv();
                }
            })
        });
        (served, Self { closed, begun, permits })
    }

    /// From now on every run waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Waits until a run stands at the gate; the number of tokens that it is about to read.
    pub async fn run(&mut self) -> usize {
        self.begun.recv().await.expect("the model is alive")
    }

    /// Lets one run pass: that which stands at the gate, or the next.
    pub fn pass(&self) {
        self.permits.send(()).expect("the model is alive");
    }

    /// Lets all runs pass. The tokens that each reads are still seen.
    pub fn open(self) -> mpsc::Receiver<usize> {
        self.begun
    }
}
