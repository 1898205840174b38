//! How much memory the process may use, as the system says: the limit of its control group, or that of the machine.

use std::fs::read_to_string;
use std::path::Path;

use super::values::{Bytes, bytes};

/// The share of the system's limit that `auto` stands for. The rest is for what is not counted: connections and what the system
/// keeps for them, and what the allocator has not given back.
const SHARE: f64 = 0.75;

/// What `auto` stands for where the system does not say how much memory there is.
const UNKNOWN: usize = 2 << 30;

/// The least that a service can work with.
const LEAST: usize = 64 << 20;

/// The memory of the whole service: a size, or `auto`.
pub(super) fn memory(text: &str) -> Result<Bytes, String> {
    if text == "auto" {
        let limit = limit(Path::new("/"));
        let share = limit.map_or(UNKNOWN, |limit| (limit as f64 * SHARE) as usize);
        // Whole pieces, so that it is printed with a unit.
        return Ok(Bytes((share >> 20 << 20).max(LEAST)));
    }
    match bytes(text)? {
        Bytes(size) if size < LEAST => Err(format!("expected `auto` or at least {}", Bytes(LEAST))),
        size => Ok(size),
    }
}

/// The lowest limit that holds for this process, in bytes. `root` is that of the file system.
fn limit(root: &Path) -> Option<usize> {
    of_groups(root).into_iter().chain(of_machine(root)).min()
}

/// The memory of the machine.
fn of_machine(root: &Path) -> Option<usize> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest limit of the control groups that this process is in, of either version.
fn of_groups(root: &Path) -> Option<usize> {
    let groups = read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        // number:controllers:path
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        let path = parts.next()?;
        match controllers {
            "" => of_group(&root.join("sys/fs/cgroup"), path, "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                of_group(&root.join("sys/fs/cgroup/memory"), path, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

/// The lowest limit of the group at `path` and of those around it. A container may see its own group as the outermost.
fn of_group(mount: &Path, path: &str, file: &str) -> Option<usize> {
    let path = Path::new(path.trim_start_matches('/'));
    let limits = path.ancestors().filter_map(|path| {
        // A group without a limit says `max`, or a number that no machine has.
        read_to_string(mount.join(path).join(file)).ok()?.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file system with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  100 kB\n");

    #[test]
    fn without_a_group_the_machine_is_the_limit() {
        assert_eq!(limit(system(&[MEMINFO]).path()), Some(8 << 30));
        assert_eq!(limit(system(&[]).path()), None);
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_the_process_holds() {
        let root = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
        ]);
        assert_eq!(limit(root.path()), Some(1 << 30));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_root() {
        let root =
            system(&[MEMINFO, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "536870912\n")]);
        assert_eq!(limit(root.path()), Some(512 << 20));
    }

    #[test]
    fn the_first_version_of_groups_is_read_too() {
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let groups = ("proc/self/cgroup", "3:cpuset:/\n4:memory:/pod\n0::/\n");
        assert_eq!(limit(system(&[MEMINFO, groups, unlimited]).path()), Some(8 << 30));
        let pod = ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "2147483648\n");
        assert_eq!(limit(system(&[MEMINFO, groups, unlimited, pod]).path()), Some(2 << 30));
    }

    #[test]
    fn auto_is_a_share_and_too_little_is_refused() {
        assert!(memory("auto").unwrap() >= Bytes(LEAST));
        assert_eq!(memory("1GiB"), Ok(Bytes(1 << 30)));
        assert!(memory("1MiB").unwrap_err().contains("64MiB"));
    }
}
