//! Coverage: a word on every block device and mounted filesystem, by rule and without I/O.
//!
//! Each leaf of the layout and each mounted filesystem is captured, waived by name, left out by a default rule, or
//! uncovered. What carries the system can be neither waived nor left out. A waiver is a pattern with `*` and `?` that
//! is compared with the device's path, its mount point, and `UUID=`, `LABEL=`, `PARTUUID=`, `SERIAL=` and `TYPE=` forms;
//! it covers everything that lies on the named device.

use std::collections::BTreeSet;
use std::path::PathBuf;

use layout::disk::Table;
use layout::gpt::{BIOS_BOOT, ESP};
use layout::luks::Luks;
use layout::lvm::{Form, LogicalVolume};
use layout::probe::INACTIVE;
use layout::zfs::{GUEST, Pool};
use layout::{Kind, Layout, Node, NodeId};
use manifest::host::{Coverage, Item, Verdict};

use super::pattern::fits;
use super::{Waiver, aside, btrfs, zfs};

/// Kinds of devices that are left out by default, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("loop", "a loop device shows a file, which is archived where it lies"),
    ("zram", "compressed memory"),
    ("ram", "a disk in memory"),
    ("rom", "an optical drive"),
    ("floppy", "a floppy drive"),
    ("overlay", "an overlay shows folders of other filesystems, which are archived where they lie"),
];
/// Why a Lifeboat stick is left out.
const STICK: &str = "a Lifeboat stick";
/// Volume labels of a Lifeboat stick.
const STICK_LABELS: [&str; 2] = ["LIFEBOAT", "LIFEBOATESP"];

/// Mount points without which the system does not start.
pub(super) const SYSTEM: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/boot/efi",
    "/boot/firmware",
    "/efi",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/sbin",
    "/usr",
    "/var",
    "/var/lib",
];

/// The word on everything in `layout`. `stick` is the device path of the stick that is written to, or of a partition of it.
#[must_use]
pub fn coverage(layout: &Layout, waivers: &[Waiver], stick: Option<&str>) -> Coverage {
    let judge = Judge { layout, waivers, sticks: sticks(layout, stick) };
    let leaf = |node: &Node| layout.children(&node.id).next().is_none();
    let items = layout.nodes.iter().filter(|node| leaf(node) || judge.mount(node).is_some());
    let mut items: Vec<Item> = items.map(|node| judge.item(node)).collect();
    if !items.iter().any(|item| item.mount.as_deref() == Some("/")) {
        items.push(no_root());
    }
    let restores =
        |node: &NodeId| items.iter().any(|item| item.node == *node && matches!(item.verdict, Verdict::Captured { .. }));
    let subvolumes = btrfs::items(layout, restores, |name| judge.waived(name));
    items.extend(subvolumes);
    items.extend(zfs::items(layout));
    let used = |waiver: &&Waiver| {
        layout.nodes.iter().any(|node| judge.named(node, &waiver.pattern) || names_subvolume(node, &waiver.pattern))
    };
    let unused = waivers.iter().filter(|waiver| !used(waiver));
    Coverage { items, exclusions: Vec::new(), unused_waivers: unused.map(|waiver| waiver.pattern.clone()).collect() }
}

/// Whether everything below a node is of the kinds that this version makes again.
///
/// # Errors
/// What is not, for people.
pub fn stands(layout: &Layout, node: &Node) -> Result<(), String> {
    Judge { layout, waivers: &[], sticks: BTreeSet::new() }.stands(node)
}

/// Mount points that an archive descends into: those of captured filesystems, without `/`.
#[must_use]
pub fn crossed(layout: &Layout, coverage: &Coverage) -> Vec<PathBuf> {
    let made_anew = |id: &NodeId| layout.node(id).is_some_and(|node| matches!(node.kind, Kind::Volatile(_)));
    let captured = layout.mounts.iter().filter(|mount| mount.path != "/" && coverage.restores(&mount.node));
    let captured = captured.filter(|mount| !made_anew(&mount.node));
    captured.map(|mount| PathBuf::from(&mount.path)).collect()
}

