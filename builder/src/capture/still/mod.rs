//! The host's filesystems, standing still while they are read.
//!
//! When the hooks and streams are done, a snapshot is taken of each filesystem that is archived and can have one ([`plan`]), all right after each other.
//! The tree is built a second time from them ([`tree`]), in this run's own mount table, and that is read; vaults and the state folder stay where they are.
//! Afterwards the snapshots are removed. A run that was killed leaves them, and the next one, or `lifeboat doctor`, removes what bears its name ([`names`]).
//!
//! A snapshot that was full before all was read is worth nothing: what was read is thrown away, and that filesystem is read as it lies.

mod btrfs;
mod lvm;
pub(crate) mod names;
mod plan;
mod room;
mod tree;
pub(crate) mod zfs;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use layout::{Layout, mountinfo};

use self::names::Lease;
pub use self::plan::Policy;
use self::plan::{Filesystem, Means, Volume};
use self::tree::{Mounted, Tree};
use super::namespace;

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
    /// For the filesystems of `layout` that are mounted at the root of the host, `root`, and at `cross`; `live` where this is the running system.
    pub(super) fn new(policy: Policy, layout: &Layout, root: &Path, cross: &[PathBuf], live: bool) -> Self {
        let unable = match policy {
            Policy::Never => Some("the configuration says so"),
            _ if !live => Some("it is not the running system"),
            _ if !namespace::is_own() => Some("only root has a mount table of its own for the backup"),
            _ => None,
        };
        let filesystems = plan::filesystems(layout, cross);
        Self { policy, unable: unable.map(str::to_owned), root: root.to_owned(), cross: cross.to_vec(), filesystems }
    }

    /// What is read how, for people.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.filesystems.iter().map(|filesystem| {
            let how = self.unable.as_ref().map_or_else(|| filesystem.means.describe(), |why| format!("live: {why}"));
            format!("{} {how}", filesystem.place())
        })
    }

    /// Folders that are mount points only while they stand still: subvolumes that nobody mounted.
    pub(super) fn places_inside(&self) -> Vec<PathBuf> {
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

/// Makes it stand still, as long as this value lives.
#[derive(Debug)]
pub struct Still {
    plan: Plan,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Before what it shows.
    tree: Option<Tree>,
    taken: Vec<Taken>,
    lease: Option<Lease>,
    /// Filesystems that are read live though they could have had a snapshot, by where they are mounted, and why.
    live: BTreeMap<String, String>,
    /// Snapshots that were full too early.
    torn: Vec<String>,
    /// What went wrong, with where it is mounted.
    wrong: Vec<(String, String)>,
}

/// Snapshots of one filesystem.
#[derive(Debug)]
struct Taken {
    places: Vec<String>,
    fstype: String,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Volume(lvm::Taken),
    Subvolumes(btrfs::Taken),
    Dataset(String),
}

/// What became of it, once it is over.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Where filesystems are mounted that were read from snapshots.
    pub still: BTreeSet<String>,
    /// What went wrong: the object, and what happened.
    pub wrong: Vec<(String, String)>,
}

