//! The plan: what is destroyed, what is made and why, as typed steps that print in full. Touches nothing.
//!
//! Steps come in two lists. [`Plan::before`] is done before the trees are restored; [`Plan::after`] holds what could make a
//! half-restored disk boot (the EFI system partition), and is done when the rest is in place.

mod fill;
mod overwritten;
mod place;
mod text;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::btrfs::Btrfs;
use crate::disk::Table;
use crate::dos::DosTable;
use crate::ext::Ext;
use crate::gpt::BIOS_BOOT;
use crate::graph::{Kind, Layout, Mount, Node, NodeId};
use crate::luks::Luks;
use crate::lvm::{Form, LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::matching::{Choice, Match, MatchError, NO_DISK, Present, Why, match_disks};
use crate::md::Array;
use crate::solve::dos::{out_of_reach, solve_dos};
use crate::solve::whole::solve_whole;
use crate::solve::{Geometry, NewTable, SolveError, solve_gpt};
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;
use crate::zfs::{Dataset, Pool, Setting};

pub use overwritten::EDGE;
pub use place::Device;
use place::places;
use text::{describe_content, describe_recorded, describe_whole};

/// One thing that is done to a target. Doing it twice gives the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Keep what is overwritten and says what was there: boot code, partition tables, headers.
    Save {
        /// The disk.
        disk: String,
        /// First byte and length of each stretch, in disk order.
        regions: Vec<(Bytes, Bytes)>,
    },
    /// Zero boot code, boot partitions and the signatures of what was there, so that nothing of it boots or is found again.
    Clear {
        /// The disk.
        disk: String,
        /// First bytes of old and new partitions.
        starts: Vec<Bytes>,
        /// Their ends, before which software RAID may have its metadata.
        #[serde(default)]
        ends: Vec<Bytes>,
        /// Partitions that hold boot code and are zeroed in full: first byte and length.
        whole: Vec<(Bytes, Bytes)>,
    },
    /// Write the partition table, without boot code.
    WriteGpt {
        /// The disk.
        disk: String,
        /// The table.
        table: NewTable,
    },
    /// Write a DOS partition table, without boot code.
    WriteDos {
        /// The disk.
        disk: String,
        /// Its partitions.
        table: NewTable,
        /// What only a DOS table has.
        dos: DosTable,
    },
    /// Make an ext filesystem.
    MakeExt {
        /// Where.
        device: Device,
        /// What.
        ext: Ext,
        /// Size of its partition when it was recorded.
        old: Bytes,
        /// Size now.
        new: Bytes,
    },
    /// Make an XFS filesystem.
    MakeXfs {
        /// Where.
        device: Device,
        /// What.
        xfs: Xfs,
        /// Size of its device when it was recorded.
        old: Bytes,
        /// Size now.
        new: Bytes,
        /// Bytes of the disk's logical sector.
        logical_sector: u32,
    },
    /// Make a btrfs filesystem and its subvolumes.
    MakeBtrfs {
        /// Where, in the order of the devices' numbers.
        devices: Vec<Device>,
        /// What.
        btrfs: Btrfs,
    },
    /// Make a software RAID array and start it.
    MakeArray {
        /// What.
        array: Array,
        /// Its members; none for a place that stays empty.
        members: Vec<Option<Device>>,
    },
    /// Write the saved header of a LUKS container, and open it.
    MakeLuks {
        /// Where.
        device: Device,
        /// What.
        luks: Luks,
    },
    /// Make an LVM physical volume.
    MakePv {
        /// Where.
        device: Device,
        /// What.
        volume: PhysicalVolume,
    },
    /// Make an LVM volume group.
    MakeVg {
        /// What.
        group: VolumeGroup,
        /// Its physical volumes.
        devices: Vec<Device>,
    },
    /// Make an LVM logical volume and show its node.
    MakeLv {
        /// What.
        volume: LogicalVolume,
        /// Its size.
        size: Bytes,
        /// Bytes of an extent of its group.
        extent: Bytes,
    },
    /// Make a ZFS pool with its own dataset.
    MakePool {
        /// What.
        pool: Pool,
        /// The dataset of the same name.
        root: Dataset,
        /// Where, in the order of its vdevs.
        devices: Vec<Device>,
    },
    /// Make a ZFS filesystem or volume.
    MakeDataset {
        /// What.
        dataset: Dataset,
    },
    /// Make a FAT filesystem.
    MakeVfat {
        /// Where.
        device: Device,
        /// What.
        vfat: Vfat,
        /// Bytes of the disk's logical sector.
        logical_sector: u32,
    },
    /// Make a swap area.
    MakeSwap {
        /// Where.
        device: Device,
        /// What.
        swap: Swap,
    },
    /// Mount a filesystem below the target root.
    Mount {
        /// What.
        device: Device,
        /// Where in the restored system: `/`, `/home`.
        path: String,
        /// Filesystem type.
        fstype: String,
        /// Options in effect when it was captured.
        options: String,
        /// The subvolume that is shown, of a btrfs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subvolume: Option<String>,
    },
    /// Make subvolumes of a btrfs read-only again, once nothing is left to write.
    Lock {
        /// A device of the filesystem.
        device: Device,
        /// Their paths from its top.
        subvolumes: Vec<String>,
    },
    /// Set what would have been in the way of a restore on a pool, and what the system starts from.
    FinishPool {
        /// Its name.
        pool: String,
        /// The dataset that the system starts from.
        bootfs: Option<String>,
        /// Properties of its datasets.
        settings: Vec<Setting>,
    },
}