/// Takes what a default rule left out off the layout, with the devices below that nothing else lies on.
pub fn remove_left_out(layout: &mut Layout, coverage: &Coverage) {
    let left_out = |item: &&Item| matches!(item.verdict, Verdict::LeftOut { .. });
    let mut gone: BTreeSet<NodeId> = coverage.items.iter().filter(left_out).map(|item| item.node.clone()).collect();
    let mut before = 0;
    while before != gone.len() {
        before = gone.len();
        let emptied = layout.nodes.iter().filter(|node| {
            let mut children = layout.children(&node.id).peekable();
            children.peek().is_some() && children.all(|child| gone.contains(&child.id))
        });
        let emptied: Vec<NodeId> = emptied.map(|node| node.id.clone()).collect();
        gone.extend(emptied);
    }
    layout.nodes.retain(|node| !gone.contains(&node.id));
    layout.mounts.retain(|mount| !gone.contains(&mount.node));
}

/// The word when nothing is mounted at `/`, as in some containers.
fn no_root() -> Item {
    Item {
        node: NodeId("mount:/".into()),
        path: "/".into(),
        what: "root".into(),
        mount: Some("/".into()),
        verdict: Verdict::Uncovered { reason: "no filesystem is mounted at / as a whole".into(), system: true },
    }
}

/// Every node on a disk that is a Lifeboat stick.
pub(super) fn sticks<'a>(layout: &'a Layout, stick: Option<&str>) -> BTreeSet<&'a NodeId> {
    let mut found = BTreeSet::new();
    // The disk of the running system is no stick, whatever it is called.
    let system = layout.mount_at("/").map(|root| layout.disks_below(&root.node)).unwrap_or_default();
    for (disk, _) in layout.disks().filter(|(disk, _)| !system.contains(&disk.id)) {
        let on_it: Vec<&Node> =
            layout.nodes.iter().filter(|node| layout.disks_below(&node.id).contains(&disk.id)).collect();
        let named = on_it.iter().any(|node| Some(node.path.as_str()) == stick);
        let labelled = |wanted: &&str| on_it.iter().any(|node| label(node) == Some(*wanted));
        if named || STICK_LABELS.iter().all(labelled) {
            found.extend(on_it.into_iter().map(|node| &node.id));
        }
    }
    found
}

fn label(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Ext(ext) => Some(&ext.label),
        Kind::Xfs(xfs) => Some(&xfs.label),
        Kind::Btrfs(btrfs) => Some(&btrfs.label),
        Kind::Vfat(vfat) => Some(&vfat.label),
        Kind::Swap(swap) => Some(&swap.label),
        _ => None,
    }
}

/// What a node is, for people.
fn what(node: &Node) -> &str {
    match &node.kind {
        Kind::Disk(_) => "disk",
        Kind::Partition(partition) if partition.type_guid.as_str() == BIOS_BOOT => "BIOS boot partition",
        Kind::Partition(_) => "partition",
        Kind::Ext(ext) => &ext.fstype,
        Kind::Xfs(_) => "xfs",
        Kind::Btrfs(_) => "btrfs",
        Kind::Array(array) => &array.level,
        Kind::Pv(_) => "LVM2_member",
        Kind::Vg(_) => "volume group",
        Kind::Lv(_) => "lvm",
        Kind::Pool(_) => "zpool",
        Kind::Dataset(dataset) if dataset.volume.is_some() => "zvol",
        Kind::Dataset(_) => "zfs",
        Kind::Vfat(_) => "vfat",
        Kind::Swap(_) => "swap",
        Kind::Luks(_) => "crypto_LUKS",
        Kind::Volatile(_) => "crypt",
        Kind::Opaque(opaque) => &opaque.what,
    }
}

/// Whether a waiver names a subvolume of a btrfs.
fn names_subvolume(node: &Node, waiver: &str) -> bool {
    match &node.kind {
        Kind::Btrfs(found) => found.subvolumes.iter().any(|one| fits(waiver, &btrfs::waiver_name(one))),
        _ => false,
    }
}

struct Judge<'a> {
    layout: &'a Layout,
    waivers: &'a [Waiver],
    sticks: BTreeSet<&'a NodeId>,
}

impl<'a> Judge<'a> {
    fn item(&self, node: &Node) -> Item {
        let mount = self.mount(node).map(str::to_owned);
        Item {
            node: node.id.clone(),
            path: node.path.clone(),
            what: what(node).to_owned(),
            mount,
            verdict: self.verdict(node),
        }
    }

