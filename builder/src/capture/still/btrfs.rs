//! Snapshots of subvolumes, at the top of their filesystem, which is mounted for that in this run's own mount table.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};

use exec::Command;
use layout::btrfs::listing;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::left::Left;
use super::names::{self, Owner};
use super::plan::Subvolumes;

/// Where the tops of filesystems are mounted.
const TOPS: &str = "/run/lifeboat-tops";
/// With less than this part free, what a snapshot holds back might be missed.
const LEAST_FREE: u64 = 20;

/// The top of a filesystem, mounted as long as this value lives.
#[derive(Debug)]
pub(super) struct Top(PathBuf);

impl Top {
    pub(super) fn mount(device: &str, number: usize) -> Result<Self, String> {
        let place = Path::new(TOPS).join(number.to_string());
        let mounted = || -> io::Result<()> {
            fs::create_dir_all(&place)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
            Ok(mount(device, &place, "btrfs", flags, c"subvolid=5")?)
        };
        mounted().map_err(|error| format!("mounting the top of {device}: {error}"))?;
        Ok(Self(place))
    }

    fn run(&self, args: &[&str], paths: &[&Path]) -> Result<String, String> {
        let command = Command::new("btrfs").args(args.iter().copied()).args(paths.iter().map(|path| path.as_os_str()));
        command.read().map_err(|error| error.to_string())
    }

    /// Does something at the top, and gives it back the times that it had: a backup is no change.
    fn quietly<T>(&self, done: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let before = fs::metadata(&self.0)
            .and_then(|meta| Ok(FileTimes::new().set_modified(meta.modified()?).set_accessed(meta.accessed()?)));
        let result = done();
        if let Ok(times) = before {
            let _ = File::open(&self.0).and_then(|top| top.set_times(times));
        }
        result
    }

    fn snapshot(&self, subvolume: &str, name: &str) -> Result<(), String> {
        let (from, to) = (self.0.join(subvolume), self.0.join(name));
        self.quietly(|| self.run(&["--quiet", "subvolume", "snapshot", "-r"], &[&from, &to])).map(|_| ())
    }

    fn remove(&self, name: &str) -> Result<(), String> {
        if !names::is_ours(name) {
            return Err(format!("{name} is no snapshot of a run"));
        }
        self.quietly(|| self.run(&["--quiet", "subvolume", "delete"], &[&self.0.join(name)])).map(|_| ())
    }

    /// Names of runs' snapshots here that `wanted` wants.
    fn left(&self, wanted: impl Fn(&Owner) -> bool) -> Vec<String> {
        let names = fs::read_dir(&self.0)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| Owner::of(name).is_some_and(|owner| wanted(&owner)))
            .filter(|name| self.was_taken(name))
            .collect()
    }

    /// Whether a snapshot was taken here, and not received as a copy of one.
    fn was_taken(&self, name: &str) -> bool {
        let shown = self.run(&["subvolume", "show"], &[&self.0.join(name)]).unwrap_or_default();
        shown.lines().filter_map(|line| line.trim().strip_prefix("Received UUID:")).any(|uuid| uuid.trim() == "-")
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        // It ends with the run's own mount table at the latest.
        // The folder stays: without it the mounts of other runs would end.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Snapshots of the subvolumes of one filesystem.
#[derive(Debug)]
pub(super) struct Taken {
    top: Top,
    device: String,
    /// The path that each is read at, and its name.
    names: Vec<(String, String)>,
}

impl Taken {
    /// Takes them, one right after the other, under the names that `name` gives.
    pub(super) fn new(found: &Subvolumes, number: usize, mut name: impl FnMut() -> String) -> Result<Self, String> {
        let top = Top::mount(&found.device, number)?;
        refuse_full(&top.0)?;
        let mut taken = Self { top, device: found.device.clone(), names: Vec::new() };
        let all = found.read.iter().try_for_each(|(subvolume, place)| {
            let name = name();
            // The top is the first, so that it shows none of them.
            taken.top.snapshot(subvolume, &name)?;
            taken.names.push((place.clone(), name));
            Ok(())
        });
        match all.and_then(|()| taken.refuse_new(found)) {
            Ok(()) => Ok(taken),
            Err(why) => {
                let left = taken.remove();
                Err(left.into_iter().fold(why, |why, left| format!("{why}; {left}")))
            }
        }
    }

    /// A subvolume that was made since the host was looked at would be an empty folder in the snapshot of its parent.
    fn refuse_new(&self, found: &Subvolumes) -> Result<(), String> {
        let mut now = found.known.clone();
        now.take_listing(&self.top.run(&listing::ALL, &[&self.top.0])?, "", "", "");
        let known = |uuid: &String| found.known.subvolumes.iter().any(|one| one.uuid == *uuid);
        match now.subvolumes.iter().find(|one| !names::is_ours(&one.path) && !known(&one.uuid)) {
            Some(new) => Err(format!("the subvolume {} was made meanwhile", new.path)),
            None => Ok(()),
        }
    }

    /// What is to be mounted where: a path, and what the filesystem is told.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&str, CString)> {
        self.names
            .iter()
            .filter_map(|(place, name)| Some((place.as_str(), CString::new(format!("subvol=/{name}")).ok()?)))
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Removes them; gives what could not be.
    pub(super) fn remove(&mut self) -> Vec<String> {
        let names = std::mem::take(&mut self.names);
        names
            .iter()
            .filter_map(|(place, name)| {
                Some(format!("the snapshot {name} of {place}: {}", self.top.remove(name).err()?))
            })
            .collect()
    }
}

fn refuse_full(top: &Path) -> Result<(), String> {
    let found = rustix::fs::statvfs(top).map_err(|error| error.to_string())?;
    if found.f_bavail < found.f_blocks / LEAST_FREE {
        return Err(format!("less than {} % of it is free", 100 / LEAST_FREE));
    }
    Ok(())
}

/// Removes what runs that `is_gone` names have left on the filesystems on `devices`.
pub(super) fn sweep(is_gone: impl Fn(&Owner) -> bool, devices: &BTreeSet<String>, left: &mut Left) {
    for (number, device) in devices.iter().enumerate() {
        // One that cannot be mounted is told by whoever captures it.
        let Ok(top) = Top::mount(device, number) else { continue };
        for name in top.left(&is_gone) {
            left.add(format!("{name} on {device}"), top.remove(&name));
        }
    }
}