impl Step {
    /// Whether its result is found again after a restart without more ado. What has to be assembled, activated or unlocked first is
    /// made anew instead when a restore was cut.
    #[must_use]
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Save { .. }
                | Self::Clear { .. }
                | Self::WriteGpt { .. }
                | Self::MakeExt { .. }
                | Self::MakeXfs { .. }
                | Self::MakeVfat { .. }
                | Self::MakeSwap { .. }
        )
    }
}

/// What happens to one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// The present disk, with what is on it and is destroyed.
    pub target: Present,
    /// The recorded disk whose place it takes.
    pub recorded: NodeId,
    /// The recorded disk for people: kernel name, serial number, size.
    pub recorded_text: String,
    /// The recorded disk, to be printed beside the present one.
    pub old: OldDisk,
    /// Why this disk.
    pub why: Why,
    /// The table that is made; without partitions where the disk has none.
    pub table: NewTable,
    /// What only a DOS table has; none where a GPT is made, or no table at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dos: Option<DosTable>,
    /// What each partition will hold, for people, in the order of the table.
    pub contents: Vec<String>,
}

/// A recorded disk as the plan prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OldDisk {
    /// The kernel's name on the captured host.
    pub path: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its size in bytes.
    pub size: Bytes,
}

/// Everything that a restore does to disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The disks that are written to.
    pub disks: Vec<DiskPlan>,
    /// Steps before the trees are restored.
    pub before: Vec<Step>,
    /// Steps after that, which take part in making the disk bootable.
    pub after: Vec<Step>,
    /// Steps when everything is in place and compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<Step>,
    /// Present disks that are left alone and are made read-only.
    pub untouched: Vec<Present>,
    /// What was recorded and does not come back, or comes back empty.
    pub notes: Vec<String>,
    /// Mount points whose filesystem was on a disk that was left out: what is below them is not restored.
    pub without: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to restore onto bare metal.
    #[error(
        "the snapshot records no root filesystem on a disk that this version writes: it cannot be restored onto a disk"
    )]
    NoRoot,
    /// The root filesystem is on a disk that was to be left out.
    #[error("the root filesystem is on the recorded disk {0}, which cannot be left out. Name a disk for it")]
    RootLeftOut(String),
    /// A mount point that comes back lies below one that was to be left out.
    #[error("{below} lies below {path}, whose disk was to be left out: leave out both disks, or neither")]
    BelowLeftOut {
        /// The one that comes back.
        below: String,
        /// The one whose disk is left out.
        path: String,
    },
    /// Disks could not be matched.
    #[error(transparent)]
    Match(#[from] MatchError),
    /// Volumes or arrays do not fit on the disks together.
    #[error("what lies on the disks does not fit: {source}")]
    Volumes {
        /// Why not.
        source: SolveError,
    },
    /// A disk does not take the recorded table.
    #[error("{disk} cannot take the place of {recorded}: {source}")]
    Solve {
        /// The present disk.
        disk: String,
        /// The recorded one.
        recorded: String,
        /// Why not.
        source: SolveError,
    },
}