impl Still {
    /// Nothing is done yet.
    pub fn new(plan: Plan) -> Self {
        Self { plan, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After [`vault::Error::Torn`]: what did not hold is read live from now on, and what was taken is removed. Whether another attempt is worth while.
    pub fn give_way(&self) -> bool {
        let mut state = self.state();
        state.release();
        let torn = std::mem::take(&mut state.torn);
        if torn.is_empty() || self.plan.policy == Policy::Require {
            return false;
        }
        for place in torn {
            let why =
                "more was written to it while it was read than its snapshot had room for: it was read again, live"
                    .to_owned();
            state.wrong_at(&place, &why);
            state.live.insert(place, why);
        }
        true
    }

    /// Ends it: everything is read. What of `paths` was read from snapshots, and what went wrong.
    pub fn close(&self) -> Outcome {
        let mut state = self.state();
        let still = state.taken.iter().flat_map(|taken| taken.places.clone()).collect();
        state.release();
        Outcome { still, wrong: std::mem::take(&mut state.wrong) }
    }

    /// The filesystem that a path lies in, by where it is mounted.
    pub fn place_of(&self, path: &Path) -> &str {
        self.plan.place_of(path)
    }
}

impl vault::Still for Still {
    fn begin(&self) -> Result<PathBuf, String> {
        let required = self.plan.policy == Policy::Require;
        if let Some(why) = &self.plan.unable {
            let live = self.plan.root.clone();
            return if required { Err(format!("the configuration requires snapshots: {why}")) } else { Ok(live) };
        }
        let mut state = self.state();
        match state.stand(&self.plan) {
            Ok(Some(root)) => Ok(root),
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
        let mut state = self.state();
        let mut lost = Vec::new();
        for taken in &state.taken {
            if let Form::Volume(volume) = &taken.form
                && let Err(why) = volume.held()
            {
                lost.push((taken.places[0].clone(), why));
            }
        }
        state.torn = lost.iter().map(|(place, _)| place.clone()).collect();
        let words: Vec<String> = lost.into_iter().map(|(place, why)| format!("{place}: {why}")).collect();
        if words.is_empty() { Ok(()) } else { Err(format!("{}; nothing that was read is kept", words.join("; "))) }
    }
}

impl State {
    /// Takes all snapshots and builds the tree; none when there is nothing to take one of.
    fn stand(&mut self, plan: &Plan) -> Result<Option<PathBuf>, String> {
        let candidates: Vec<&Filesystem> = plan
            .filesystems
            .iter()
            .filter(|filesystem| {
                !matches!(filesystem.means, Means::None(_)) && !self.live.contains_key(filesystem.place())
            })
            .collect();
        if !candidates.is_empty() {
            let lease = Lease::new().map_err(|error| format!("no snapshots can be taken: {error}"))?;
            self.take(&candidates, &lease);
            self.lease = Some(lease);
        }
        self.refuse_missing(plan)?;
        if self.taken.is_empty() {
            self.lease = None;
            return Ok(None);
        }
        let mounts = std::fs::read("/proc/self/mountinfo").map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
        let still: Vec<Mounted> = self.taken.iter().flat_map(Taken::mounted).collect();
        // What of a btrfs is seen and not archived is an empty folder in its snapshots, without its owner and times.
        let beside: Vec<String> = candidates
            .iter()
            .filter(|filesystem| self.has(filesystem))
            .flat_map(|filesystem| match &filesystem.means {
                Means::Subvolumes(found) => found.hidden.clone(),
                _ => Vec::new(),
            })
            .collect();
        let cross: Vec<PathBuf> = plan.cross.iter().cloned().chain(plan.places_inside()).collect();
        let tree = Tree::build(&tree::parts(&mountinfo::parse(&mounts), &cross, &still, &beside))?;
        let root = tree.root();
        self.tree = Some(tree);
        Ok(Some(root))
    }

    fn has(&self, filesystem: &Filesystem) -> bool {
        self.taken.iter().any(|taken| taken.places == filesystem.places)
    }

    fn take(&mut self, candidates: &[&Filesystem], lease: &Lease) {
        let mut number = 0;
        let mut name = || {
            number += 1;
            lease.owner.name(number)
        };
        // What takes longest to find out comes first, so that the snapshots lie close together.
        let volumes: Vec<&Volume> = candidates.iter().filter_map(|filesystem| volume(filesystem)).collect();
        let room = if volumes.is_empty() { Ok(lvm::Room::default()) } else { lvm::Room::ask() };
        let shares = room.map(|room| room.share(&volumes));
        for filesystem in candidates {
            let form = match &filesystem.means {
                Means::Volume(volume) => share_of(&shares, &volumes, volume)
                    .and_then(|extents| lvm::Taken::new(volume, &name(), extents))
                    .map(Form::Volume),
                Means::Subvolumes(found) => btrfs::Taken::new(found, self.taken.len(), &mut name).map(Form::Subvolumes),
                Means::Dataset(_) | Means::None(_) => continue,
            };
            self.took(filesystem, form);
        }
        self.take_datasets(candidates, &mut name);
    }

    /// Those of a pool at one moment.
    fn take_datasets(&mut self, candidates: &[&Filesystem], name: &mut dyn FnMut() -> String) {
        let mut pools: BTreeMap<&str, Vec<(&Filesystem, &str)>> = BTreeMap::new();
        for filesystem in candidates {
            if let Means::Dataset(dataset) = &filesystem.means {
                let pool = dataset.split('/').next().unwrap_or_default();
                pools.entry(pool).or_default().push((filesystem, dataset));
            }
        }
        for datasets in pools.into_values() {
            let (name, all) = (name(), datasets.iter().map(|(_, dataset)| *dataset).collect::<Vec<_>>());
            let taken = zfs::take(&all, &name);
            for (filesystem, dataset) in datasets {
                self.took(filesystem, taken.clone().map(|()| Form::Dataset(format!("{dataset}@{name}"))));
            }
        }
    }

    fn took(&mut self, filesystem: &Filesystem, form: Result<Form, String>) {
        match form {
            Ok(form) => {
                let (places, fstype) = (filesystem.places.clone(), filesystem.fstype.clone());
                self.taken.push(Taken { places, fstype, form });
            }
            Err(why) => {
                eprintln!("lifeboat: {} is read live: {why}", filesystem.place());
                self.live.insert(filesystem.place().to_owned(), why);
            }
        }
    }

    /// Where the configuration requires snapshots, names what has none.
    fn refuse_missing(&self, plan: &Plan) -> Result<(), String> {
        if plan.policy != Policy::Require {
            return Ok(());
        }
        let missing = plan.filesystems.iter().filter(|filesystem| filesystem.is_required() && !self.has(filesystem));
        let words: Vec<String> = missing
            .map(|filesystem| {
                let why = match &filesystem.means {
                    Means::None(why) => why,
                    _ => self.live.get(filesystem.place()).map_or("none was taken", String::as_str),
                };
                format!("{}: {why}", filesystem.place())
            })
            .collect();
        if words.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the configuration requires snapshots, and there is none of {}; nothing was captured",
            words.join("; ")
        ))
    }

    fn wrong_at(&mut self, place: &str, what: &str) {
        self.wrong.push((place.to_owned(), what.to_owned()));
    }

    /// Ends everything that was begun.
    fn release(&mut self) {
        // What is mounted holds the snapshots.
        self.tree = None;
        for taken in std::mem::take(&mut self.taken) {
            let place = taken.places[0].clone();
            for why in taken.remove() {
                self.wrong_at(&place, &format!("a snapshot of it stays, until the next run removes it: {why}"));
            }
        }
        self.lease = None;
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.release();
        self.wrong.drain(..).for_each(|(place, what)| eprintln!("lifeboat: {place}: {what}"));
    }
}

impl Taken {
    fn mounted(&self) -> Vec<Mounted> {
        let one = |place: &str, source: PathBuf, options: CString| Mounted {
            place: place.to_owned(),
            source,
            fstype: self.fstype.clone(),
            options,
        };
        match &self.form {
            Form::Volume(volume) => vec![one(&self.places[0], volume.device(), options(&self.fstype))],
            Form::Dataset(name) => vec![one(&self.places[0], name.into(), c"".into())],
            Form::Subvolumes(taken) => {
                taken.shown().map(|(place, options)| one(place, taken.device().into(), options)).collect()
            }
        }
    }

