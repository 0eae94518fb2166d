//! Volumes that are archived block by block, because what they hold is a guest's own, or nothing that a tool here knows.
//!
//! Such a volume is a file of the snapshot, below [`FOLDER`]. Whether it is wanted there is for whoever captures, and nothing is read here.

use crate::graph::{Kind, Layout, Node};
use crate::lvm::{Form, LogicalVolume};
use crate::probe::INACTIVE;
use crate::zfs::Dataset;

/// Where these files lie, from a snapshot's root.
pub const FOLDER: &str = "var/lib/lifeboat/volumes";

/// A volume whose blocks can be archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Path of its node on the captured host.
    pub device: String,
    /// Its file, from the snapshot's root.
    pub file: String,
    /// Made anew, it reads as zeroes where nothing was written to it.
    pub zeroed: bool,
}

impl Volume {
    /// The volume that holds `content`; none where that is nothing whose blocks count, or where they cannot be read.
    #[must_use]
    pub fn of(layout: &Layout, content: &Node) -> Option<Self> {
        let (Kind::Opaque(opaque), [below]) = (&content.kind, content.on.as_slice()) else { return None };
        if opaque.what == INACTIVE || layout.mounts.iter().any(|mount| mount.node == content.id) {
            return None;
        }
        match &layout.node(below)?.kind {
            Kind::Lv(LogicalVolume { form: Form::Snapshot { .. } | Form::ThinPool { .. }, .. }) => None,
            Kind::Lv(volume) => Some(Self {
                device: volume.path(),
                file: format!("{FOLDER}/lvm/{}/{}", volume.group, volume.name),
                zeroed: layout.node(below)?.on.iter().filter_map(|id| layout.node(id)).any(zeroes_chunks),
            }),
            Kind::Dataset(dataset @ Dataset { volume: Some(_), encrypted: false, .. }) => {
                Some(Self { device: dataset.path(), file: format!("{FOLDER}/zfs/{}", dataset.name), zeroed: true })
            }
            _ => None,
        }
    }

    /// What it may be called by: its path, the path that people use (`/dev/GROUP/NAME`), and a dataset's name.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let own = self.file.strip_prefix(FOLDER).unwrap_or_default();
        let also = match (own.strip_prefix("/lvm/"), own.strip_prefix("/zfs/")) {
            (Some(volume), _) => Some(format!("/dev/{volume}")),
            (_, Some(dataset)) => Some(dataset.to_owned()),
            _ => None,
        };
        std::iter::once(self.device.clone()).chain(also).collect()
    }
}

/// A thin pool whose new chunks are zeroed. Another one shows what the disk held before in the rest of a chunk that is written to.
fn zeroes_chunks(node: &Node) -> bool {
    matches!(node.kind, Kind::Lv(LogicalVolume { form: Form::ThinPool { zero: true, .. }, .. }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use super::*;
    use crate::graph::{Mount, NodeId, Opaque};
    use crate::units::Bytes;

    fn node(id: &str, on: &[&str], kind: Kind) -> Node {
        let on = on.iter().map(|below| NodeId((*below).to_owned())).collect();
        Node { id: NodeId(id.to_owned()), on, path: format!("/dev/{id}"), size: Bytes(1 << 20), kind }
    }

    fn volume(name: &str, form: Form) -> Kind {
        let (uuid, group) = (name.to_owned(), "vg-a".to_owned());
        Kind::Lv(LogicalVolume { uuid, group, name: name.to_owned(), form, writable: true, tags: Vec::new() })
    }

    fn pool(zero: bool) -> Form {
        Form::ThinPool { chunk: Bytes(64 << 10), metadata: Bytes(4 << 20), zero, discards: "passdown".to_owned() }
    }

    fn opaque(what: &str) -> Kind {
        Kind::Opaque(Opaque { what: what.to_owned() })
    }

    #[test]
    fn what_lies_on_a_volume_and_can_be_read_has_a_file_and_names() {
        let layout = Layout {
            nodes: vec![
                node("disk", &[], opaque("unknown")),
                node("pool", &[], volume("data", pool(true))),
                node("thin", &["pool"], volume("guest", Form::Thin { pool: "data".to_owned() })),
                node("snap", &[], volume("snap", Form::Snapshot { origin: "guest".to_owned() })),
                node("on-disk", &["disk"], opaque("unknown")),
                node("on-thin", &["thin"], opaque("unknown")),
                node("on-snap", &["snap"], opaque("unknown")),
                node("asleep", &["thin"], opaque(INACTIVE)),
                node("mounted", &["thin"], opaque("f2fs")),
            ],
            mounts: vec![Mount {
                node: NodeId("mounted".to_owned()),
                path: "/srv".to_owned(),
                fstype: "f2fs".to_owned(),
                options: String::new(),
                subvolume: None,
            }],
        };
        let found: Vec<Volume> = layout.nodes.iter().filter_map(|node| Volume::of(&layout, node)).collect();
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.file, "var/lib/lifeboat/volumes/lvm/vg-a/guest");
        assert_eq!(found.names(), ["/dev/mapper/vg--a-guest", "/dev/vg-a/guest"]);
        assert!(found.zeroed);
    }

    #[test]
    fn a_volume_of_a_pool_that_does_not_zero_its_chunks_is_not_taken_for_zeroed() {
        let nodes = vec![
            node("pool", &[], volume("data", pool(false))),
            node("thin", &["pool"], volume("guest", Form::Thin { pool: "data".to_owned() })),
            node("on-thin", &["thin"], opaque("unknown")),
        ];
        let layout = Layout { nodes, mounts: Vec::new() };
        assert!(!Volume::of(&layout, &layout.nodes[2]).unwrap().zeroed);
    }
}
