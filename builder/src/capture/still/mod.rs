//! The host's filesystems, standing still while they are read.
//!
//! When the hooks and streams are done, a snapshot is taken of each filesystem that is archived and can have one ([`plan`]), all right after each other.
//! The tree is built a second time from them ([`tree`]), in this run's own mount table, and that is read; vaults and the state folder stay where they are.
//! Afterwards the snapshots are removed. A run that was killed leaves them, and the next one, or `lifeboat doctor`, removes what bears its name ([`names`]).
//!
//! A snapshot that was full before all was read is worth nothing: what was read is thrown away, and that filesystem is read as it lies.

mod btrfs;
mod left;
mod lvm;
pub(crate) mod names;
mod plan;
mod room;
mod stand;
mod tree;
pub(crate) mod zfs;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use layout::Layout;

pub use self::left::sweep;
pub use self::plan::Policy;
use self::plan::{Filesystem, Means};
use self::stand::{Form, State};
use super::{Options, namespace};

/// What of the host is made to stand still.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    policy: Policy,
    /// Why nothing is.
    unable: Option<String>,
    root: PathBuf,
    cross: Vec<PathBuf>,
    filesystems: Vec<Filesystem>,
}

impl Plan {
    /// For the filesystems of `layout` that are mounted at `/` and at `cross`; `live` where this is the running system.
    pub(super) fn new(options: &Options, layout: &Layout, cross: &[PathBuf], live: bool) -> Self {
        let Options { snapshots: policy, root, .. } = options;
        let unable = match *policy {
            Policy::Never => Some("the configuration says so"),
            _ if !live => Some("it is not the running system"),
            _ if !namespace::is_own() => Some("only root has a mount table of its own for the backup"),
            _ => None,
        };
        // What this run itself writes. Where it lies is the kernel's word: names lead through links, bind mounts and what is no disk.
        let stick = options.stick.as_ref().map(PathBuf::from).filter(|stick| !stick.starts_with("/dev"));
        let written: BTreeSet<u64> = options.vaults.iter().chain(&stick).filter_map(|path| device_of(path)).collect();
        let is_written = |place: &str| {
            let place = root.join(place.trim_start_matches('/'));
            std::fs::metadata(place).is_ok_and(|found| written.contains(&found.dev()))
        };
        let filesystems = plan::filesystems(layout, cross, &is_written);
        let unable = unable.map(str::to_owned);
        Self { policy: *policy, unable, root: root.clone(), cross: cross.to_vec(), filesystems }
    }

    /// What is read how, for people.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.filesystems.iter().map(|filesystem| {
            let how = self.unable.as_ref().map_or_else(|| filesystem.means.describe(), |why| format!("live: {why}"));
            format!("{} {how}", filesystem.place())
        })
    }

    /// Folders that are mount points only while they stand still: subvolumes that nobody mounted.
    fn places_inside(&self) -> Vec<PathBuf> {
        let subvolumes = self.filesystems.iter().filter_map(|filesystem| match &filesystem.means {
            Means::Subvolumes(found) => Some(found),
            _ => None,
        });
        let read = subvolumes.flat_map(|found| &found.read).map(|(_, place)| PathBuf::from(place));
        read.filter(|place| place != Path::new("/") && !self.cross.contains(place)).collect()
    }

    /// The filesystem that a path of the host lies in, by where it is mounted.
    fn place_of<'a>(&'a self, path: &Path) -> &'a str {
        let places = self.filesystems.iter().flat_map(|filesystem| &filesystem.places);
        let above = places.filter(|place| path.starts_with(place));
        above.max_by_key(|place| Path::new(place).components().count()).map_or("/", String::as_str)
    }
}

/// The filesystem that a path lies on, or would if it were made.
fn device_of(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|above| Some(std::fs::metadata(above).ok()?.dev()))
}

/// Makes it stand still, as long as this value lives.
pub struct Still<'a> {
    plan: Plan,
    state: RefCell<State>,
    /// Told when all of it does.
    stands: &'a dyn Fn(),
}

/// What became of it, once it is over.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Where filesystems are mounted that were read from snapshots.
    pub still: BTreeSet<String>,
    /// What went wrong: the object, and what happened.
    pub wrong: Vec<(String, String)>,
}

impl<'a> Still<'a> {
    /// Nothing is done yet. `stands` is told when every filesystem stands still that has to for what it holds to be of one moment.
    pub fn new(plan: Plan, stands: &'a dyn Fn()) -> Self {
        Self { plan, state: RefCell::default(), stands }
    }

    /// After [`vault::Error::Torn`]: what did not hold is read live from now on, and what was taken is removed. Whether another attempt is worth while.
    pub fn give_way(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.release();
        let torn = std::mem::take(&mut state.torn);
        if torn.is_empty() || self.plan.policy == Policy::Require {
            return false;
        }
        for (place, why) in torn {
            state.wrong_at(&place, &format!("{why}; it was read again, live"));
            state.live.insert(place, why);
        }
        true
    }

    /// Ends it: everything is read.
    pub fn close(&self) -> Outcome {
        let mut state = self.state.borrow_mut();
        let still = state.taken.iter().flat_map(|taken| taken.places.clone()).collect();
        state.release();
        Outcome { still, wrong: std::mem::take(&mut state.wrong) }
    }

    /// The filesystem that a path lies in, by where it is mounted.
    pub fn place_of(&self, path: &Path) -> &str {
        self.plan.place_of(path)
    }

    /// Folders that are mount points only while they stand still.
    pub fn places_inside(&self) -> Vec<PathBuf> {
        self.plan.places_inside()
    }
}

impl vault::Still for Still<'_> {
    fn begin(&self) -> Result<PathBuf, String> {
        let required = self.plan.policy == Policy::Require;
        if let Some(why) = &self.plan.unable {
            let live = self.plan.root.clone();
            return if required { Err(format!("the configuration requires snapshots: {why}")) } else { Ok(live) };
        }
        let mut state = self.state.borrow_mut();
        match state.stand(&self.plan) {
            Ok(Some(root)) => {
                if state.missing(&self.plan).next().is_none() {
                    (self.stands)();
                }
                Ok(root)
            }
            Ok(None) => Ok(self.plan.root.clone()),
            Err(why) => {
                state.release();
                if required {
                    return Err(why);
                }
                eprintln!("lifeboat: {why}; all filesystems are read live");
                Ok(self.plan.root.clone())
            }
        }
    }

    fn held(&self) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let mut lost = Vec::new();
        for taken in &state.taken {
            if let Form::Volume(volume) = &taken.form
                && let Err(why) = volume.held()
            {
                lost.push((taken.places[0].clone(), why));
            }
        }
        let words: Vec<String> = lost.iter().map(|(place, why)| format!("{place}: {why}")).collect();
        state.torn = lost;
        if words.is_empty() { Ok(()) } else { Err(format!("{}; nothing that was read is kept", words.join("; "))) }
    }
}

#[cfg(test)]
mod tests;
