//! From what was seen of a host's block devices and mounts to its [`Layout`].
//!
//! The callers read devices and run tools; [`assemble`] makes the graph. A device becomes a node (disk, partition, or
//! opaque), and what it holds a second node on it, so that a volume group's volumes lie on the physical volume and
//! not on the bare partition.

mod lvm;
mod mounts;
mod zfs;

use std::collections::{BTreeMap, BTreeSet};

use crate::btrfs::Btrfs;
use crate::disk::{Disk, Table};
use crate::ext::Ext;
use crate::gpt::{BIOS_BOOT, Partition};
use crate::graph::{Kind, Layout, Node, NodeId, Opaque, Volatile};
use crate::lsblk::{BlockDevice, partition_number};
use crate::luks::Luks;
use crate::lvm::Form;
use crate::lvm::report::Report;
use crate::md::Array;
use crate::mountinfo::MountEntry;
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;
use crate::zfs::GUEST;
use crate::zfs::report::Report as ZfsReport;

use zfs::is_zvol;

/// What reading a device gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Its partition table, where it has one.
    pub table: Option<(Table, Vec<Partition>)>,
    /// What it holds, where it has no partition table.
    pub content: Content,
}

/// What a device holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// ext2, ext3 or ext4.
    Ext(Ext),
    /// XFS.
    Xfs(Xfs),
    /// A device of a btrfs, and its number in it.
    Btrfs(Btrfs, u64),
    /// FAT.
    Vfat(Vfat),
    /// A swap area.
    Swap(Swap),
    /// A LUKS container, open or not.
    Luks(Luks),
    /// Something else, by the tools' name for it.
    Other(String),
    /// Zeroes.
    Blank,
    /// Nothing that any tool knows.
    #[default]
    Unknown,
}

/// What the tools of arrays and volumes say, beside the devices' own bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// LVM's word on groups and volumes; empty where there is no LVM.
    pub lvm: Report,
    /// Arrays, by kernel name.
    pub arrays: BTreeMap<String, Array>,
    /// Names below `/dev/mapper` whose key crypttab draws at each start.
    pub volatile: BTreeSet<String>,
    /// The word of ZFS on pools, datasets and the devices of volumes; empty where there is none.
    pub zfs: ZfsReport,
}

/// What an LVM volume is said to hold that is not active, and so cannot be read.
pub const INACTIVE: &str = "inactive volume";

/// What lsblk's kinds and the kernel's names say of devices that are not disks of the host. Their contents are not looked at.
fn transient(device: &BlockDevice) -> Option<&'static str> {
    let named = |prefix: &str| {
        device.kname.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    match device.kind.as_str() {
        "loop" => Some("loop"),
        "rom" => Some("rom"),
        _ if named("zram") => Some("zram"),
        _ if named("ram") => Some("ram"),
        _ if named("fd") => Some("floppy"),
        _ if named("loop") => Some("loop"),
        _ if named("sr") => Some("rom"),
        _ => None,
    }
}

/// Makes the graph. `probes` is by kernel name; a device without one is taken to hold what lsblk's `fstype` says.
#[must_use]
pub fn assemble(
    devices: &[BlockDevice],
    probes: &BTreeMap<String, Probe>,
    stacks: &Stacks,
    mounts: &[MountEntry],
) -> Layout {
    let (layout, ids, top) = (Layout::default(), BTreeSet::new(), BTreeMap::new());
    let mut graph = Assembly { devices, probes, stacks, layout, ids, top };
    // Volumes of ZFS lie on pools, which lie on other devices; lsblk shows them as disks.
    let (above, below): (Vec<_>, Vec<_>) = in_order(devices).into_iter().partition(|device| graph.is_on_zvol(device));
    below.into_iter().for_each(|device| graph.add_device(device));
    graph.add_pools();
    // Volumes come after the filesystems that they are made below.
    graph.add_unseen_datasets(false);
    above.into_iter().for_each(|device| graph.add_device(device));
    graph.add_unseen_datasets(true);
    graph.add_unseen_volumes();
    graph.layout.nodes = parents_first(graph.layout.nodes);
    graph.add_mounts(mounts);
    graph.layout.mounts.sort_by(|one, other| one.path.cmp(&other.path));
    graph.layout
}

