//! The graph itself: nodes, what they lie on, and where they are mounted. Knows the kinds only by name.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::btrfs::Btrfs;
use crate::disk::Disk;
use crate::ext::Ext;
use crate::gpt::Partition;
use crate::luks::Luks;
use crate::lvm::{LogicalVolume, PhysicalVolume, VolumeGroup};
use crate::md::Array;
use crate::swap::Swap;
use crate::units::Bytes;
use crate::vfat::Vfat;
use crate::xfs::Xfs;

/// A node's name inside one layout: `disk:QM0001`, `part:<GUID>`, `fs:<UUID>`, or the kernel name where there is nothing better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One storage object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Unique in the layout.
    pub id: NodeId,
    /// What this node lies on, lowest first; empty for disks.
    pub on: Vec<NodeId>,
    /// The kernel's name when it was captured (`/dev/vda2`). For messages only: names change.
    pub path: String,
    /// Size of the block device in bytes.
    pub size: Bytes,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Kind {
    /// A whole disk.
    Disk(Disk),
    /// A partition, of a GPT or a DOS table.
    Partition(Partition),
    /// An ext2, ext3 or ext4 filesystem.
    Ext(Ext),
    /// An XFS filesystem.
    Xfs(Xfs),
    /// A btrfs filesystem, on its devices.
    Btrfs(Btrfs),
    /// A FAT filesystem.
    Vfat(Vfat),
    /// A swap area.
    Swap(Swap),
    /// A software RAID array. It lies on its members.
    Array(Array),
    /// A LUKS container. Its size is that of the opened container; what it holds lies on it.
    Luks(Luks),
    /// A mapped device with a key that is drawn at each start (crypttab's `/dev/urandom`). Nothing on it outlives a start.
    Volatile(Volatile),
    /// An LVM physical volume, on the device that holds it.
    Pv(PhysicalVolume),
    /// An LVM volume group, on its physical volumes.
    Vg(VolumeGroup),
    /// An LVM logical volume, on its group, or on its pool when it is thin.
    Lv(LogicalVolume),
    /// Something that this version can name but not bring back.
    Opaque(Opaque),
}

/// A device that the restored system makes anew at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volatile {
    /// Its name below `/dev/mapper`.
    pub name: String,
}

/// Something that this version can name but not bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opaque {
    /// What the tools call it (`LVM2_member`, `crypto_LUKS`, `iso9660`), or `unknown`.
    pub what: String,
}

/// A filesystem in the mount table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The mounted filesystem's node.
    pub node: NodeId,
    /// The mount point, absolute.
    pub path: String,
    /// Filesystem type as the kernel names it.
    pub fstype: String,
    /// Mount options in effect.
    pub options: String,
    /// The subvolume that is shown, of a btrfs: its path from the top, empty for the top itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
}

/// A host's storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Every node, parents before children.
    pub nodes: Vec<Node>,
    /// What was mounted where, `/` first.
    pub mounts: Vec<Mount>,
}

impl Kind {
    /// A filesystem that can be mounted.
    #[must_use]
    pub fn is_filesystem(&self) -> bool {
        matches!(self, Self::Ext(_) | Self::Xfs(_) | Self::Btrfs(_) | Self::Vfat(_))
    }
}

impl Layout {
    /// The node of this name.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| &node.id == id)
    }

    /// The nodes that lie directly on `id`.
    pub fn children<'a>(&'a self, id: &'a NodeId) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(move |node| node.on.contains(id))
    }

    /// The disks that `id` lies on, itself included when it is one.
    #[must_use]
    pub fn disks_below(&self, id: &NodeId) -> BTreeSet<&NodeId> {
        let mut disks = BTreeSet::new();
        let mut open = vec![id];
        // Bounded by the number of nodes, so that a graph with a circle (a hostile manifest) ends too.
        for _ in 0..=self.nodes.len() {
            let Some(node) = open.pop().and_then(|id| self.node(id)) else { break };
            match node.kind {
                Kind::Disk(_) => drop(disks.insert(&node.id)),
                _ => open.extend(&node.on),
            }
        }
        disks
    }

    /// Every node that `id` lies on, directly or through others.
    #[must_use]
    pub fn below(&self, id: &NodeId) -> Vec<&Node> {
        let mut below: Vec<&Node> = Vec::new();
        let mut open: Vec<&NodeId> = self.node(id).into_iter().flat_map(|node| &node.on).collect();
        while let Some(id) = open.pop() {
            // Each counts once, so that a graph with a circle (a hostile manifest) ends too.
            let new = self.node(id).filter(|node| !below.iter().any(|known| known.id == node.id));
            open.extend(new.into_iter().flat_map(|node| &node.on));
            below.extend(new);
        }
        below
    }

    /// Whether `id` can still be made when these disks are gone: an array survives the loss of as many members as its level allows.
    #[must_use]
    pub fn survives(&self, id: &NodeId, gone: &[NodeId]) -> bool {
        self.survives_at(id, gone, 0)
    }

    fn survives_at(&self, id: &NodeId, gone: &[NodeId], depth: usize) -> bool {
        // A graph with a circle (a hostile manifest) is not followed further than any real one goes.
        let Some(node) = self.node(id).filter(|_| depth < 16 && !gone.contains(id)) else { return false };
        let left = node.on.iter().filter(|below| self.survives_at(below, gone, depth + 1)).count();
        match &node.kind {
            Kind::Array(array) => left == node.on.len() || array.starts_with(left),
            _ => left == node.on.len(),
        }
    }

    /// All disks.
    pub fn disks(&self) -> impl Iterator<Item = (&Node, &Disk)> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Disk(disk) => Some((node, disk)),
            _ => None,
        })
    }

    /// The mount whose path is `path`.
    #[must_use]
    pub fn mount_at(&self, path: &str) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.path == path)
    }
}
