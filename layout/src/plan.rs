//! The plan: what is destroyed, what is made and why, as typed steps that print in full. Touches nothing.
//!
//! Steps come in two lists. [`Plan::before`] is done before the trees are restored; [`Plan::after`] holds what could make a
//! half-restored disk boot (the EFI system partition), and is done when the rest is in place.

mod disk;
mod fill;
mod notes;
mod overwritten;
mod place;
mod step;
mod text;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::blocks::Volume;
use crate::btrfs::Btrfs;
use crate::disk::Disk;
use crate::ext::Ext;
use crate::graph::{Kind, Layout, Mount, Node, NodeId};
use crate::luks::Luks;
use crate::lvm::{Form, LogicalVolume, PhysicalVolume};
use crate::matching::{Choice, MatchError, NO_DISK, Present, match_disks, refuse_shared};
use crate::md::Array;
use crate::solve::SolveError;
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;
use crate::zfs::Pool;

use disk::plan_disk;
pub use disk::{DiskPlan, OldDisk};
use notes::{degraded, notes};
pub use overwritten::EDGE;
pub use place::Device;
use place::places;
pub use step::Step;
use text::describe_recorded;

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
    /// Volumes that get their archived blocks, beside the trees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Fill>,
    /// Present disks that are left alone and are made read-only.
    pub untouched: Vec<Present>,
    /// What was recorded and does not come back, or comes back empty.
    pub notes: Vec<String>,
    /// Mount points whose filesystem was on a disk that was left out: what is below them is not restored.
    pub without: Vec<String>,
}

/// A volume that gets its archived blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// The volume.
    pub device: Device,
    /// The file of the snapshot that holds them, from its root.
    pub file: String,
    /// How many bytes there are.
    pub size: Bytes,
    /// It reads as zeroes where nothing was written to it.
    pub zeroed: bool,
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
        blocks: Vec::new(),
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
        refuse_shared(layout, name)?;
        let is_named = |disk: &Disk| [&disk.serial, &disk.wwn].into_iter().any(|known| known.as_deref() == Some(name));
        let found = layout.disks().find(|(node, disk)| node.id.0 == name || is_named(disk));
        found.map(|(node, _)| node.id.clone()).ok_or_else(|| MatchError::NoSuchRecorded(name.to_owned()))
    })
    .collect()
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

/// Recorded disks that are made again: those that hold a filesystem, a swap area or blocks that come back.
fn wanted_disks(layout: &Layout, restores: &dyn Fn(&NodeId) -> bool) -> Vec<NodeId> {
    let kept = |kind: &Kind| kind.is_filesystem() || matches!(kind, Kind::Swap(_) | Kind::Volatile(_));
    let holds = |node: &&Node| kept(&node.kind) || Volume::of(layout, node).is_some();
    let nodes = layout.nodes.iter().filter(holds).filter(|node| restores(&node.id));
    let below: BTreeSet<&NodeId> = nodes.flat_map(|node| layout.disks_below(&node.id)).collect();
    layout.disks().map(|(node, _)| &node.id).filter(|id| below.contains(id)).cloned().collect()
}

impl Plan {
    /// Names of the disks that are written to: serial numbers, or world wide names.
    pub fn target_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.disks.iter().map(|disk| disk.target.name())
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