struct Assembly<'a> {
    devices: &'a [BlockDevice],
    probes: &'a BTreeMap<String, Probe>,
    stacks: &'a Stacks,
    layout: Layout,
    ids: BTreeSet<NodeId>,
    /// What lies on top of a device, by kernel name: the device's own node, or that of what it holds.
    top: BTreeMap<&'a str, NodeId>,
}

impl<'a> Assembly<'a> {
    fn add_device(&mut self, device: &'a BlockDevice) {
        let on = self.below(device);
        let transient_what = transient(device);
        // Card readers without a card, unused loop and zram devices; and what LVM keeps inside its volumes.
        if device.size.0 == 0
            || self.is_inside_volume(device)
            || self.is_extended(device)
            || self.is_inside_guest(device)
        {
            return;
        }
        let probe = self.probes.get(&device.kname).cloned().unwrap_or_else(|| Probe {
            table: None,
            content: device.fstype.clone().map_or(Content::Unknown, Content::Other),
        });
        if let Some(container) = self.opened(device, &on) {
            self.top.insert(&device.kname, container.clone());
            return self.add_content(device, probe, container, false);
        }
        let kind = match transient_what {
            Some(what) => Kind::Opaque(Opaque { what: what.into() }),
            None => self.device_kind(device, &probe),
        };
        let wanted = match &kind {
            Kind::Disk(disk) => {
                format!("disk:{}", disk.serial.as_deref().or(disk.wwn.as_deref()).unwrap_or(&device.kname))
            }
            Kind::Partition(partition) => format!("part:{}", partition.guid),
            Kind::Array(array) => format!("array:{}", array.uuid),
            Kind::Lv(volume) => format!("lv:{}", volume.uuid),
            Kind::Dataset(dataset) => format!("dataset:{}", dataset.name),
            Kind::Volatile(volatile) => format!("volatile:{}", volatile.name),
            _ => format!("device:{}", device.kname),
        };
        let volatile = matches!(kind, Kind::Volatile(_));
        let boot_core = matches!(&kind, Kind::Partition(partition) if partition.type_guid.as_str() == BIOS_BOOT);
        let guest = matches!(kind, Kind::Dataset(_)) && probe.table.is_some();
        let id = self.add(wanted, device, on, kind);
        self.top.insert(&device.kname, id.clone());
        if guest {
            self.add(format!("raw:{}", device.kname), device, vec![id], Kind::Opaque(Opaque { what: GUEST.into() }));
            return;
        }
        if transient_what.is_none() && probe.table.is_none() && !volatile {
            self.add_content(device, probe, id, boot_core);
        }
    }

    /// Adds what a device holds, on the device's own node `id`.
    fn add_content(&mut self, device: &'a BlockDevice, probe: Probe, id: NodeId, boot_core: bool) {
        if let Some(held) = self.physical_volume(device) {
            let volume = self.add(format!("pv:{}", held.uuid), device, vec![id], Kind::Pv(held));
            self.top.insert(&device.kname, volume);
            return;
        }
        if let Content::Btrfs(btrfs, number) = &probe.content
            && let Some(node) = self.joined(btrfs, *number, device, &id)
        {
            self.top.insert(&device.kname, node);
            return;
        }
        let (wanted, kind) = match probe.content {
            // A member's array, or a pool's volumes, lie on the device itself.
            Content::Other(_) | Content::Unknown if self.is_member(device) => return,
            Content::Ext(ext) => (format!("fs:{}", ext.uuid), Kind::Ext(ext)),
            Content::Xfs(xfs) => (format!("fs:{}", xfs.uuid), Kind::Xfs(xfs)),
            Content::Btrfs(btrfs, _) => (format!("fs:{}", btrfs.uuid), Kind::Btrfs(btrfs)),
            Content::Vfat(vfat) => (format!("fs:{}", vfat.serial), Kind::Vfat(vfat)),
            Content::Swap(swap) => (format!("swap:{}", swap.uuid), Kind::Swap(swap)),
            Content::Luks(luks) => (format!("luks:{}", luks.uuid), Kind::Luks(luks)),
            Content::Other(what) => (format!("raw:{}", device.kname), Kind::Opaque(Opaque { what })),
            // GRUB's core image is no filesystem, and is made again by GRUB.
            Content::Blank | Content::Unknown if boot_core => return,
            Content::Blank => return,
            Content::Unknown if self.has_children(device) => return,
            Content::Unknown => (format!("raw:{}", device.kname), Kind::Opaque(Opaque { what: "unknown".into() })),
        };
        let held = self.add(wanted, device, vec![id], kind);
        self.top.insert(&device.kname, held);
    }

