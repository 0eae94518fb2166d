//! Pools, datasets and volumes of ZFS in the graph.

use super::{Assembly, INACTIVE};
use crate::graph::{Kind, Node, NodeId, Opaque};
use crate::lsblk::BlockDevice;
use crate::mountinfo::MountEntry;
use crate::zfs::Dataset;

impl<'a> Assembly<'a> {
    /// The dataset that a device shows.
    pub(super) fn zvol(&self, device: &BlockDevice) -> Option<&'a Dataset> {
        let name = self.stacks.zfs.volumes.get(&device.kname)?;
        self.stacks.zfs.datasets.iter().find(|dataset| dataset.name == *name && dataset.volume.is_some())
    }

    /// A volume of ZFS, or something that lies on one.
    pub(super) fn is_on_zvol(&self, device: &BlockDevice) -> bool {
        let parents = device.parents.iter().filter_map(|name| self.devices.iter().find(|other| other.kname == *name));
        // lsblk's tree has no circles.
        is_zvol(device) || parents.into_iter().any(|parent| self.is_on_zvol(parent))
    }

    /// A partition inside a volume of ZFS: the volume is a guest's disk, and what is in it is the guest's affair.
    pub(super) fn is_inside_guest(&self, device: &BlockDevice) -> bool {
        let disk = device.parents.first().filter(|_| device.kind == "part");
        disk.and_then(|name| self.devices.iter().find(|other| other.kname == *name)).is_some_and(is_zvol)
    }

    /// Pools, on the nodes of their devices. One that has a device that is none of the host's is not made again.
    pub(super) fn add_pools(&mut self) {
        for found in &self.stacks.zfs.pools {
            let node = |path: &String| {
                let device = self.devices.iter().find(|device| device.path == *path)?;
                self.top.get(device.kname.as_str()).cloned()
            };
            let on: Vec<NodeId> = found.devices.iter().filter_map(node).collect();
            let mut pool = found.pool.clone();
            if on.len() < found.devices.len() && pool.hindrance.is_none() {
                pool.hindrance = Some("one of its devices is a file, or is not shown by lsblk".to_owned());
            }
            let id = self.unique(format!("pool:{}", pool.name), &pool.guid);
            self.layout.nodes.push(Node { id, on, path: pool.name.clone(), size: found.size, kind: Kind::Pool(pool) });
        }
    }

    /// Filesystems of ZFS, which have no device, or volumes whose device is hidden.
    pub(super) fn add_unseen_datasets(&mut self, volumes: bool) {
        for dataset in self.stacks.zfs.datasets.iter().filter(|dataset| dataset.volume.is_some() == volumes) {
            let id = NodeId(format!("dataset:{}", dataset.name));
            let pool = self.stacks.zfs.pools.iter().find(|found| found.pool.name == dataset.pool());
            let Some(pool) = pool.filter(|_| !self.ids.contains(&id)) else { continue };
            self.ids.insert(id.clone());
            let size = dataset.volume.as_ref().map_or(pool.size, |volume| volume.size);
            let (on, path) = (vec![NodeId(format!("pool:{}", pool.pool.name))], dataset.name.clone());
            self.layout.nodes.push(Node { id: id.clone(), on, path, size, kind: Kind::Dataset(dataset.clone()) });
            if dataset.volume.is_some() {
                let device = BlockDevice { path: dataset.name.clone(), size, ..BlockDevice::default() };
                let opaque = Kind::Opaque(Opaque { what: INACTIVE.into() });
                self.add(format!("raw:{}", dataset.name), &device, vec![id], opaque);
            }
        }
    }

    /// The dataset that a mount shows.
    pub(super) fn dataset_node(&self, entry: &MountEntry) -> Option<NodeId> {
        let id = NodeId(format!("dataset:{}", entry.source));
        (entry.fstype == "zfs" && self.layout.node(&id).is_some()).then_some(id)
    }
}

/// The device of a volume of ZFS, by the kernel's name.
pub(super) fn is_zvol(device: &BlockDevice) -> bool {
    device.kname.strip_prefix("zd").is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}