/// Plans the restore of `layout` onto the `present` disks. `restores` says which recorded nodes come back; only disks
/// that hold one of them are written to.
///
/// # Errors
/// [`PlanError`] when there is no root, disks cannot be matched, or sizes do not fit.
pub fn plan(
    layout: &Layout,
    restores: &dyn Fn(&NodeId) -> bool,
    present: &[Present],
    choices: &[Choice],
) -> Result<Plan, PlanError> {
    let left = left_out(layout, choices)?;
    let survives = |id: &NodeId| layout.survives(id, &left);
    let restores: &dyn Fn(&NodeId) -> bool = &|id| restores(id) && survives(id);
    let mut wanted = wanted_disks(layout, restores);
    wanted.retain(|disk| !left.contains(disk));
    let root = layout.mount_at("/").map(|mount| layout.disks_below(&mount.node)).unwrap_or_default();
    let root_goes = layout.mount_at("/").is_some_and(|mount| !survives(&mount.node));
    if let Some(disk) = root.iter().find(|disk| root_goes && left.contains(disk)) {
        let node = layout.node(disk).map(describe_recorded);
        return Err(PlanError::RootLeftOut(node.unwrap_or_default()));
    }
    if !wanted.iter().any(|id| root.contains(&id)) {
        return Err(PlanError::NoRoot);
    }
    let mut plan = Plan {
        disks: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
        last: Vec::new(),
        untouched: Vec::new(),
        notes: notes(layout, restores, &wanted, &left),
        without: layout.mounts.iter().filter(|mount| !survives(&mount.node)).map(|mount| mount.path.clone()).collect(),
    };
    let comes_back = |mount: &&Mount| restores(&mount.node);
    for mount in layout.mounts.iter().filter(comes_back) {
        let above = plan.without.iter().find(|path| mount.path.starts_with(&format!("{path}/")));
        if let Some(path) = above {
            return Err(PlanError::BelowLeftOut { below: mount.path.clone(), path: path.clone() });
        }
    }
    plan.notes.extend(layout.nodes.iter().filter_map(|node| degraded(layout, node, &left)));
    plan.notes.extend(plan.without.iter().map(|path| format!("{path} does not come back: its disk was left out")));
    let choices: Vec<Choice> = choices.iter().filter(|choice| choice.target != NO_DISK).cloned().collect();
    for found in match_disks(layout, &wanted, present, &choices)? {
        plan.disks.push(plan_disk(layout, &found, present)?);
    }
    plan.notes.extend(plan.disks.iter().filter_map(DiskPlan::unreachable));
    plan.notes.extend(plan.disks.iter().filter_map(DiskPlan::by_uefi_only));
    let places = places(layout, &plan.disks).map_err(|source| PlanError::Volumes { source })?;
    let taken = |disk: &&Present| !plan.disks.iter().any(|one| one.target.path == disk.path);
    plan.untouched = present.iter().filter(taken).cloned().collect();
    plan.fill_steps(layout, restores, &places);
    Ok(plan)
}

/// Recorded disks that a choice leaves without a place.
fn left_out(layout: &Layout, choices: &[Choice]) -> Result<Vec<NodeId>, MatchError> {
    let left = choices.iter().filter(|choice| choice.target == NO_DISK);
    left.map(|choice| {
        let name = choice.recorded.as_deref().unwrap_or_default();
        let found = layout.disks().find(|(node, disk)| node.id.0 == name || disk.serial.as_deref() == Some(name));
        found.map(|(node, _)| node.id.clone()).ok_or_else(|| MatchError::NoSuchRecorded(name.to_owned()))
    })
    .collect()
}

/// A word on an array that comes back with fewer members, because a disk was left out.
fn degraded(layout: &Layout, node: &Node, left: &[NodeId]) -> Option<String> {
    let Kind::Array(array) = &node.kind else { return None };
    let gone = node.on.iter().filter(|member| !layout.survives(member, left)).count();
    let name = array.path();
    (gone > 0 && layout.survives(&node.id, left)).then(|| {
        format!("{name} ({}) comes back degraded, without {gone} of its {} members: mdadm {name} --add DEVICE, once there is a disk", 
            array.level, array.devices)
    })
}

/// Programs that restoring `layout` needs on the stick, each once, sorted.
#[must_use]
pub fn required_tools(layout: &Layout) -> Vec<&'static str> {
    let mut tools: Vec<&str> = layout.nodes.iter().flat_map(|node| node.kind.required_tools()).copied().collect();
    tools.sort_unstable();
    tools.dedup();
    tools
}

