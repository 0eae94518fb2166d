//! The steps of a plan, in the order in which they are done.

use std::collections::BTreeMap;

use super::place::Place;
use super::{Device, DiskPlan, Fill, Plan, Step, overwritten};
use crate::blocks::Volume;
use crate::graph::{Kind, Layout, Mount, Node, NodeId};
use crate::lvm::{Form, LogicalVolume};
use crate::units::Bytes;
use crate::zfs::{Dataset, Setting};

impl Plan {
    pub(super) fn fill_steps(
        &mut self,
        layout: &Layout,
        restores: &dyn Fn(&NodeId) -> bool,
        places: &BTreeMap<NodeId, Place>,
    ) {
        let save = |disk: &DiskPlan| Step::Save { disk: disk.target.path.clone(), regions: disk.overwritten() };
        self.before.extend(self.disks.iter().map(save));
        let written: Vec<Step> =
            self.disks.iter().flat_map(|disk| std::iter::once(disk.clear()).chain(disk.write())).collect();
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
                subvolume: mount.subvolume.clone(),
            };
            if place.late { &mut self.after } else { &mut self.before }.push(step);
        }
        self.blocks = layout
            .nodes
            .iter()
            .filter(|node| restores(&node.id))
            .filter_map(|node| fill(layout, node, places))
            .collect();
        self.last.extend(layout.nodes.iter().filter_map(|node| lock(node, places.get(&node.id)?)));
        let pools = layout.nodes.iter().filter(|node| places.contains_key(&node.id));
        self.last.extend(pools.filter_map(|node| finish_pool(layout, node)));
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
        let new = self.table.partitions.iter().map(|partition| self.table.start_of(partition));
        let mut starts: Vec<Bytes> = self.target.holds.iter().map(|held| held.start).chain(new).collect();
        starts.sort_unstable();
        starts.dedup();
        let end = |partition| Bytes(self.table.start_of(partition).0 + self.table.size_of(partition).0);
        let held = self.target.holds.iter().map(|held| Bytes(held.start.0.saturating_add(held.size.0)));
        let mut ends: Vec<Bytes> = held.chain(self.table.partitions.iter().map(end)).collect();
        ends.sort_unstable();
        ends.dedup();
        Step::Clear {
            disk: self.target.path.clone(),
            starts,
            ends,
            whole: overwritten::boot_partitions(&self.table).collect(),
        }
    }

    fn write(&self) -> Option<Step> {
        let (disk, table) = (self.target.path.clone(), self.table.clone());
        match &self.dos {
            Some(dos) => Some(Step::WriteDos { disk, table, dos: dos.clone() }),
            None if table.partitions.is_empty() => None,
            None => Some(Step::WriteGpt { disk, table }),
        }
    }
}

fn make(layout: &Layout, node: &Node, place: &Place, places: &BTreeMap<NodeId, Place>) -> Option<Step> {
    let (device, old, new) = (place.device.clone(), place.old, place.new);
    let below = || node.on.iter().map(|id| places.get(id).map(|place| place.device.clone()));
    match &node.kind {
        Kind::Ext(ext) => Some(Step::MakeExt { device, ext: ext.clone(), old, new }),
        Kind::Btrfs(btrfs) => Some(Step::MakeBtrfs { devices: below().flatten().collect(), btrfs: btrfs.clone() }),
        Kind::Xfs(xfs) => Some(Step::MakeXfs { device, xfs: xfs.clone(), old, new, logical_sector: place.sector }),
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
        Kind::Pool(pool) => {
            let root = datasets(layout, &node.id).find(|dataset| dataset.is_root())?;
            Some(Step::MakePool { pool: pool.clone(), root: root.clone(), devices: below().flatten().collect() })
        }
        // The pool's own one is made with it.
        Kind::Dataset(dataset) if dataset.is_root() => None,
        Kind::Dataset(dataset) => Some(Step::MakeDataset { dataset: dataset.clone() }),
        Kind::Disk(_) | Kind::Partition(_) | Kind::Volatile(_) | Kind::Opaque(_) => None,
    }
}

/// A volume whose blocks come back.
fn fill(layout: &Layout, node: &Node, places: &BTreeMap<NodeId, Place>) -> Option<Fill> {
    let (volume, place) = (Volume::of(layout, node)?, places.get(&node.id)?);
    Some(Fill { device: place.device.clone(), file: volume.file, size: node.size, zeroed: volume.zeroed })
}

/// The datasets of a pool.
fn datasets<'a>(layout: &'a Layout, pool: &'a NodeId) -> impl Iterator<Item = &'a Dataset> {
    layout.children(pool).filter_map(|child| match &child.kind {
        Kind::Dataset(dataset) => Some(dataset),
        _ => None,
    })
}

/// What is set on a pool when everything is in place.
fn finish_pool(layout: &Layout, node: &Node) -> Option<Step> {
    let Kind::Pool(pool) = &node.kind else { return None };
    let made = datasets(layout, &node.id).filter(|dataset| !dataset.encrypted);
    let settings: Vec<Setting> = made.flat_map(Dataset::later).collect();
    Some(Step::FinishPool { pool: pool.name.clone(), bootfs: pool.bootfs.clone(), settings })
}

/// What makes the read-only subvolumes of a btrfs read-only again.
fn lock(node: &Node, place: &Place) -> Option<Step> {
    let Kind::Btrfs(btrfs) = &node.kind else { return None };
    let locked = btrfs.subvolumes.iter().filter(|one| one.read_only);
    let subvolumes: Vec<String> = locked.map(|one| one.path.clone()).collect();
    (!subvolumes.is_empty()).then(|| Step::Lock { device: place.device.clone(), subvolumes })
}
