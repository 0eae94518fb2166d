//! Mounts in the graph: what each one shows, and what is mounted from elsewhere.

use std::collections::BTreeSet;

use super::Assembly;
use crate::btrfs::Btrfs;
use crate::graph::{Kind, Mount, Node, NodeId, Opaque};
use crate::mountinfo::{MountEntry, is_aside, over_themselves, visible};
use crate::units::Bytes;

impl Assembly<'_> {
    /// One mount for each filesystem, and for each subvolume: its first visible one that shows its root folder. One that an archive does not come to
    /// counts only where its filesystem has no other. Others are second views.
    pub(super) fn add_mounts(&mut self, entries: &[MountEntry]) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let (visible, themselves) = (visible(entries), over_themselves(entries));
        let mut shown: Vec<(bool, &MountEntry)> = visible
            .iter()
            .filter(|entry| !entry.is_pseudo())
            .map(|entry| (is_aside(entry, &visible, &themselves), *entry))
            .collect();
        shown.sort_by_key(|(aside, _)| *aside);
        for (aside, entry) in shown {
            // A snapshot that somebody looked into.
            if entry.fstype == "zfs" && entry.source.contains('@') {
                continue;
            }
            let device = self.devices.iter().find(|device| device.number == entry.number);
            let device = device.or_else(|| self.devices.iter().find(|device| device.path == entry.source));
            let node = device.and_then(|device| self.top.get(device.kname.as_str()).cloned());
            let node = node.or_else(|| self.dataset_node(entry));
            let key = device.map_or_else(|| entry.number.clone(), |device| device.kname.clone());
            let kind = node.as_ref().and_then(|id| self.layout.node(id)).map(|node| &node.kind);
            let subvolume = match kind {
                Some(Kind::Btrfs(btrfs)) => shown_subvolume(btrfs, &entry.root),
                _ => None,
            };
            let described = kind.is_some_and(|kind| !matches!(kind, Kind::Opaque(_)));
            let key = match (&node, &subvolume) {
                (Some(node), Some(subvolume)) => format!("{node}/{subvolume}"),
                _ => key,
            };
            let elsewhere = aside && self.layout.mounts.iter().any(|mount| Some(&mount.node) == node.as_ref());
            if elsewhere || seen.contains(&key) || (described && entry.root != "/" && subvolume.is_none()) {
                continue;
            }
            seen.insert(key);
            let node = node.unwrap_or_else(|| self.add_source(entry));
            self.name_unread(&node, &entry.fstype);
            let (path, fstype, options) = (entry.path.clone(), entry.fstype.clone(), entry.options.clone());
            self.layout.mounts.push(Mount { node, path, fstype, options, subvolume });
        }
    }

    /// The kernel knows what it mounted, where reading the device told nothing.
    pub(super) fn name_unread(&mut self, id: &NodeId, fstype: &str) {
        let node = self.layout.nodes.iter_mut().find(|node| node.id == *id);
        if let Some(Node { kind: Kind::Opaque(opaque), .. }) = node
            && opaque.what == "unknown"
        {
            opaque.what = fstype.to_owned();
        }
    }

    /// A mounted filesystem that lies on no block device known here: a network share, an overlay, a pool.
    pub(super) fn add_source(&mut self, entry: &MountEntry) -> NodeId {
        let id = self.unique(format!("mount:{}", entry.path), &entry.number);
        let kind = Kind::Opaque(Opaque { what: entry.fstype.clone() });
        let node = Node { id: id.clone(), on: Vec::new(), path: entry.source.clone(), size: Bytes(0), kind };
        self.layout.nodes.push(node);
        id
    }
}

/// The subvolume that a mount with this root folder shows; none where it shows an inner folder.
fn shown_subvolume(btrfs: &Btrfs, root: &str) -> Option<String> {
    let path = root.trim_start_matches('/');
    (path.is_empty() || btrfs.subvolumes.iter().any(|one| one.path == path)).then(|| path.to_owned())
}