impl Kind {
    /// Programs that making, checking and resizing a node of this kind need.
    #[must_use]
    pub fn required_tools(&self) -> &'static [&'static str] {
        match self {
            Self::Ext(_) => Ext::TOOLS,
            Self::Xfs(_) => Xfs::TOOLS,
            Self::Btrfs(_) => Btrfs::TOOLS,
            Self::Array(_) => Array::TOOLS,
            Self::Luks(_) => Luks::TOOLS,
            Self::Pv(_) => PhysicalVolume::TOOLS,
            Self::Lv(LogicalVolume { form: Form::ThinPool { .. }, .. }) => LogicalVolume::THIN_TOOLS,
            Self::Pool(_) => Pool::TOOLS,
            Self::Vfat(_) => Vfat::TOOLS,
            Self::Swap(_) => Swap::TOOLS,
            // The table is written by the rescue itself.
            Self::Disk(_) | Self::Partition(_) | Self::Vg(_) | Self::Lv(_) => &[],
            Self::Dataset(_) | Self::Volatile(_) | Self::Opaque(_) => &[],
        }
    }
}

/// Whether a restore that has a place for every disk makes all again that `node` lies on.
#[must_use]
pub fn makes_again(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool, node: &NodeId) -> bool {
    let (wanted, below) = (wanted_disks(layout, restores), layout.disks_below(node));
    !below.is_empty() && below.into_iter().all(|disk| wanted.contains(disk))
}

/// Recorded disks that are made again: those that hold a filesystem or swap area that comes back.
fn wanted_disks(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool) -> Vec<NodeId> {
    let holds = |node: &&Node| node.kind.is_filesystem() || matches!(node.kind, Kind::Swap(_) | Kind::Volatile(_));
    let nodes = layout.nodes.iter().filter(holds).filter(|node| restores(&node.id));
    let below: BTreeSet<&NodeId> = nodes.flat_map(|node| layout.disks_below(&node.id)).collect();
    layout.disks().map(|(node, _)| &node.id).filter(|id| below.contains(id)).cloned().collect()
}

fn notes(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool, wanted: &[NodeId], left: &[NodeId]) -> Vec<String> {
    let mut notes = Vec::new();
    for (node, _) in layout.disks().filter(|(node, _)| !wanted.contains(&node.id) && !left.contains(&node.id)) {
        notes.push(format!("{} ({}) is not made again: nothing on it was captured", node.path, node.size));
    }
    for node in &layout.nodes {
        let below = layout.disks_below(&node.id);
        let made = |disk: &NodeId| wanted.contains(disk) || left.contains(disk);
        let here = !below.is_empty() && below.into_iter().all(made) && layout.survives(&node.id, left);
        let text = match &node.kind {
            Kind::Lv(LogicalVolume { form: Form::Snapshot { origin }, .. }) if here => {
                format!("does not come back: it is a snapshot of {origin}")
            }
            Kind::Luks(luks) if here => match luks_note(layout, node, luks) {
                Some(text) => text,
                None => continue,
            },
            Kind::Pool(Pool { hindrance: Some(hindrance), .. }) if here => format!("does not come back: {hindrance}"),
            Kind::Dataset(dataset) if here && dataset.encrypted => "does not come back: it is encrypted".to_owned(),
            Kind::Opaque(opaque) if here && lies_on_dataset(layout, node) => {
                format!("comes back as an empty volume: this version does not restore {}", opaque.what)
            }
            Kind::Opaque(opaque) if here => {
                format!("comes back as an empty partition: this version does not restore {}", opaque.what)
            }
            kind if kind.is_filesystem() && here && !restores(&node.id) => {
                "comes back empty: it was not captured".to_owned()
            }
            _ => continue,
        };
        notes.push(format!("{} ({}) {text}", node.path, node.size));
    }
    notes
}

/// Whether a node is what a volume of ZFS holds.
fn lies_on_dataset(layout: &Layout, node: &Node) -> bool {
    node.on.iter().filter_map(|id| layout.node(id)).any(|below| matches!(below.kind, Kind::Dataset(_)))
}

