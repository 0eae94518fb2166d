//! Filesystems of the host that no path shows: an ESP that only a boot tool mounts, a dataset of ZFS that is not mounted. For the time of a capture
//! they are mounted read-only, each at a place of its own, so that they are archived, and brought back, as all others are. And files that must not be
//! read while they are in use: a copy is laid over them. All of it is in this run's own mount table.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layout::gpt::ESP;
use layout::{Kind, Layout, Node};
use manifest::host::Gap;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::source::Source;
use super::{Options, coverage, gap, namespace};

/// Where they are mounted. It lies on the root filesystem, where a restore finds it again; for root alone, because nobody else saw them before.
const FOLDER: &str = "/var/lib/lifeboat-aside";

/// Where copies lie that are laid over files while they are archived.
const COPIES: &str = "/run/lifeboat-copies";

/// Mounts that end with this value.
#[derive(Debug, Default)]
pub struct Aside {
    /// This run has a mount table of its own, and the host is the running system.
    able: bool,
    places: Vec<PathBuf>,
    /// What is to be done when everything is read.
    later: Vec<Later>,
}

/// Something that is done when everything is read; gives what went wrong.
struct Later(Box<dyn FnOnce() -> Vec<String> + Send>);

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later")
    }
}

/// Whether a mount point is one of these.
pub(super) fn is_aside(path: &str) -> bool {
    Path::new(path).starts_with(FOLDER)
}

impl Aside {
    /// Nothing is mounted yet.
    pub(super) fn begin(source: &Source) -> Self {
        Self { able: source.is_live() && namespace::is_own(), places: Vec::new(), later: Vec::new() }
    }

    /// Whether this run may mount.
    pub(super) fn is_able(&self) -> bool {
        self.able
    }

    /// A folder in memory that no other program sees.
    pub(super) fn folder(&mut self) -> std::io::Result<PathBuf> {
        let place = PathBuf::from(COPIES);
        if !self.places.contains(&place) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount("tmpfs", &place, "tmpfs", flags, c"mode=0700")?;
            self.places.push(place.clone());
        }
        Ok(place)
    }

    /// Shows `copy` in the place of the file `over`.
    pub(super) fn lay_over(&mut self, copy: &Path, over: &Path) -> std::io::Result<()> {
        mount_bind(copy, over)?;
        self.places.push(over.to_owned());
        Ok(())
    }

    /// Shows what lies below a mount. It is the system's, and stays there for everybody else.
    pub(super) fn take_off(&mut self, place: &Path) {
        // One that nothing is mounted on says so.
        let _ = unmount(place, UnmountFlags::DETACH);
    }

    /// Mounts what of `layout` is not mounted and belongs to the host, and says whether anything was. What cannot be mounted becomes a gap, and
    /// its coverage says the rest.
    pub(super) fn open(&mut self, layout: &Layout, options: &Options, gaps: &mut Vec<Gap>) -> bool {
        if !self.able {
            return false;
        }
        let before = self.places.len();
        let sticks = coverage::sticks(layout, options.stick.as_deref());
        let hidden = layout.nodes.iter().filter(|node| !layout.mounts.iter().any(|mount| mount.node == node.id));
        let wanted = hidden.filter(|node| !sticks.contains(&node.id)).filter_map(|node| wanted(layout, node));
        for (node, fstype) in wanted {
            if let Err(error) = self.mount(node, fstype) {
                gaps.push(gap(
                    &node.path,
                    format!("it is not mounted, and cannot be mounted for the capture: {error}"),
                ));
            }
        }
        self.places.len() > before
    }

    fn mount(&mut self, node: &Node, fstype: &str) -> std::io::Result<()> {
        let place = place(node);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
        mount(node.path.as_str(), &place, fstype, flags, None::<&CStr>)?;
        self.places.push(place);
        Ok(())
    }
}

impl Aside {
    /// Has something done when everything is read, however the run ends, unless it is killed.
    pub(super) fn afterwards(&mut self, done: impl FnOnce() -> Vec<String> + Send + 'static) {
        self.later.push(Later(Box::new(done)));
    }

    /// Ends them: everything is read. Gives what went wrong.
    pub fn close(&mut self) -> Vec<String> {
        for place in self.places.drain(..).rev() {
            // Detached is as good: nothing is written there.
            let _ = unmount(&place, UnmountFlags::DETACH);
        }
        self.later.drain(..).flat_map(|later| later.0()).collect()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A run that has failed: nobody asks any more.
        self.close().iter().for_each(|wrong| eprintln!("lifeboat: {wrong}"));
    }
}

/// The filesystem type of a node that is to be mounted.
fn wanted<'a>(layout: &Layout, node: &'a Node) -> Option<(&'a Node, &'static str)> {
    match &node.kind {
        Kind::Dataset(dataset) if dataset.volume.is_none() && !dataset.encrypted => Some((node, "zfs")),
        // One beside the root filesystem: another system's on another disk is not for us to open.
        Kind::Vfat(_) => {
            let root = layout.mount_at("/").map(|root| layout.disks_below(&root.node)).unwrap_or_default();
            let on_esp = layout.below(&node.id).into_iter().any(is_esp);
            (on_esp && !layout.disks_below(&node.id).is_disjoint(&root)).then_some((node, "vfat"))
        }
        _ => None,
    }
}

fn is_esp(node: &Node) -> bool {
    matches!(&node.kind, Kind::Partition(partition) if partition.type_guid.as_str() == ESP)
}

/// A folder for a node: an ESP by its serial number, a dataset by its name, in which `/` becomes `+`, which no dataset's name has.
fn place(node: &Node) -> PathBuf {
    let name = match &node.kind {
        Kind::Vfat(vfat) => &vfat.serial,
        _ => &node.path,
    };
    Path::new(FOLDER).join(name.replace('/', "+"))
}
