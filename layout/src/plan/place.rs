//! Where each node that comes back lies on the target, and how large it is there: from the new tables upwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DiskPlan;
use crate::gpt::ESP;
use crate::graph::{Kind, Layout, Node, NodeId};
use crate::solve::{SolveError, stack};
use crate::units::Bytes;

/// A block device of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "device", deny_unknown_fields)]
pub enum Device {
    /// A partition of a disk.
    Partition {
        /// The disk's kernel name: `/dev/vda`.
        disk: String,
        /// The partition's number.
        number: u32,
    },
    /// A whole disk without a partition table.
    Disk {
        /// Its kernel name.
        disk: String,
    },
    /// An array, a volume or an open container that an earlier step makes.
    Made {
        /// Its path: `/dev/md/root`, `/dev/mapper/pve-root`, `/dev/mapper/lifeboat-…`.
        path: String,
    },
}

impl Device {
    /// The path of its node: a `p` comes before a partition's number where the disk's name ends with a digit.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Made { path } | Self::Disk { disk: path } => path.clone(),
            Self::Partition { disk, number } if disk.ends_with(|last: char| last.is_ascii_digit()) => {
                format!("{disk}p{number}")
            }
            Self::Partition { disk, number } => format!("{disk}{number}"),
        }
    }
}

/// Where a node lies on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The device that holds it, or that it is.
    pub device: Device,
    /// Its recorded size.
    pub old: Bytes,
    /// Its size on the target.
    pub new: Bytes,
    /// Bytes of the disk's logical sector.
    pub sector: u32,
    /// It takes part in making the disk bootable, and is made last.
    pub late: bool,
}

/// The place of each node all of whose disks are in the plan; an array may do without some. Nodes come parents first in a layout, so one pass is enough.
pub(super) fn places(layout: &Layout, disks: &[DiskPlan]) -> Result<BTreeMap<NodeId, Place>, SolveError> {
    let mut places = BTreeMap::new();
    for disk in disks {
        if disk.table.partitions.is_empty() {
            let place = Place {
                device: Device::Disk { disk: disk.target.path.clone() },
                old: layout.node(&disk.recorded).map_or(disk.target.size, |node| node.size),
                new: disk.target.size,
                sector: disk.table.logical_sector,
                late: false,
            };
            places.insert(disk.recorded.clone(), place);
        }
        for partition in &disk.table.partitions {
            let place = Place {
                device: Device::Partition { disk: disk.target.path.clone(), number: partition.entry.number },
                old: partition.old_size,
                new: disk.table.size_of(partition),
                sector: disk.table.logical_sector,
                late: partition.entry.type_guid.as_str() == ESP,
            };
            places.insert(partition.node.clone(), place);
        }
    }
    for node in &layout.nodes {
        if places.contains_key(&node.id) || node.on.is_empty() {
            continue;
        }
        let below: Vec<&Place> = node.on.iter().filter_map(|id| places.get(id)).collect();
        let starts = matches!(&node.kind, Kind::Array(array) if array.starts_with(below.len()));
        if below.len() < node.on.len() && !starts {
            continue;
        }
        if let Some(place) = place(node, &below) {
            let groups = match &node.kind {
                Kind::Vg(group) => {
                    let (recorded, now) = extents(layout, node, &places, group.extent);
                    stack::volumes(layout, node, recorded, now)?
                }
                _ => BTreeMap::new(),
            };
            let volumes = layout.children(&node.id).filter_map(|child| {
                let (Kind::Lv(volume), Some(size)) = (&child.kind, groups.get(&child.id)) else { return None };
                let device = Device::Made { path: volume.path() };
                Some((child.id.clone(), Place { device, old: child.size, new: *size, ..place.clone() }))
            });
            let volumes: Vec<_> = volumes.collect();
            places.insert(node.id.clone(), place);
            places.extend(volumes);
        }
    }
    Ok(places)
}

/// The place of a node on what is below it. Volumes of a group get theirs with the group.
fn place(node: &Node, below: &[&Place]) -> Option<Place> {
    let first = *below.first()?;
    let late = below.iter().any(|place| place.late);
    let sector = below.iter().map(|place| place.sector).max().unwrap_or(first.sector);
    match &node.kind {
        Kind::Array(array) => {
            let same = below.iter().all(|place| place.old == place.new);
            let sizes: Vec<Bytes> = below.iter().map(|place| place.new).collect();
            let new = if same { node.size } else { array.size_over(&sizes) };
            Some(Place { device: Device::Made { path: array.path() }, old: node.size, new, sector, late })
        }
        Kind::Luks(luks) => {
            if luks.hindrance.is_some() {
                return None;
            }
            let new = if first.old == first.new { node.size } else { luks.room_on(first.new) };
            Some(Place {
                device: Device::Made { path: luks.path() },
                old: node.size,
                new,
                sector: sector.max(luks.sector_size),
                late,
            })
        }
        // A thin volume's size is its own.
        Kind::Lv(volume) => {
            let device = Device::Made { path: volume.path() };
            Some(Place { device, old: node.size, new: node.size, sector, late })
        }
        Kind::Disk(_) | Kind::Partition(_) => None,
        Kind::Btrfs(_) => {
            let sum =
                |size: fn(&Place) -> Bytes| Bytes(below.iter().map(|place| size(place).0).fold(0, u64::saturating_add));
            Some(Place { old: sum(|place| place.old), new: sum(|place| place.new), late, sector, ..first.clone() })
        }
        _ => Some(Place { late, sector, ..first.clone() }),
    }
}

/// Extents of a group: recorded, and on the target.
fn extents(layout: &Layout, group: &Node, places: &BTreeMap<NodeId, Place>, extent: Bytes) -> (u64, u64) {
    let volumes = group.on.iter().filter_map(|id| {
        let (Kind::Pv(volume), place) = (&layout.node(id)?.kind, places.get(id)?) else { return None };
        let now = if place.old == place.new { volume.extents } else { volume.extents_on(place.new, extent) };
        Some((volume.extents, now))
    });
    volumes.fold((0, 0), |(old, new), (recorded, now)| (old.saturating_add(recorded), new.saturating_add(now)))
}