/// What a person must know of a container beforehand.
fn luks_note(layout: &Layout, node: &Node, luks: &Luks) -> Option<String> {
    if let Some(hindrance) = &luks.hindrance {
        return Some(format!("comes back as an empty partition: {hindrance}"));
    }
    if layout.children(&node.id).next().is_none() {
        return Some("comes back as an empty partition: the container was not open when it was captured".to_owned());
    }
    luks.has_tpm().then(|| {
        "was opened by a TPM. Its enrolment holds on that machine only; elsewhere a passphrase opens it, and the new TPM is enrolled \
         at the first start, or by hand: systemd-cryptenroll --wipe-slot=tpm2 DEVICE, then systemd-cryptenroll --tpm2-device=auto DEVICE"
            .to_owned()
    })
}

fn plan_disk(layout: &Layout, found: &Match, present: &[Present]) -> Result<DiskPlan, PlanError> {
    let unknown = || MatchError::NoSuchTarget { target: found.path.clone(), present: String::new() };
    let target = present.iter().find(|disk| disk.path == found.path).ok_or_else(unknown)?;
    let recorded = layout.node(&found.recorded).ok_or_else(unknown)?;
    let recorded_text = describe_recorded(recorded);
    let geometry = Geometry { size: target.size, logical_sector: target.disk.logical_sector };
    let solved = match recorded_table(recorded) {
        Some(Table::Dos(_)) => {
            solve_dos(layout, &found.recorded, geometry, None).map(|(table, dos)| (table, Some(dos)))
        }
        Some(Table::None) => solve_whole(layout, &found.recorded, geometry).map(|table| (table, None)),
        _ => solve_gpt(layout, &found.recorded, geometry, None).map(|table| (table, None)),
    };
    let (table, dos) = solved.map_err(|source| PlanError::Solve {
        disk: target.to_string(),
        recorded: recorded_text.clone(),
        source,
    })?;
    let contents = match table.partitions.as_slice() {
        [] => vec![describe_whole(layout, recorded)],
        partitions => partitions.iter().map(|partition| describe_content(layout, partition)).collect(),
    };
    Ok(DiskPlan {
        target: target.clone(),
        recorded: found.recorded.clone(),
        recorded_text,
        old: old_disk(recorded),
        why: found.why,
        table,
        dos,
        contents,
    })
}

fn old_disk(node: &Node) -> OldDisk {
    let (model, serial) = match &node.kind {
        Kind::Disk(disk) => (disk.model.clone(), disk.serial.clone()),
        _ => (String::new(), None),
    };
    OldDisk { path: node.path.clone(), model, serial, size: node.size }
}

fn recorded_table(node: &Node) -> Option<&Table> {
    match &node.kind {
        Kind::Disk(disk) => Some(&disk.table),
        _ => None,
    }
}

impl Plan {
    /// Serial numbers of the disks that are written to.
    pub fn target_serials(&self) -> impl Iterator<Item = Option<&str>> {
        self.disks.iter().map(|disk| disk.target.disk.serial.as_deref())
    }
}

impl DiskPlan {
    /// Whether GRUB for BIOS starts from it: firmware of that kind, and GRUB for it, read sectors of 512 bytes only.
    #[must_use]
    pub fn starts_by_bios(&self) -> bool {
        self.table.logical_sector == 512 && self.had_bios_boot()
    }

    /// GRUB for BIOS has a place on it: a partition of its own, or the gap behind a DOS table where the host had it.
    fn had_bios_boot(&self) -> bool {
        let partition = self.table.partitions.iter().any(|part| part.entry.type_guid.as_str() == BIOS_BOOT);
        partition || self.dos.as_ref().is_some_and(|table| table.boot_code)
    }

    /// A word on a disk that GRUB for BIOS was on and cannot be on.
    fn by_uefi_only(&self) -> Option<String> {
        let sector = self.table.logical_sector;
        (self.had_bios_boot() && !self.starts_by_bios()).then(|| {
            format!(
                "{} has sectors of {sector} bytes: it starts by UEFI only, and GRUB for BIOS is not put on it",
                self.target.path
            )
        })
    }

    /// A word on what a DOS table leaves unused at the end of a large disk.
    fn unreachable(&self) -> Option<String> {
        let geometry = Geometry { size: self.target.size, logical_sector: self.target.disk.logical_sector };
        let lost = self.dos.as_ref().map(|_| out_of_reach(geometry)).filter(|lost| lost.0 > 0)?;
        Some(format!("the last {lost} of {} stay unused: a DOS partition table does not reach them", self.target.path))
    }
}

#[cfg(test)]
mod btrfs_tests;
#[cfg(test)]
mod luks_tests;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod zfs_tests;
