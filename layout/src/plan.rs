//! The plan: what is destroyed, what is made and why, as typed steps that print in full. Touches nothing.
//!
//! Steps come in two lists. [`Plan::before`] is done before the trees are restored; [`Plan::after`] holds what could make a
//! half-restored disk boot (the EFI system partition), and is done when the rest is in place.

mod place;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ext::Ext;
use crate::gpt::ESP;
use crate::graph::{Kind, Layout, Mount, Node, NodeId};
use crate::luks::Luks;
use crate::lvm::{Form, LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::matching::{Choice, Match, MatchError, Present, Why, match_disks};
use crate::md::Array;
use crate::solve::{Geometry, NewPartition, NewTable, SolveError, solve_gpt};
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;

pub use place::Device;
use place::{Place, places};
use text::{describe_content, describe_recorded};

/// One thing that is done to a target. Doing it twice gives the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Keep what is overwritten: the first and the last MiB, which hold boot code, GPT and its backup.
    Save {
        /// The disk.
        disk: String,
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
    },
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
    /// Why this disk.
    pub why: Why,
    /// The table that is made.
    pub table: NewTable,
    /// What each partition will hold, for people, in the order of the table.
    pub contents: Vec<String>,
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
    /// Present disks that are left alone and are made read-only.
    pub untouched: Vec<Present>,
    /// What was recorded and does not come back, or comes back empty.
    pub notes: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to restore onto bare metal.
    #[error("the snapshot records no root filesystem on a disk with a GPT: it cannot be restored onto a disk")]
    NoRoot,
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
    let wanted = wanted_disks(layout, restores);
    let root = layout.mount_at("/").map(|mount| layout.disks_below(&mount.node)).unwrap_or_default();
    if !wanted.iter().any(|id| root.contains(id)) {
        return Err(PlanError::NoRoot);
    }
    let mut plan = Plan {
        disks: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
        untouched: Vec::new(),
        notes: notes(layout, restores, &wanted),
    };
    for found in match_disks(layout, &wanted, present, choices)? {
        plan.disks.push(plan_disk(layout, &found, present)?);
    }
    let places = places(layout, &plan.disks).map_err(|source| PlanError::Volumes { source })?;
    let taken = |disk: &&Present| !plan.disks.iter().any(|one| one.target.path == disk.path);
    plan.untouched = present.iter().filter(taken).cloned().collect();
    plan.fill_steps(layout, restores, &places);
    Ok(plan)
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
            Self::Array(_) => Array::TOOLS,
            Self::Luks(_) => Luks::TOOLS,
            Self::Pv(_) => PhysicalVolume::TOOLS,
            Self::Lv(LogicalVolume { form: Form::ThinPool { .. }, .. }) => LogicalVolume::THIN_TOOLS,
            Self::Vfat(_) => Vfat::TOOLS,
            Self::Swap(_) => Swap::TOOLS,
            // The table is written by the rescue itself.
            Self::Disk(_) | Self::Partition(_) | Self::Vg(_) | Self::Lv(_) | Self::Volatile(_) | Self::Opaque(_) => &[],
        }
    }
}

/// Recorded disks that are made again: those that hold a filesystem or swap area that comes back.
fn wanted_disks(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool) -> Vec<NodeId> {
    let holds = |node: &&Node| node.kind.is_filesystem() || matches!(node.kind, Kind::Swap(_) | Kind::Volatile(_));
    let nodes = layout.nodes.iter().filter(holds).filter(|node| restores(&node.id));
    let below: BTreeSet<&NodeId> = nodes.flat_map(|node| layout.disks_below(&node.id)).collect();
    layout.disks().map(|(node, _)| &node.id).filter(|id| below.contains(id)).cloned().collect()
}

