//! The file while the server runs: what changes with it, and what stays.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::error::ErrorKind;

struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    clock: Clock,
    keys: Keys,
}

impl World {
    fn new(text: &str, quotas: Quotas) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, text).unwrap();
        let clock = Clock::manual();
        let setup = KeysSetup { path: path.clone(), keys_max: 10, quotas };
        let keys = Keys::open(setup, clock.clone()).unwrap();
        Self { _folder: folder, path, clock, keys }
    }

    /// Puts another file in its place, as an editor does.
    fn write(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.path).unwrap();
    }

    fn pass(&self, secret: &str) -> Pass {
        self.keys.find(secret).unwrap_or_else(|| panic!("`{secret}` is not known"))
    }
}

#[test]
fn secrets_are_found_under_their_names_and_others_are_not() {
    let world = World::new("alice:one\nbob:two admin\nalice:three\n", Quotas::default());
    let [one, two, three] = ["one", "two", "three"].map(|secret| world.pass(secret));
    assert_eq!([&one, &two, &three].map(|pass| &**pass.name()), ["alice", "bob", "alice"]);
    assert_eq!(one.name(), three.name(), "two keys of one name are one owner");
    assert_ne!(one.name(), two.name());
    assert!(two.check_admin().is_ok());
    assert_eq!(one.check_admin().unwrap_err().kind, ErrorKind::Forbidden);
    for secret in ["", "One", "one ", "on", "onee", "alice:one", "admin"] {
        assert!(world.keys.find(secret).is_none(), "{secret}");
    }
}

#[test]
fn a_file_that_is_wrong_at_the_start_is_refused() {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), "alice:one\nbob\n").unwrap();
    let setup = KeysSetup { path: path.path().into(), keys_max: 10, quotas: Quotas::default() };
    let error = Keys::open(setup, Clock::manual()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.message.contains("line 2") && error.message.contains("`--api-keys "), "{}", error.message);
}

#[test]
fn a_changed_file_replaces_the_keys() {
    let world = World::new("alice:one\nbob:two\n", Quotas::default());
    let [one, two] = ["one", "two"].map(|secret| world.pass(secret));
    world.keys.refresh();
    assert_eq!(world.keys.stats(), KeysStats { keys: 2, reloads: 0, failures: 0 }, "it has not changed");
    world.write("carol:four\nalice:three\nbob:two\n");
    assert!(world.keys.find("three").is_none(), "nobody has looked yet");
    world.keys.refresh();
    assert_eq!(world.keys.stats(), KeysStats { keys: 3, reloads: 1, failures: 0 });
    assert!(world.keys.find("one").is_none());
    assert_eq!(world.pass("three").name(), one.name());
    assert_eq!(one.check().unwrap_err().kind, ErrorKind::Unauthorized);
    assert!(two.check().is_ok(), "a key that stays is not touched");
    world.write("alice:one\n");
    world.keys.refresh();
    assert_eq!(world.pass("one").name(), one.name());
    assert!(one.check().is_err(), "what was revoked once stays so, although the secret is accepted again");
}

#[test]
fn a_key_whose_rights_change_is_another_key() {
    let world = World::new("alice:one admin\n", Quotas::default());
    let admin = world.pass("one");
    world.write("alice:one\n");
    world.keys.refresh();
    assert!(admin.check().is_err() && world.pass("one").check_admin().is_err());
}

#[test]
fn a_broken_file_leaves_the_keys_as_they_are_and_is_read_again_once_it_has_changed() {
    let world = World::new("alice:one\n", Quotas::default());
    let one = world.pass("one");
    for (count, text) in [(1, "alice"), (2, "")] {
        world.write(text);
        world.keys.refresh();
        world.keys.refresh();
        assert_eq!(world.keys.stats(), KeysStats { keys: 1, reloads: 0, failures: count }, "{text:?}");
        assert!(world.keys.find("one").is_some() && one.check().is_ok());
    }
    fs::remove_file(&world.path).unwrap();
    world.keys.refresh();
    world.keys.refresh();
    assert_eq!(world.keys.stats().failures, 3);
    world.write("alice:two\n");
    world.keys.refresh();
    assert!(world.keys.find("one").is_none() && world.keys.find("two").is_some());
}

#[test]
fn a_reload_reads_a_file_that_looks_unchanged() {
    let world = World::new("alice:one\n", Quotas::default());
    world.keys.reload();
    assert_eq!(world.keys.stats(), KeysStats { keys: 1, reloads: 1, failures: 0 });
}

#[test]
fn the_keys_of_a_name_share_its_requests_and_its_jobs() {
    let quotas = Quotas { requests_per_second: Some(2.0), requests_burst: None, jobs_max: Some(2) };
    let world = World::new("alice:one\nalice:two\nbob:three\n", quotas);
    let [one, two, three] = ["one", "two", "three"].map(|secret| world.pass(secret));
    let now = || world.clock.now();
    assert_eq!(one.request(now()).unwrap().map(|left| left.remaining), Some(1));
    assert_eq!(two.request(now()).unwrap().map(|left| left.remaining), Some(0));
    let error = one.request(now()).unwrap_err();
    assert_eq!((error.kind, error.quota), (ErrorKind::RateLimited, Some(2)));
    assert_eq!(error.retry_after, Some(Duration::from_millis(500)));
    assert!(error.message.contains("2 per second (`--key-requests-per-second`)"), "{}", error.message);
    assert!(three.request(now()).is_ok());
    world.clock.advance(Duration::from_millis(500));
    assert!(two.request(now()).is_ok());

    let jobs = [one.begin_job().unwrap(), two.begin_job().unwrap()];
    let error = one.begin_job().unwrap_err();
    assert_eq!((error.kind, error.quota), (ErrorKind::RateLimited, Some(2)));
    assert!(error.message.contains("2 (`--key-jobs-max`)"), "{}", error.message);
    assert!(three.begin_job().is_ok());
    let held = |name: &str| world.keys.holdings().iter().find(|one| *one.name == *name).map(|one| one.jobs);
    assert_eq!((held("alice"), held("bob")), (Some(2), Some(0)));
    drop(jobs);
    assert!(two.begin_job().is_ok());
}

#[test]
fn what_a_name_has_used_is_not_forgotten_when_its_secret_is_replaced() {
    let quotas = Quotas { requests_per_second: Some(1.0), ..Quotas::default() };
    let world = World::new("alice:one\n", quotas);
    assert!(world.pass("one").request(world.clock.now()).is_ok());
    world.write("alice:two\n");
    world.keys.refresh();
    assert!(world.pass("two").request(world.clock.now()).is_err());
}

proptest! {
    /// Whatever the file goes through, exactly the secrets of its last good state are accepted, each under its name.
    #[test]
    fn the_keys_are_those_of_the_last_good_file(
        files in prop::collection::vec(prop::collection::btree_map(0..6u8, 0..3u8, 0..5), 1..8),
    ) {
        let world = World::new("n0:s0\n", Quotas::default());
        let mut good = [(0u8, 0u8)].into();
        for file in files {
            let lines: Vec<String> =
                file.iter().map(|(secret, name)| format!("n{name}:s{secret}\n")).collect();
            world.write(&lines.concat());
            world.keys.reload();
            // A file without keys is no good one.
            good = if file.is_empty() { good } else { file };
            for secret in 0..6u8 {
                let found = world.keys.find(&format!("s{secret}")).map(|pass| pass.name().to_string());
                prop_assert_eq!(found, good.get(&secret).map(|name| format!("n{name}")));
            }
        }
    }
}