    /// Removes them; gives what could not be.
    fn remove(self) -> Vec<String> {
        match self.form {
            Form::Volume(volume) => volume.remove().err().into_iter().collect(),
            Form::Subvolumes(mut taken) => taken.remove(),
            Form::Dataset(name) => zfs::remove(&name).err().into_iter().collect(),
        }
    }
}

/// How a snapshot of a volume is mounted. The filesystem was written out and held when it was taken, so its journal has nothing that it lacks; one that
/// lies on a device of its own is the running filesystem's. XFS does not mount two of one UUID unless told to.
fn options(fstype: &str) -> CString {
    match fstype {
        "xfs" => c"nouuid,norecovery".into(),
        "ext3" | "ext4" => c"noload".into(),
        _ => c"".into(),
    }
}

fn volume(filesystem: &Filesystem) -> Option<&Volume> {
    match &filesystem.means {
        Means::Volume(volume) => Some(volume),
        _ => None,
    }
}

fn share_of(
    shares: &Result<Vec<Result<u64, String>>, String>,
    volumes: &[&Volume],
    volume: &Volume,
) -> Result<u64, String> {
    let shares = shares.as_ref().map_err(String::clone)?;
    let at = volumes.iter().position(|other| *other == volume);
    at.and_then(|at| shares.get(at).cloned()).unwrap_or_else(|| Err("LVM does not tell of it".to_owned()))
}

/// Removes what runs of this host that are at work no more have left. Gives what was removed, and what could not be.
pub fn sweep() -> (Vec<String>, Vec<String>) {
    if !namespace::is_own() {
        return Default::default();
    }
    let host = names::host();
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default());
    let devices: BTreeSet<String> =
        mounts.into_iter().filter(|entry| entry.fstype == "btrfs").map(|entry| entry.source).collect();
    let all = [lvm::sweep(&host), btrfs::sweep(&host, &devices.into_iter().collect::<Vec<_>>()), zfs::sweep(&host)];
    let mut found = (Vec::new(), Vec::new());
    for (removed, failed) in all {
        found.0.extend(removed);
        found.1.extend(failed);
    }
    found
}
