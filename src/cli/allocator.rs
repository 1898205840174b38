//! Memory that is freed goes back to the system.
//!
//! The allocator of glibc raises the size from which a block is mapped on its own each time one is freed, up to 32 MiB, and keeps what is
//! freed below that size: after a few large requests that is a multiple of what the server needs (`docs/operations.md` has the figures). It
//! stays at its first 128 KiB if the threshold is set, which needs a variable of the environment: the function for it, `mallopt`, is `unsafe`
//! to call. The variable is read before `main`, so the program replaces itself with one that has it.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The setting, and its value in bytes: that with which glibc begins.
const THRESHOLD: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "131072");

/// Variables by which whoever starts the program chooses otherwise: each stays as it is.
const CHOICES: [&str; 4] = [THRESHOLD.0, "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"];

/// Starts the program anew with the setting, unless the environment has one. Where that fails, and without glibc, does nothing.
pub(super) fn give_back() {
    if !cfg!(all(target_os = "linux", target_env = "gnu"))
        || CHOICES.iter().any(|name| env::var_os(name).is_some())
    {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else { return };
    // It returns only if it fails, and then the program runs as it was started.
    let _ = Command::new(program).arg0(name).args(arguments).env(THRESHOLD.0, THRESHOLD.1).exec();
}
