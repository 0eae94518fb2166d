//! Groups and volumes of LVM in the graph.

use super::{Assembly, INACTIVE};
use crate::graph::{Kind, Node, NodeId, Opaque};
use crate::lsblk::BlockDevice;
use crate::lvm::{Form, LogicalVolume, PhysicalVolume};
use crate::units::Bytes;

impl Assembly<'_> {
    pub(super) fn logical_volume(&self, device: &BlockDevice) -> Option<LogicalVolume> {
        let found = self.stacks.lvm.logical.iter().find(|(volume, _)| volume.path() == device.path);
        found.map(|(volume, _)| volume.clone())
    }

    pub(super) fn physical_volume(&self, device: &BlockDevice) -> Option<PhysicalVolume> {
        let found = self.stacks.lvm.volumes.iter().find(|found| found.device == device.path);
        found.map(|found| found.volume.clone())
    }

    /// A pool's data and metadata, a mirror's legs, and the device that the kernel puts between a pool and its volumes.
    pub(super) fn is_inside_volume(&self, device: &BlockDevice) -> bool {
        let Some(name) = device.path.strip_prefix("/dev/mapper/") else { return false };
        // `-real` and `-cow` are what a volume with a snapshot and the snapshot lie on; a `-` in a volume's own name is doubled.
        let inner = ["-tpool", "-real", "-cow"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let outer = inner.map(|volume| format!("/dev/mapper/{volume}"));
        let is_known = |path: &String| self.stacks.lvm.logical.iter().any(|(volume, _)| volume.path() == *path);
        self.stacks.lvm.hidden.iter().any(|hidden| hidden == name) || outer.as_ref().is_some_and(is_known)
    }

    /// The node of a volume group, made with the first of its volumes.
    pub(super) fn group(&mut self, name: &str) -> Option<NodeId> {
        let group = self.stacks.lvm.groups.iter().find(|group| group.name == name)?;
        let id = NodeId(format!("vg:{}", group.uuid));
        if !self.ids.contains(&id) {
            let volumes = self.stacks.lvm.volumes.iter().filter(|found| found.group == name);
            let extents: u64 = volumes.clone().map(|found| found.volume.extents).sum();
            self.ids.insert(id.clone());
            self.layout.nodes.push(Node {
                id: id.clone(),
                on: volumes.map(|found| NodeId(format!("pv:{}", found.volume.uuid))).collect(),
                path: format!("/dev/{name}"),
                size: Bytes(extents.saturating_mul(group.extent.0)),
                kind: Kind::Vg(group.clone()),
            });
        }
        Some(id)
    }

    /// Groups without volumes, and volumes without a device: those that are not active. What these hold cannot be read.
    pub(super) fn add_unseen_volumes(&mut self) {
        let report = &self.stacks.lvm;
        for group in &report.groups {
            self.group(&group.name);
        }
        for (volume, size) in &report.logical {
            let id = format!("lv:{}", volume.uuid);
            if self.ids.contains(&NodeId(id.clone())) {
                continue;
            }
            let device = BlockDevice { path: volume.path(), size: *size, ..BlockDevice::default() };
            let on = self.below(&device);
            let id = self.add(id, &device, on, Kind::Lv(volume.clone()));
            // A pool has nothing of its own to read.
            if !matches!(volume.form, Form::ThinPool { .. }) {
                let opaque = Kind::Opaque(Opaque { what: INACTIVE.into() });
                self.add(format!("raw:{}", device.path), &device, vec![id], opaque);
            }
        }
    }
}
