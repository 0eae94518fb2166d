//! The steps of a plan, in the order in which they are done.

use std::collections::BTreeMap;

use super::place::Place;
use super::{Device, DiskPlan, Plan, Step, overwritten};
use crate::graph::{Kind, Layout, Mount, Node, NodeId};
use crate::lvm::{Form, LogicalVolume};
use crate::units::Bytes;

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
        self.last.extend(layout.nodes.iter().filter_map(|node| lock(node, places.get(&node.id)?)));
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
        Kind::Disk(_) | Kind::Partition(_) | Kind::Volatile(_) | Kind::Opaque(_) => None,
    }
}

/// What makes the read-only subvolumes of a btrfs read-only again.
fn lock(node: &Node, place: &Place) -> Option<Step> {
    let Kind::Btrfs(btrfs) = &node.kind else { return None };
    let locked = btrfs.subvolumes.iter().filter(|one| one.read_only);
    let subvolumes: Vec<String> = locked.map(|one| one.path.clone()).collect();
    (!subvolumes.is_empty()).then(|| Step::Lock { device: place.device.clone(), subvolumes })
}