    fn mount(&self, node: &Node) -> Option<&'a str> {
        self.layout.mounts.iter().find(|mount| mount.node == node.id).map(|mount| mount.path.as_str())
    }

    fn verdict(&self, node: &Node) -> Verdict {
        let system = self.carries_system(node);
        if !system && let Some(reason) = self.left_out(node) {
            return Verdict::LeftOut { reason: reason.to_owned() };
        }
        match self.captured(node) {
            // A waiver says that something may be missing; it does not take out what can be captured but on the word of its owner.
            _ if self.mount(node) != Some("/")
                && let Some(waiver) = self.waiver(node) =>
            {
                Verdict::Waived { pattern: waiver.pattern.clone(), reason: waiver.reason.clone() }
            }
            Ok(how) => Verdict::Captured { how: format!("{how}{}", self.simpler(node)) },
            Err(reason) => Verdict::Uncovered { reason, system },
        }
    }

    fn left_out(&self, node: &Node) -> Option<&'static str> {
        if self.sticks.contains(&node.id) {
            return Some(STICK);
        }
        if self.layout.below(&node.id).into_iter().chain([node]).any(is_snapshot) && self.mount(node).is_none() {
            return Some(SNAPSHOT);
        }
        match &node.kind {
            Kind::Disk(disk) => Some(match disk.table {
                Table::None => "blank: there is nothing to bring back",
                _ => "its partition table holds no partition",
            }),
            Kind::Opaque(opaque) => {
                let rule = |what: &str| LEFT_OUT.iter().find(|(name, _)| *name == what).map(|(_, reason)| *reason);
                // Partitions of a loop device are left out with it.
                rule(&opaque.what).or_else(|| match node.on.as_slice() {
                    [parent] => self.layout.node(parent).and_then(|parent| self.left_out_device(parent)),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    fn left_out_device(&self, node: &Node) -> Option<&'static str> {
        match &node.kind {
            Kind::Opaque(opaque) => LEFT_OUT.iter().find(|(name, _)| *name == opaque.what).map(|(_, reason)| *reason),
            _ => None,
        }
    }

    /// How a node comes back, or why it does not.
    fn captured(&self, node: &Node) -> Result<&'static str, String> {
        match &node.kind {
            Kind::Btrfs(btrfs) if btrfs.devices != node.on.len() as u64 => {
                Err(format!("{} of its {} devices are here", node.on.len(), btrfs.devices))
            }
            Kind::Ext(_) | Kind::Xfs(_) | Kind::Btrfs(_) | Kind::Vfat(_) => {
                self.stands(node)?;
                match self.mount(node) {
                    Some(_) => Ok("its files are archived"),
                    None => Err("its root folder is not mounted anywhere, so its files cannot be read".into()),
                }
            }
            Kind::Array(_) | Kind::Pv(_) | Kind::Vg(_) | Kind::Lv(_) => {
                self.remade(node)?;
                self.stands(node).map(|()| "it is empty and is made anew")
            }
            Kind::Pool(_) | Kind::Dataset(_) => {
                self.remade(node)?;
                self.stands(node)?;
                match (node.kind.is_filesystem(), self.mount(node)) {
                    (true, Some(_)) => Ok("its files are archived"),
                    (true, None) => {
                        Err("it is not mounted, so its files cannot be read: mount it, or waive it by name".into())
                    }
                    (false, _) => Ok("it is empty and is made anew"),
                }
            }
            Kind::Swap(_) => self.stands(node).map(|()| "it is made anew"),
            Kind::Volatile(_) => self.stands(node).map(|()| "crypttab makes it anew at each start"),
            Kind::Luks(luks) => Err(match &luks.hindrance {
                Some(hindrance) => hindrance.clone(),
                None if luks.name.is_some() => "the open container holds nothing that can be captured".to_owned(),
                None => "the container was not open, so what it holds cannot be read".to_owned(),
            }),
            Kind::Partition(partition) if partition.type_guid.as_str() == BIOS_BOOT => {
                self.stands(node).map(|()| "the boot loader is installed anew")
            }
            Kind::Partition(_) => self.stands(node).map(|()| "it is empty and is made anew"),
            Kind::Opaque(opaque) => Err(reason(&opaque.what)),
            Kind::Disk(_) => Err("it could not be read".into()),
        }
    }

    /// Whether everything below a node is of the kinds that this version makes again.
    fn stands(&self, node: &Node) -> Result<(), String> {
        for parent in node.on.iter().filter_map(|id| self.layout.node(id)) {
            match &parent.kind {
                Kind::Opaque(opaque) => {
                    return Err(format!("it lies on {}: {}", parent.path, reason(&opaque.what)));
                }
                Kind::Disk(disk) => match disk.table {
                    Table::Gpt(_) | Table::Dos(_) | Table::None => {}
                    Table::Mbr => return Err(reason("dos-partition")),
                },
                Kind::Luks(Luks { hindrance: Some(hindrance), .. }) => {
                    return Err(format!("it lies in the container {}: {hindrance}", parent.path));
                }
                _ => {
                    self.remade(parent).map_err(|reason| format!("it lies on {}: {reason}", parent.path))?;
                    self.stands(parent)?;
                }
            }
        }
        if node.on.is_empty() && !matches!(node.kind, Kind::Disk(_)) {
            return Err("it is not known which disk it lies on".into());
        }
        Ok(())
    }

    /// Whether an array or a volume is of a form that this version makes again.
    fn remade(&self, node: &Node) -> Result<(), String> {
        match &node.kind {
            Kind::Array(array) if !RAID_LEVELS.contains(&array.level.as_str()) => Err(reason(&array.level)),
            Kind::Pool(Pool { hindrance: Some(hindrance), .. }) => Err(hindrance.clone()),
            Kind::Dataset(dataset) if dataset.encrypted => {
                Err("it is encrypted by ZFS, which this version does not bring back".into())
            }
            _ if is_snapshot(node) => Err(format!("{SNAPSHOT}; it is mounted: unmount it, or waive it by name")),
            _ => Ok(()),
        }
    }

    /// The word on a volume below that comes back in a simpler form than it had.
    fn simpler(&self, node: &Node) -> String {
        let other = self.layout.below(&node.id).into_iter().chain([node]).find_map(|below| match &below.kind {
            Kind::Lv(LogicalVolume { form: Form::Other { what }, .. }) => Some(what.as_str()),
            Kind::Dataset(dataset) if dataset.origin.is_some() => Some(CLONE),
            Kind::Pool(pool) if pool.missing() > 0 => Some(MISSING),
            _ => None,
        });
        match other {
            Some(word @ (CLONE | MISSING)) => format!("; {word}"),
            Some("cache" | "writecache") => "; its volume comes back without a cache".to_owned(),
            Some(what) => format!("; its volume comes back as a linear one, not as {what}"),
            None => String::new(),
        }
    }

    fn carries_system(&self, node: &Node) -> bool {
        if let Some(path) = self.mount(node).filter(|path| !aside::is_aside(path)) {
            return SYSTEM.contains(&path);
        }
        // An ESP beside the root filesystem holds what the firmware starts, mounted or not.
        let on_esp =
            self.layout.below(&node.id).into_iter().any(
                |parent| matches!(&parent.kind, Kind::Partition(partition) if partition.type_guid.as_str() == ESP),
            );
        let root_disks = self.layout.mount_at("/").map(|root| self.layout.disks_below(&root.node)).unwrap_or_default();
        on_esp && !self.layout.disks_below(&node.id).is_disjoint(&root_disks)
    }

    /// The waiver that covers a node: by its own names, or because it covers everything that the node lies on.
    fn waiver(&self, node: &Node) -> Option<&'a Waiver> {
        if let Some(waiver) = self.waivers.iter().find(|waiver| self.named(node, &waiver.pattern)) {
            return Some(waiver);
        }
        let below: Vec<Option<&Waiver>> =
            node.on.iter().map(|id| self.layout.node(id).and_then(|parent| self.waiver(parent))).collect();
        below.iter().copied().collect::<Option<Vec<&Waiver>>>()?.first().copied()
    }

    /// The waiver of a name that is no node's.
    fn waived(&self, name: &str) -> Option<Verdict> {
        let waiver = self.waivers.iter().find(|waiver| fits(&waiver.pattern, name))?;
        Some(Verdict::Waived { pattern: waiver.pattern.clone(), reason: waiver.reason.clone() })
    }

    fn named(&self, node: &Node, waiver: &str) -> bool {
        let mut names = vec![node.path.clone(), node.id.0.clone(), format!("TYPE={}", what(node))];
        names.extend(self.mount(node).map(str::to_owned));
        names.extend(label(node).filter(|label| !label.is_empty()).map(|label| format!("LABEL={label}")));
        names.extend(match &node.kind {
            Kind::Disk(disk) => disk.serial.as_ref().map(|serial| format!("SERIAL={serial}")),
            Kind::Partition(partition) => Some(format!("PARTUUID={}", partition.guid.as_str().to_lowercase())),
            Kind::Ext(ext) => Some(format!("UUID={}", ext.uuid)),
            Kind::Xfs(xfs) => Some(format!("UUID={}", xfs.uuid)),
            Kind::Btrfs(btrfs) => Some(format!("UUID={}", btrfs.uuid)),
            Kind::Vfat(vfat) => Some(format!("UUID={}", vfat.serial)),
            Kind::Swap(swap) => Some(format!("UUID={}", swap.uuid)),
            Kind::Luks(luks) => Some(format!("UUID={}", luks.uuid)),
            Kind::Volatile(_) => None,
            Kind::Pool(pool) => Some(pool.name.clone()),
            Kind::Dataset(dataset) => Some(dataset.name.clone()),
            Kind::Array(_) | Kind::Pv(_) | Kind::Vg(_) | Kind::Lv(_) | Kind::Opaque(_) => None,
        });
        names.iter().any(|name| fits(waiver, name))
    }
}