    fn device_kind(&self, device: &BlockDevice, probe: &Probe) -> Kind {
        let opaque = |what: &str| Kind::Opaque(Opaque { what: what.into() });
        match device.kind.as_str() {
            "disk" if is_zvol(device) => match self.zvol(device) {
                Some(dataset) => Kind::Dataset(dataset.clone()),
                None => opaque("zvol"),
            },
            // lsblk calls everything a disk that it does not know: bcache0, drbd0.
            "disk" if !device.parents.is_empty() => {
                opaque(device.kname.trim_end_matches(|digit: char| digit.is_ascii_digit()))
            }
            "disk" => Kind::Disk(Disk {
                model: device.model.clone().unwrap_or_default(),
                serial: device.serial.clone(),
                wwn: device.wwn.clone(),
                transport: device.transport.clone(),
                logical_sector: device.logical_sector.unwrap_or(512),
                physical_sector: device.physical_sector.or(device.logical_sector).unwrap_or(512),
                removable: device.removable,
                rotational: device.rotational,
                table: probe.table.as_ref().map_or(Table::None, |(table, _)| table.clone()),
            }),
            "part" => {
                let disk = device.parents.first().map(String::as_str).unwrap_or_default();
                let number = partition_number(disk, &device.kname);
                let table = self.probes.get(disk).and_then(|probe| probe.table.as_ref());
                match table {
                    Some((Table::Gpt(_) | Table::Dos(_), partitions)) => partitions
                        .iter()
                        .find(|partition| Some(partition.number) == number)
                        .map_or_else(|| opaque("partition"), |partition| Kind::Partition(partition.clone())),
                    Some((Table::Mbr, _)) => opaque("dos-partition"),
                    _ => opaque("partition"),
                }
            }
            "crypt" if self.stacks.volatile.contains(mapped_name(device)) => {
                Kind::Volatile(Volatile { name: mapped_name(device).to_owned() })
            }
            "" => opaque("unknown"),
            other => self
                .stacks
                .arrays
                .get(&device.kname)
                .cloned()
                .map(Kind::Array)
                .or_else(|| self.logical_volume(device).map(Kind::Lv))
                .unwrap_or_else(|| opaque(other)),
        }
    }

    /// The container that this device is the open side of. Its node takes the device's path, size and name.
    fn opened(&mut self, device: &BlockDevice, on: &[NodeId]) -> Option<NodeId> {
        let [below] = on else { return None };
        let node = self.layout.nodes.iter_mut().find(|node| node.id == *below).filter(|_| device.kind == "crypt")?;
        let Kind::Luks(luks) = &mut node.kind else { return None };
        luks.name = Some(mapped_name(device).to_owned());
        node.path.clone_from(&device.path);
        node.size = device.size;
        Some(below.clone())
    }

    /// A DOS table's extended partition, which holds others and nothing of its own.
    fn is_extended(&self, device: &BlockDevice) -> bool {
        let Some(disk) = device.parents.first().filter(|_| device.kind == "part") else { return false };
        let table = self.probes.get(disk).and_then(|probe| probe.table.as_ref());
        let Some((Table::Dos(table), _)) = table else { return false };
        let number = partition_number(disk, &device.kname);
        // One without logical partitions is not in the table.
        number.is_some_and(|number| number <= 4 && table.entry(number).is_none())
    }

    /// An array's member, or a pool.
    fn is_member(&self, device: &BlockDevice) -> bool {
        let mut arrays = self.stacks.arrays.values();
        let in_array = arrays
            .any(|array| array.members.iter().flatten().chain(&array.spares).any(|member| *member == device.path));
        let pool = self.logical_volume(device).is_some_and(|volume| matches!(volume.form, Form::ThinPool { .. }));
        in_array || pool || self.stacks.zfs.pools.iter().any(|found| found.devices.contains(&device.path))
    }

    /// What a device lies on: a volume on its group, or on its pool; anything else on what its parents hold.
    fn below(&mut self, device: &BlockDevice) -> Vec<NodeId> {
        if let Some(dataset) = self.zvol(device) {
            return vec![NodeId(format!("pool:{}", dataset.pool()))];
        }
        let Some(volume) = self.logical_volume(device) else {
            return device.parents.iter().filter_map(|name| self.top.get(name.as_str()).cloned()).collect();
        };
        if let Form::Thin { pool } = &volume.form {
            let pools = self.stacks.lvm.logical.iter();
            let found = pools.map(|(pool, _)| pool).find(|found| found.name == *pool && found.group == volume.group);
            return found.map(|pool| NodeId(format!("lv:{}", pool.uuid))).into_iter().collect();
        }
        self.group(&volume.group).into_iter().collect()
    }

