//! A command's progress through its file or its steps: a bar on stderr, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::input::TextArg;
use crate::service::Watch;

/// A bar that is removed when it is dropped, so that only results stay on the screen.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Nothing read yet of `text`.
    pub(super) fn new(text: &TextArg) -> Self {
        let (bar, template) = match text.bytes() {
            Some(bytes) => (ProgressBar::new(bytes), "{bar:32} {bytes}/{total_bytes}  {msg}  {eta} left"),
            None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}  {elapsed}"),
        };
        Self::styled(bar, template)
    }

    /// No step of `count` done yet.
    pub(super) fn of_steps(count: usize) -> Self {
        Self::styled(ProgressBar::new(count as u64), "{bar:32} {pos}/{len}  {msg}")
    }

    fn styled(bar: ProgressBar, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("bug: the template is valid");
        Self(bar.with_style(style))
    }

    /// Says what is being done.
    pub(super) fn show(&self, doing: &str) {
        self.0.set_message(doing.to_owned());
    }

    /// `count` more steps are done.
    pub(super) fn step(&self, count: usize) {
        self.0.inc(count as u64);
    }

    /// `bytes` more were read; `tokens` were scored since the beginning.
    pub(super) fn advance(&self, bytes: usize, tokens: usize) {
        let per_second = tokens as f64 / self.0.elapsed().as_secs_f64();
        self.0.set_message(format!("{per_second:.0} tokens/s"));
        self.0.inc(bytes as u64);
    }

    /// `bytes` more were read.
    pub(super) fn advance_bytes(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }

    /// What advances the bar by bytes, from any thread.
    pub(super) fn watch(&self) -> Watch {
        let bar = self.0.clone();
        Watch::new(move |bytes| bar.inc(bytes as u64))
    }

    /// Runs `print` while the bar is hidden.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
