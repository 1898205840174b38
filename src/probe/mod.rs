//! Files that could end the process are first tried in a child process of the same program, with limits on memory and time.
//!
//! Some libraries allocate whatever a file asks for. An allocation that fails ends the process, and no caller can prevent that; a
//! loop that a file makes long cannot be left either. Whatever cannot be bounded by reading the file is therefore first done by a
//! child, which does all that loading the file does. If the child fails, the file is refused, and nothing else notices. If it
//! succeeds, the parent does the same work again within the same limits, because loading is deterministic.

mod child;
mod said;

use std::io::{BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

pub use child::{Confinement, answer, at, confine};

use crate::error::{Error, Result};
use crate::lm::LoadOptions;
use said::{Heard, Said};

/// How files are loaded. A [`LoadOptions`], or a kernel alone, stands for files that are loaded without trying them first.
#[derive(Clone, Debug)]
pub struct Loading {
    /// How models of the native engine are held.
    pub native: LoadOptions,
    /// What tries a file first that could end the process; `None` loads every file at once.
    pub probe: Option<Probe>,
    /// Bytes that a file of weights may have.
    pub weights_bytes_max: u64,
}

impl<T: Into<LoadOptions>> From<T> for Loading {
    fn from(native: T) -> Self {
        Self { native: native.into(), probe: None, weights_bytes_max: u64::MAX }
    }
}

/// A child process that tries a file, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// This program: its subcommand [`Probe::SUBCOMMAND`] is the child.
    pub program: PathBuf,
    /// Bytes of address space that the child may have.
    pub memory_max: u64,
    /// Time that it may take, by the clock and of the processor.
    pub timeout: Duration,
}

/// What the child tries.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The kind of file, as the subcommand calls it.
    pub kind: &'static str,
    /// The file.
    pub path: &'a Path,
    /// What the child reads from its standard input.
    pub input: &'a [u8],
}

impl Probe {
    /// The hidden subcommand that is the child.
    pub const SUBCOMMAND: &str = "probe";

    /// Has a child try `trial`.
    ///
    /// # Errors
    /// `Load` with the child's own reason to refuse the file; or, if a limit or an abort ended the child, with what it was doing.
    /// `Internal` if there is no child.
    pub fn run(&self, trial: &Trial<'_>) -> Result<()> {
        let failed = |error: std::io::Error| {
            let program = self.program.display();
            Error::internal(format!("cannot try the file in a child process of `{program}`: {error}"))
        };
        let mut child = self.command(trial).spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not read has failed, and says so.
            let _ = stdin.write_all(trial.input);
        }
        let stdout = child.stdout.take().expect("the output is piped");
        // Nothing is sent: the reader drops its end when the child has closed its output, which is when it exits.
        let (reading, read) = sync_channel::<()>(1);
        let reader = thread::spawn(move || {
            let heard = Heard::of(BufReader::new(stdout));
            drop(reading);
            heard
        });
        let is_late = read.recv_timeout(self.timeout) == Err(RecvTimeoutError::Timeout);
        if is_late {
            child.kill().map_err(failed)?;
        }
        let heard =
            reader.join().map_err(|_| Error::internal("reading what a child process said panicked"))?;
        let status = child.wait().map_err(failed)?;
        let end = if is_late { End::Late } else { End::of(status) };
        self.judge(&heard, end)
    }

    fn command(&self, trial: &Trial<'_>) -> Command {
        let Confinement { memory_max, cpu_seconds_max } = self.confinement();
        let mut command = Command::new(&self.program);
        command.arg(Self::SUBCOMMAND);
        command.arg(format!("--memory-max={memory_max}"));
        command.arg(format!("--cpu-seconds-max={cpu_seconds_max}"));
        command.args([trial.kind, "--"]).arg(trial.path);
        // A backtrace takes a second and hundreds of megabytes, and nobody reads it.
        command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// The limits that the child sets itself. That of the processor's time also ends a child whose parent was killed.
    fn confinement(&self) -> Confinement {
        let seconds = self.timeout.as_secs() + u64::from(self.timeout.subsec_nanos() > 0);
        Confinement { memory_max: self.memory_max, cpu_seconds_max: seconds.max(1) }
    }

    fn judge(&self, heard: &Heard, end: End) -> Result<()> {
        let doing = heard.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
        match (end, &heard.verdict) {
            (End::Exited, Some(Said::Passed)) => Ok(()),
            (End::Exited, Some(Said::Refused(why))) => Err(Error::load(why.clone())),
            (End::Late, _) => Err(Error::load(format!(
                "a trial in a child process took longer than {} (`--onnx-probe-timeout`){doing}",
                humantime::format_duration(self.timeout)
            ))),
            (End::Killed(signal), _) => Err(Error::load(format!(
                "a trial in a child process was ended by signal {signal}{doing}, most likely because it needs more than {} bytes of memory (`--onnx-probe-memory`)",
                self.memory_max
            ))),
            (End::Exited, _) => {
                Err(Error::load(format!("a trial in a child process ended without a result{doing}")))
            }
        }
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself.
    Exited,
    /// By a signal other than one for its time.
    Killed(i32),
    /// By a limit of its time.
    Late,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match status.signal() {
            None => End::Exited,
            Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => End::Late,
            Some(signal) => End::Killed(signal),
        }
    }
}

#[cfg(test)]
mod tests;