    /// Adds another device to a btrfs that was met before: the filesystem's node. None where it is the first, or a clone of one.
    fn joined(&mut self, btrfs: &Btrfs, number: u64, device: &BlockDevice, on: &NodeId) -> Option<NodeId> {
        let of_it = |node: &&Node| matches!(&node.kind, Kind::Btrfs(other) if other.uuid == btrfs.uuid);
        let found = self.layout.nodes.iter().find(of_it)?.id.clone();
        let members = self.devices.iter().filter(|other| self.top.get(other.kname.as_str()) == Some(&found));
        let numbers: Vec<u64> = members
            .filter_map(|other| match &self.probes.get(&other.kname)?.content {
                Content::Btrfs(_, number) => Some(*number),
                _ => None,
            })
            .collect();
        if numbers.contains(&number) {
            return None;
        }
        let place = numbers.iter().filter(|other| **other < number).count();
        let node = self.layout.nodes.iter_mut().find(|node| node.id == found)?;
        node.on.insert(place.min(node.on.len()), on.clone());
        node.size = Bytes(node.size.0.saturating_add(device.size.0));
        Some(found)
    }

    fn has_children(&self, device: &BlockDevice) -> bool {
        self.devices.iter().any(|other| other.parents.contains(&device.kname))
    }

    fn add(&mut self, wanted: String, device: &BlockDevice, on: Vec<NodeId>, kind: Kind) -> NodeId {
        let id = self.unique(wanted, &device.kname);
        self.layout.nodes.push(Node { id: id.clone(), on, path: device.path.clone(), size: device.size, kind });
        id
    }

    /// The wanted name, or, where a clone has it already, the name with the kernel's behind it.
    fn unique(&mut self, wanted: String, kname: &str) -> NodeId {
        let plain = NodeId(wanted);
        let id = if self.ids.contains(&plain) { NodeId(format!("{plain}@{kname}")) } else { plain };
        self.ids.insert(id.clone());
        id
    }
}

/// The name below `/dev/mapper`.
fn mapped_name(device: &BlockDevice) -> &str {
    device.path.strip_prefix("/dev/mapper/").unwrap_or(&device.path)
}

/// Nodes with parents before children: a group is met before the last of its physical volumes is.
fn parents_first(nodes: Vec<Node>) -> Vec<Node> {
    let known: BTreeSet<NodeId> = nodes.iter().map(|node| node.id.clone()).collect();
    let (mut open, mut ordered, mut done) = (nodes, Vec::new(), BTreeSet::new());
    while !open.is_empty() {
        let ready = |node: &Node| node.on.iter().all(|id| done.contains(id) || !known.contains(id));
        let (now, later): (Vec<_>, Vec<_>) = open.into_iter().partition(ready);
        // A circle cannot be: the rest is taken as it comes.
        let (now, later) = if now.is_empty() { (later, Vec::new()) } else { (now, later) };
        done.extend(now.iter().map(|node| node.id.clone()));
        ordered.extend(now);
        open = later;
    }
    ordered
}

/// Parents before children; lsblk's own order has a RAID array before its second member.
fn in_order(devices: &[BlockDevice]) -> Vec<&BlockDevice> {
    let known: BTreeSet<&str> = devices.iter().map(|device| device.kname.as_str()).collect();
    let mut open: Vec<&BlockDevice> = devices.iter().collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut ordered = Vec::new();
    while !open.is_empty() {
        let ready = |device: &&BlockDevice| {
            device.parents.iter().all(|parent| done.contains(parent.as_str()) || !known.contains(parent.as_str()))
        };
        let (now, later): (Vec<_>, Vec<_>) = open.into_iter().partition(ready);
        // A circle cannot be: the rest is taken as it comes.
        let (now, later) = if now.is_empty() { (later, Vec::new()) } else { (now, later) };
        done.extend(now.iter().map(|device| device.kname.as_str()));
        ordered.extend(now);
        open = later;
    }
    ordered
}

#[cfg(test)]
mod tests;