/// Levels of software RAID that are made again.
const RAID_LEVELS: &[&str] = &["linear", "raid0", "raid1", "raid4", "raid5", "raid6", "raid10"];
const SNAPSHOT: &str = "a snapshot of another volume, which is archived as it is now";

/// What is said of a dataset that comes back in a simpler form.
const CLONE: &str = "it comes back as a dataset of its own, not as a clone";
const MISSING: &str = "its pool comes back without the device that was missing";

fn is_snapshot(node: &Node) -> bool {
    matches!(&node.kind, Kind::Lv(LogicalVolume { form: Form::Snapshot { .. }, .. }))
}

/// Why something that is known by name only does not come back.
fn reason(what: &str) -> String {
    let later = |name: &str| format!("{name} comes with a later version");
    match what {
        "LVM2_member" | "lvm" => {
            "LVM's tools tell nothing of it: install lvm2, or wipe it if it belongs to no group".into()
        }
        INACTIVE => "it is not active, so what it holds cannot be read: activate it, or waive it by name".into(),
        "crypto_LUKS" => "cryptsetup tells nothing of it: install cryptsetup".into(),
        "crypt" => "it is no LUKS container, and crypttab does not say that its key is drawn at each start".into(),
        "linux_raid_member" | "md" => "it belongs to an array that does not run, or that mdadm tells nothing of".into(),
        _ if what.starts_with("raid") || what == "linear" => "mdadm tells nothing of this array: install mdadm".into(),
        "multipath" | "faulty" | "container" => format!("an array of level {what} cannot be made again"),
        "f2fs" => later(what),
        "zfs" | "zfs_member" => {
            "it belongs to a pool that is not imported, or that zpool tells nothing of: import it, wipe it, or waive it by name".into()
        }
        "zvol" => "it is a volume of ZFS that zfs tells nothing of".into(),
        GUEST => "it is a volume with a partition table of its own, as guests have: back the guest up and waive the volume by name, or name it under `blocks` in the configuration".into(),
        "dos-partition" => "it belongs to a DOS partition table that could not be read".into(),
        "mpath" => later("multipath"),
        "partition" => "the partition table that it belongs to could not be read".into(),
        "ext2" | "ext3" | "ext4" | "btrfs" | "xfs" | "vfat" | "swap" => "it could not be read".into(),
        "unknown" => "it holds something that no tool here knows; a volume's blocks are archived where `blocks` in the configuration names it".into(),
        "ambiguous" => "it holds signatures of several kinds; wipe the stale one with wipefs".into(),
        "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "virtiofs" | "glusterfs" | "afs" => {
            "it lies on another machine: waive it by name if it is backed up there".into()
        }
        _ => format!("{what} is not a kind that this version brings back"),
    }
}

#[cfg(test)]
mod tests;
