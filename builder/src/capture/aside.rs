//! Filesystems of the host that no path shows: an ESP that only a boot tool mounts, a dataset of ZFS that is not mounted. For the time of a capture
//! they are mounted read-only, each at a place of its own, so that they are archived, and brought back, as all others are.

use std::ffi::CStr;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layout::gpt::ESP;
use layout::{Kind, Layout, Node};
use manifest::host::Gap;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::source::Source;
use super::{coverage, gap};

/// Where they are mounted. It lies on the root filesystem, where a restore finds it again; for root alone, because nobody else saw them before.
const FOLDER: &str = "/var/lib/lifeboat-aside";

/// Held by the run that mounts. Another one at the same time sees what is mounted and leaves it alone.
const LOCK: &str = "/run/lifeboat-aside.lock";

/// Mounts that end with this value.
#[derive(Debug, Default)]
pub struct Aside {
    lock: Option<File>,
    places: Vec<PathBuf>,
}

/// Whether a mount point is one of these.
pub(super) fn is_aside(path: &str) -> bool {
    Path::new(path).starts_with(FOLDER)
}

impl Aside {
    /// Ends what a run left that was killed. To be done before the mount table is read.
    pub(super) fn begin(source: &Source) -> Self {
        if !source.is_live() || !rustix::process::geteuid().is_root() {
            return Self::default();
        }
        let lock = File::create(LOCK).ok().filter(|file| file.try_lock().is_ok());
        if lock.is_some() {
            let places = fs::read_dir(FOLDER).into_iter().flatten().flatten();
            for place in places {
                // One that nothing is mounted on says so.
                let _ = unmount(place.path(), UnmountFlags::DETACH);
            }
        }
        Self { lock, places: Vec::new() }
    }

    /// Mounts what of `layout` is not mounted and belongs to the host, and says whether anything was. What cannot be mounted becomes a gap, and
    /// its coverage says the rest.
    pub(super) fn open(&mut self, layout: &Layout, stick: Option<&str>, gaps: &mut Vec<Gap>) -> bool {
        if self.lock.is_none() {
            return false;
        }
        let sticks = coverage::sticks(layout, stick);
        let hidden = layout.nodes.iter().filter(|node| !layout.mounts.iter().any(|mount| mount.node == node.id));
        for (node, fstype) in hidden.filter(|node| !sticks.contains(&node.id)).filter_map(|node| wanted(layout, node)) {
            if let Err(error) = self.mount(node, fstype) {
                gaps.push(gap(
                    &node.path,
                    format!("it is not mounted, and cannot be mounted for the capture: {error}"),
                ));
            }
        }
        !self.places.is_empty()
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
    /// Ends them: everything is read.
    pub fn close(&mut self) {
        for place in self.places.drain(..).rev() {
            // Detached is as good: nothing is written there.
            let _ = unmount(&place, UnmountFlags::DETACH);
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.close();
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
