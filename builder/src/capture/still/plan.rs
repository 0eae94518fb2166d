//! Which of the filesystems that are archived can be read from a snapshot, and from which kind. Pure: what there is room for is asked when the
//! snapshots are taken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use layout::btrfs::{Btrfs, Place, Reach};
use layout::lvm::Form;
use layout::{Kind, Layout, Node, NodeId};

/// What the configuration says of snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Where it is possible.
    #[default]
    Auto,
    /// None.
    Never,
    /// A run fails where it is not possible.
    Require,
}

/// A filesystem that is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filesystem {
    /// Where it is mounted; a btrfs may be so in several places.
    pub(super) places: Vec<String>,
    /// As the kernel calls it.
    pub(super) fstype: String,
    pub(super) means: Means,
}

/// How it is made to stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A snapshot of the volume that it lies on.
    Volume(Volume),
    /// Read-only snapshots of its subvolumes.
    Subvolumes(Box<Subvolumes>),
    /// A snapshot of the dataset.
    Dataset(String),
    /// Not at all, and why.
    None(String),
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) size: u64,
    /// The pool of a thin one.
    pub(super) pool: Option<String>,
}

/// What of a btrfs is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subvolumes {
    /// One of its devices.
    pub(super) device: String,
    /// Each subvolume, by its path from the top, and where it is read.
    pub(super) read: Vec<(String, String)>,
    /// Where others show that are archived from elsewhere, or not at all.
    pub(super) hidden: Vec<String>,
    /// All that there were when the host was looked at.
    pub(super) known: Btrfs,
}

/// More subvolumes than this are no host's own, but a container engine's.
const MOST_SUBVOLUMES: usize = 64;

impl Filesystem {
    /// Where it is mounted, for messages.
    pub(super) fn place(&self) -> &str {
        self.places.first().map_or("/", String::as_str)
    }

    /// Whether it has to be read from a snapshot where the configuration requires them: all but what only boot loaders and kernels are written to.
    pub(super) fn is_required(&self) -> bool {
        let boots = |place: &String| ["/boot", "/efi"].iter().any(|folder| Path::new(place).starts_with(folder));
        self.fstype != "vfat" && !self.places.iter().all(boots)
    }
}

impl Means {
    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Volume(volume) if volume.pool.is_some() => "from a thin snapshot, where its pool has room".to_owned(),
            Self::Volume(volume) => format!("from an LVM snapshot, where the group {} has room", volume.group),
            Self::Subvolumes(found) => format!("from btrfs snapshots ({})", found.read.len()),
            Self::Dataset(name) => format!("from a snapshot of {name}"),
            Self::None(why) => format!("live: {why}"),
        }
    }
}

/// What is mounted at `/` and at `cross`, and how each can be made to stand still. `written` says whether the run itself writes to what is mounted at
/// a place.
pub(super) fn filesystems(layout: &Layout, cross: &[PathBuf], written: &dyn Fn(&str) -> bool) -> Vec<Filesystem> {
    let archived = |path: &str| path == "/" || cross.iter().any(|other| other == Path::new(path));
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    let mut found = Vec::new();
    for mount in layout.mounts.iter().filter(|mount| archived(&mount.path)) {
        let Some(node) = layout.node(&mount.node).filter(|node| seen.insert(&node.id)) else { continue };
        let own = layout.mounts.iter().filter(|other| other.node == node.id && archived(&other.path));
        let places: Vec<String> = own.map(|other| other.path.clone()).collect();
        let means = match means(layout, node) {
            // A snapshot of a volume keeps what is written over: it would be filled by the run itself.
            Means::Volume(_) if places.iter().any(|place| written(place)) => {
                Means::None("the vault that is written to lies on it".to_owned())
            }
            means => means,
        };
        found.push(Filesystem { places, fstype: mount.fstype.clone(), means });
    }
    found
}

fn means(layout: &Layout, node: &Node) -> Means {
    let none = |why: &str| Means::None(why.to_owned());
    match &node.kind {
        // The keys belong to the mounted filesystem: through a snapshot there are but sealed names.
        Kind::Ext(ext) if ext.features.iter().any(|feature| feature == "encrypt") => {
            none("folders in it are encrypted, and only the mounted filesystem has their keys")
        }
        Kind::Ext(_) | Kind::Xfs(_) => on_volume(layout, node),
        Kind::Btrfs(btrfs) => subvolumes(layout, node, btrfs),
        Kind::Dataset(dataset) if dataset.volume.is_none() => Means::Dataset(dataset.name.clone()),
        Kind::Vfat(_) => none("FAT has no snapshots"),
        _ => none("it is of a kind that has no snapshots"),
    }
}

fn on_volume(layout: &Layout, node: &Node) -> Means {
    let below: Vec<&Node> = node.on.iter().filter_map(|id| layout.node(id)).collect();
    let [Node { kind: Kind::Lv(volume), size, .. }] = below.as_slice() else {
        let within = layout.below(&node.id).into_iter().any(|below| matches!(below.kind, Kind::Lv(_)));
        return Means::None(match within {
            true => "something lies between it and its logical volume, and a snapshot would not be open".to_owned(),
            false => "it lies on no logical volume".to_owned(),
        });
    };
    let pool = match &volume.form {
        Form::Thin { pool } => Some(pool.clone()),
        Form::Linear | Form::Striped { .. } | Form::Mirrored { .. } => None,
        Form::Other { what } if what.starts_with("raid") => None,
        Form::Other { what } => return Means::None(format!("no snapshots are taken of a volume of the kind {what}")),
        Form::ThinPool { .. } | Form::Snapshot { .. } => {
            return Means::None("it lies on what is a snapshot itself".to_owned());
        }
    };
    Means::Volume(Volume { group: volume.group.clone(), name: volume.name.clone(), size: size.0, pool })
}

fn subvolumes(layout: &Layout, node: &Node, btrfs: &Btrfs) -> Means {
    let reach = Reach::of(btrfs, &node.id, &layout.mounts);
    let paths = std::iter::once("").chain(btrfs.subvolumes.iter().map(|one| one.path.as_str()));
    let read: Vec<(String, String)> = paths
        .filter_map(|path| match reach.place(path) {
            Place::At(place) => Some((path.to_owned(), place.clone())),
            _ => None,
        })
        .collect();
    if read.len() > MOST_SUBVOLUMES {
        return Means::None(format!("it has {} subvolumes, which are too many to take a snapshot of each", read.len()));
    }
    let hidden = reach.hidden.into_iter().map(|(path, _)| path).collect();
    Means::Subvolumes(Box::new(Subvolumes { device: node.path.clone(), read, hidden, known: btrfs.clone() }))
}

#[cfg(test)]
mod tests;
