//! Taking the snapshots of one attempt, and giving them back.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;

use layout::mountinfo;

use super::names::Lease;
use super::plan::{Filesystem, Means, Policy, Volume};
use super::tree::{self, Fault, Mounted, Tree};
use super::{Plan, btrfs, lvm, zfs};

/// What one attempt has, and what was learnt in those before it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What is read. It ends before what it shows.
    pub(super) tree: Option<Tree>,
    pub(super) taken: Vec<Taken>,
    pub(super) lease: Option<Lease>,
    /// Filesystems that are read live though they could have had a snapshot, by where they are mounted, and why.
    pub(super) live: BTreeMap<String, String>,
    /// Where snapshots did not hold until all was read, and why.
    pub(super) torn: Vec<(String, String)>,
    /// What went wrong, with where it is mounted.
    pub(super) wrong: Vec<(String, String)>,
}

/// Snapshots of one filesystem.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) places: Vec<String>,
    fstype: String,
    pub(super) form: Form,
}

/// Of which kind.
#[derive(Debug)]
pub(super) enum Form {
    Volume(lvm::Taken),
    Subvolumes(btrfs::Taken),
    Dataset(String),
}

impl State {
    /// Takes all snapshots and builds the tree; none when there is nothing to take one of.
    pub(super) fn stand(&mut self, plan: &Plan) -> Result<Option<PathBuf>, String> {
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
        loop {
            self.refuse_missing(plan)?;
            if self.taken.is_empty() {
                self.lease = None;
                return Ok(None);
            }
            match self.build(plan, &candidates) {
                Ok(tree) => {
                    let root = tree.root();
                    self.tree = Some(tree);
                    return Ok(Some(root));
                }
                Err(fault) => self.let_go(fault)?,
            }
        }
    }

    /// Builds the tree of what was taken.
    fn build(&self, plan: &Plan, candidates: &[&Filesystem]) -> Result<Tree, Fault> {
        let mounts = std::fs::read("/proc/thread-self/mountinfo").map_err(|error| Fault::of("/", error))?;
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
        let parts = tree::parts(&mountinfo::parse(&mounts), &cross, &still, &beside);
        // What is archived is either here or an error; so is what lies over the files of a filesystem that is.
        let entered: Vec<PathBuf> = cross.iter().cloned().chain(std::iter::once("/".into())).collect();
        Tree::build(&parts, &entered)
    }

    /// Gives up the snapshot that cannot be shown.
    fn let_go(&mut self, Fault { place, why }: Fault) -> Result<(), String> {
        let shows = |taken: &Taken| taken.mounted().iter().any(|mounted| mounted.place == place);
        let Some(at) = self.taken.iter().position(shows) else { return Err(format!("showing {place}: {why}")) };
        let taken = self.taken.swap_remove(at);
        let place = taken.places[0].clone();
        eprintln!("lifeboat: {place} is read live: its snapshot cannot be mounted: {why}");
        self.give_back(taken);
        self.live.insert(place, format!("its snapshot cannot be mounted: {why}"));
        Ok(())
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

    /// What would have to stand still and does not, and why.
    pub(super) fn missing<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = String> + 'a {
        let missing = plan.filesystems.iter().filter(|filesystem| filesystem.is_required() && !self.has(filesystem));
        missing.map(|filesystem| {
            let why = match &filesystem.means {
                Means::None(why) => why,
                _ => self.live.get(filesystem.place()).map_or("none was taken", String::as_str),
            };
            format!("{}: {why}", filesystem.place())
        })
    }

    /// Where the configuration requires snapshots, names what has none.
    fn refuse_missing(&self, plan: &Plan) -> Result<(), String> {
        let missing: Vec<String> = self.missing(plan).collect();
        if plan.policy != Policy::Require || missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the configuration requires snapshots, and there is none of {}; nothing was captured",
            missing.join("; ")
        ))
    }

    pub(super) fn wrong_at(&mut self, place: &str, what: &str) {
        self.wrong.push((place.to_owned(), what.to_owned()));
    }

    /// Ends everything that was begun.
    pub(super) fn release(&mut self) {
        // What is mounted holds the snapshots.
        self.tree = None;
        for taken in std::mem::take(&mut self.taken) {
            self.give_back(taken);
        }
        self.lease = None;
    }

    fn give_back(&mut self, taken: Taken) {
        let place = taken.places[0].clone();
        for why in taken.remove() {
            self.wrong_at(&place, &format!("a snapshot of it stays, until the next run removes it: {why}"));
        }
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