fn notes(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool, wanted: &[NodeId]) -> Vec<String> {
    let mut notes = Vec::new();
    for (node, _) in layout.disks().filter(|(node, _)| !wanted.contains(&node.id)) {
        notes.push(format!("{} ({}) is not made again: nothing on it was captured", node.path, node.size));
    }
    for node in &layout.nodes {
        let below = layout.disks_below(&node.id);
        let here = !below.is_empty() && below.into_iter().all(|disk| wanted.contains(disk));
        let text = match &node.kind {
            Kind::Lv(LogicalVolume { form: Form::Snapshot { origin }, .. }) if here => {
                format!("does not come back: it is a snapshot of {origin}")
            }
            Kind::Luks(luks) if here => match luks_note(layout, node, luks) {
                Some(text) => text,
                None => continue,
            },
            Kind::Opaque(opaque) if here => {
                format!("comes back as an empty partition: this version does not restore {}", opaque.what)
            }
            Kind::Ext(_) | Kind::Xfs(_) | Kind::Vfat(_) if here && !restores(&node.id) => {
                "comes back empty: it was not captured".to_owned()
            }
            _ => continue,
        };
        notes.push(format!("{} ({}) {text}", node.path, node.size));
    }
    notes
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
         after the first start: systemd-cryptenroll --wipe-slot=tpm2 --tpm2-device=auto DEVICE"
            .to_owned()
    })
}

fn plan_disk(layout: &Layout, found: &Match, present: &[Present]) -> Result<DiskPlan, PlanError> {
    let unknown = || MatchError::NoSuchTarget { target: found.path.clone(), present: String::new() };
    let target = present.iter().find(|disk| disk.path == found.path).ok_or_else(unknown)?;
    let recorded = layout.node(&found.recorded).ok_or_else(unknown)?;
    let recorded_text = describe_recorded(recorded);
    let geometry = Geometry { size: target.size, logical_sector: target.disk.logical_sector };
    let table = solve_gpt(layout, &found.recorded, geometry, None).map_err(|source| PlanError::Solve {
        disk: target.to_string(),
        recorded: recorded_text.clone(),
        source,
    })?;
    let contents = table.partitions.iter().map(|partition| describe_content(layout, partition)).collect();
    Ok(DiskPlan {
        target: target.clone(),
        recorded: found.recorded.clone(),
        recorded_text,
        why: found.why,
        table,
        contents,
    })
}

impl Plan {
    /// Serial numbers of the disks that are written to.
    pub fn target_serials(&self) -> impl Iterator<Item = Option<&str>> {
        self.disks.iter().map(|disk| disk.target.disk.serial.as_deref())
    }

    fn fill_steps(&mut self, layout: &Layout, restores: &dyn Fn(&NodeId) -> bool, places: &BTreeMap<NodeId, Place>) {
        let disks: Vec<String> = self.disks.iter().map(|disk| disk.target.path.clone()).collect();
        self.before.extend(disks.into_iter().map(|disk| Step::Save { disk }));
        let written: Vec<Step> = self.disks.iter().flat_map(|disk| [disk.clear(), disk.write()]).collect();
        self.before.extend(written);
        // In the order of the places on each disk, and what lies on several things after all of them: parents come first in a layout.
        for node in self.in_order(layout, places) {
            let Some(place) = places.get(&node.id) else { continue };
            let made = make(layout, node, place, places);
            if place.late { &mut self.after } else { &mut self.before }.extend(made);
        }
        let mut mounts: Vec<(&Mount, &Place)> = Vec::new();
        for node in layout.nodes.iter().filter(|node| node.kind.is_filesystem() && restores(&node.id)) {
            let Some(place) = places.get(&node.id) else { continue };
            mounts.extend(layout.mounts.iter().filter(|mount| mount.node == node.id).map(|mount| (mount, place)));
        }
        // Parents before children: a parent's path is a proper prefix, and so shorter.
        mounts.sort_by_key(|(mount, _)| (mount.path.len(), mount.path.clone()));
        for (mount, place) in mounts {
            let step = Step::Mount {
                device: place.device.clone(),
                path: mount.path.clone(),
                fstype: mount.fstype.clone(),
                options: mount.options.clone(),
            };
            if place.late { &mut self.after } else { &mut self.before }.push(step);
        }
    }

