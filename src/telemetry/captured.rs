//! The log of a test: the lines that its thread writes.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};

use tracing::Subscriber;
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};

use crate::config::LogFormat;

/// Lines of the log that the current thread writes as long as this lives.
pub(crate) struct Captured {
    lines: Arc<Lines>,
    _subscribed: DefaultGuard,
}

/// Where the lines go.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<u8>>);

impl Captured {
    /// Captures lines from now on.
    pub(crate) fn start(format: LogFormat) -> Self {
        Self::by(|lines| super::lines(format, lines))
    }

    /// Captures what a subscriber that writes to the given lines writes from now on.
    pub(super) fn by<S: Subscriber + Send + Sync + 'static>(
        subscriber: impl FnOnce(Arc<Lines>) -> S,
    ) -> Self {
        // What another test's thread is the first to reach would otherwise be taken for what nobody wants.
        static EVERYTHING: Once = Once::new();
        EVERYTHING.call_once(|| drop(set_global_default(tracing_subscriber::registry())));
        let lines = Arc::new(Lines::default());
        Self { _subscribed: set_default(subscriber(lines.clone())), lines }
    }

    /// The lines so far that hold `part`.
    pub(crate) fn with(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
