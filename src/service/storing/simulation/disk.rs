//! What the simulation is made of: a disk that fails when it is told to, and the numbers of a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::store::{Change, Store};

/// A disk, which survives crashes.
#[derive(Clone, Default)]
pub(in crate::service::storing) struct Disk(Arc<Mutex<Platter>>);

#[derive(Default)]
struct Platter {
    entries: BTreeMap<String, Vec<u8>>,
    /// What happens to the next groups, one by one.
    fates: VecDeque<Fate>,
    /// What happens to those after them.
    fate: Fate,
}

/// What happens to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::service::storing) enum Fate {
    /// It is written.
    #[default]
    Written,
    /// It is refused, as by a full disk.
    Refused,
    /// It is written, and the answer is lost, as by a crash right after.
    WrittenAndLost,
    /// The store panics.
    Panics,
}

impl Store for Disk {
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<()> {
        self.0.lock().unwrap().entries.iter().for_each(|(key, bytes)| each(key, bytes));
        Ok(())
    }

    fn write(&mut self, group: &[Change]) -> Result<()> {
        self.change(|entries| {
            for change in group.iter().cloned() {
                match change {
                    Change::Put { key, bytes } => drop(entries.insert(key, bytes)),
                    Change::Remove { key } => drop(entries.remove(&key)),
                }
            }
        })
    }

    fn retain(&mut self, keep: &dyn Fn(&str) -> bool) -> Result<()> {
        self.change(|entries| entries.retain(|key, _| keep(key)))
    }
}

impl Disk {
    pub(in crate::service::storing) fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().entries.clone()
    }

    fn change(&self, work: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Result<()> {
        // A panic of the store poisons nothing: it comes before the lock.
        let fate = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next_fate();
        if fate == Fate::Panics {
            // Without the message of a panic that nobody expects.
            std::panic::resume_unwind(Box::new("the store panics, as it was told to"));
        }
        let lost = || Error::internal("the disk is full");
        if fate == Fate::Refused {
            return Err(lost());
        }
        work(&mut self.0.lock().unwrap().entries);
        if fate == Fate::WrittenAndLost { Err(lost()) } else { Ok(()) }
    }

    /// What happens to the groups from now on.
    pub(in crate::service::storing) fn set(&self, fate: Fate) {
        self.0.lock().unwrap().fate = fate;
    }

    /// What happens to each of the next groups.
    pub(in crate::service::storing) fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.0.lock().unwrap().fates.extend(fates);
    }
}

impl Platter {
    fn next_fate(&mut self) -> Fate {
        self.fates.pop_front().unwrap_or(self.fate)
    }
}

/// The numbers of a seed (SplitMix64).
pub(in crate::service::storing) struct Random(pub(in crate::service::storing) u64);

impl Random {
    pub(in crate::service::storing) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}

/// Calls `play` with each of `count` seeds, or of as many as `STORE_SEEDS` says, or with the one that `STORE_SEED` names. A failure names its
/// seed.
pub(in crate::service::storing) fn with_each_seed(count: u64, play: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("STORE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORE_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed)));
        assert!(played.is_ok(), "failed with STORE_SEED={seed}");
    }
}
