//! What killed runs have left, and that it is removed: every kind of snapshot is looked through for names of this host's own runs.

use std::collections::BTreeSet;

use layout::mountinfo;

use super::names::{self, Owner};
use super::{btrfs, lvm, zfs};
use crate::capture::namespace;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// It is gone now.
    pub removed: Vec<String>,
    /// It could not be removed, and why.
    pub stayed: Vec<String>,
}

impl Left {
    /// Notes what became of one.
    pub(super) fn add(&mut self, what: String, removed: Result<(), String>) {
        match removed {
            Ok(()) => self.removed.push(what),
            Err(why) => self.stayed.push(format!("{what}: {why}")),
        }
    }
}

/// What its owner mounted read-only is not looked into: mounting it otherwise would have the kernel write to it.
fn is_writable(entry: &mountinfo::MountEntry) -> bool {
    !entry.options.split(',').any(|option| option == "ro")
}

/// Removes what runs of this host that are at work no more have left. Only root can, in a mount table of his own.
pub fn sweep() -> Left {
    let mut left = Left::default();
    if !namespace::is_own() {
        return left;
    }
    let host = names::host();
    let is_gone = |owner: &Owner| owner.is_gone(&host);
    let mounts = mountinfo::parse(&std::fs::read("/proc/thread-self/mountinfo").unwrap_or_default());
    let devices: BTreeSet<String> = mounts
        .into_iter()
        .filter(|entry| entry.fstype == "btrfs" && is_writable(entry))
        .map(|entry| entry.source)
        .collect();
    lvm::sweep(is_gone, &mut left);
    btrfs::sweep(is_gone, &devices, &mut left);
    zfs::sweep(is_gone, &mut left);
    left
}