    /// Nodes that have a place: what lies straight on partitions by disk and partition number, the rest as in the layout.
    fn in_order<'a>(&self, layout: &'a Layout, places: &BTreeMap<NodeId, Place>) -> Vec<&'a Node> {
        let partitions: Vec<&NodeId> =
            self.disks.iter().flat_map(|disk| &disk.table.partitions).map(|p| &p.node).collect();
        let first =
            partitions.iter().flat_map(|id| layout.nodes.iter().filter(|node| node.on.as_slice() == [(*id).clone()]));
        let mut ordered: Vec<&Node> = first.collect();
        let rest = layout.nodes.iter().filter(|node| places.contains_key(&node.id) && !partitions.contains(&&node.id));
        for node in rest {
            if !ordered.iter().any(|other| other.id == node.id) {
                ordered.push(node);
            }
        }
        ordered
    }
}

impl DiskPlan {
    fn clear(&self) -> Step {
        let boot =
            |partition: &&NewPartition| [ESP, crate::gpt::BIOS_BOOT].contains(&partition.entry.type_guid.as_str());
        let new = self.table.partitions.iter().map(|partition| self.table.start_of(partition));
        let mut starts: Vec<Bytes> = self.target.holds.iter().map(|held| held.start).chain(new).collect();
        starts.sort_unstable();
        starts.dedup();
        let end = |partition| Bytes(self.table.start_of(partition).0 + self.table.size_of(partition).0);
        let held = self.target.holds.iter().map(|held| Bytes(held.start.0.saturating_add(held.size.0)));
        let mut ends: Vec<Bytes> = held.chain(self.table.partitions.iter().map(end)).collect();
        ends.sort_unstable();
        ends.dedup();
        let bios = self.table.partitions.iter().filter(boot);
        let bios = bios.filter(|partition| partition.entry.type_guid.as_str() == crate::gpt::BIOS_BOOT);
        Step::Clear {
            disk: self.target.path.clone(),
            starts,
            ends,
            whole: bios.map(|partition| (self.table.start_of(partition), self.table.size_of(partition))).collect(),
        }
    }

    fn write(&self) -> Step {
        Step::WriteGpt { disk: self.target.path.clone(), table: self.table.clone() }
    }
}

fn make(layout: &Layout, node: &Node, place: &Place, places: &BTreeMap<NodeId, Place>) -> Option<Step> {
    let (device, old, new) = (place.device.clone(), place.old, place.new);
    let below = || node.on.iter().map(|id| places.get(id).map(|place| place.device.clone()));
    match &node.kind {
        Kind::Ext(ext) => Some(Step::MakeExt { device, ext: ext.clone(), old, new }),
        Kind::Xfs(xfs) => Some(Step::MakeXfs { device, xfs: xfs.clone(), old, new }),
        Kind::Vfat(vfat) => Some(Step::MakeVfat { device, vfat: vfat.clone(), logical_sector: place.sector }),
        Kind::Swap(swap) => Some(Step::MakeSwap { device, swap: swap.clone() }),
        Kind::Array(array) => {
            // A place that was empty when the host was captured stays so.
            let mut members: Vec<Option<Device>> = below().collect();
            members.resize(members.len().max(array.devices as usize), None);
            Some(Step::MakeArray { array: array.clone(), members })
        }
        // A container that nothing lies on was closed when it was captured.
        Kind::Luks(luks) => {
            layout.children(&node.id).next()?;
            Some(Step::MakeLuks { device: below().flatten().next()?, luks: luks.clone() })
        }
        Kind::Pv(volume) => Some(Step::MakePv { device, volume: volume.clone() }),
        Kind::Vg(group) => Some(Step::MakeVg { group: group.clone(), devices: below().flatten().collect() }),
        Kind::Lv(LogicalVolume { form: Form::Snapshot { .. }, .. }) => None,
        Kind::Lv(volume) => {
            let extent = layout.nodes.iter().find_map(|node| match &node.kind {
                Kind::Vg(group) if group.name == volume.group => Some(group.extent),
                _ => None,
            })?;
            Some(Step::MakeLv { volume: volume.clone(), size: new, extent })
        }
        Kind::Disk(_) | Kind::Partition(_) | Kind::Volatile(_) | Kind::Opaque(_) => None,
    }
}

#[cfg(test)]
mod luks_tests;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;
