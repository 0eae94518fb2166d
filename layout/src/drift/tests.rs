//! What counts as drift, on small layouts made by hand.

use super::*;
use crate::disk::{Disk, Table};
use crate::ext::Ext;
use crate::gpt::{GptTable, Partition};
use crate::graph::NodeId;
use crate::units::{Bytes, Guid};

const GUID: &str = "AAAAAAAA-2222-3333-4444-555555555555";

fn node(id: &str, on: &[&str], path: &str, kind: Kind) -> Node {
    let on = on.iter().map(|id| NodeId((*id).to_owned())).collect();
    Node { id: NodeId(id.to_owned()), on, path: path.to_owned(), size: Bytes(1 << 30), kind }
}

fn disk() -> Kind {
    let guid = Guid::new(GUID).unwrap();
    let table = GptTable {
        guid,
        first_usable: 34,
        last_usable: 2_097_118,
        capacity: 128,
        alignment: 2048,
        boot_code: false,
        active: false,
    };
    Kind::Disk(Disk {
        model: "Sample".into(),
        serial: Some("S1".into()),
        wwn: None,
        transport: Some("sata".into()),
        logical_sector: 512,
        physical_sector: 512,
        removable: false,
        rotational: false,
        table: Table::Gpt(table),
    })
}

fn ext(uuid: &str) -> Kind {
    Kind::Ext(Ext {
        fstype: "ext4".into(),
        uuid: uuid.into(),
        label: String::new(),
        features: vec!["extents".into(), "has_journal".into()],
        block_size: 4096,
        inode_size: 256,
        inodes: 65536,
        details: crate::ext::Details::default(),
        reserved_blocks: 0,
        blocks: 262_144,
        default_mount_options: Vec::new(),
        used: Bytes(1000),
    })
}

fn layout() -> Layout {
    let guid = Guid::new(GUID).unwrap();
    let partition = Kind::Partition(Partition {
        number: 1,
        type_guid: guid.clone(),
        guid,
        name: "root".into(),
        attributes: 0,
        first_lba: 2048,
        sectors: 2_000_000,
    });
    let part = format!("part:{GUID}");
    Layout {
        nodes: vec![
            node("disk:S1", &[], "/dev/sda", disk()),
            node(&part, &["disk:S1"], "/dev/sda1", partition),
            node("fs:u-root", &[&part], "/dev/sda1", ext("u-root")),
        ],
        mounts: vec![Mount {
            node: NodeId("fs:u-root".into()),
            path: "/".into(),
            fstype: "ext4".into(),
            options: "rw,relatime".into(),
            subvolume: None,
        }],
    }
}

/// What [`compare`] says once `change` has happened to a host.
fn after(change: impl FnOnce(&mut Layout)) -> Vec<String> {
    let mut live = layout();
    change(&mut live);
    compare(&layout(), &live).iter().map(Drift::to_string).collect()
}

fn rename(layout: &mut Layout, serial: &str) {
    let old = layout.nodes[0].id.clone();
    layout.nodes[0].id = NodeId(format!("disk:{serial}"));
    let new = layout.nodes[0].id.clone();
    for below in layout.nodes.iter_mut().flat_map(|node| &mut node.on).filter(|below| **below == old) {
        *below = new.clone();
    }
}

#[test]
fn other_kernel_names_fuller_filesystems_and_options_in_another_order_are_no_drift() {
    let said = after(|live| {
        for node in &mut live.nodes {
            node.path = node.path.replace("sda", "nvme0n1");
        }
        let Kind::Ext(ext) = &mut live.nodes[2].kind else { panic!() };
        ext.used = Bytes(999_999);
        live.mounts[0].options = "relatime,rw".into();
    });
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn every_difference_is_named_with_what_was_and_what_is() {
    type Change = fn(&mut Layout);
    let table: [(Change, &[&str]); 7] = [
        (|live| drop(live.mounts.pop()), &["mount / is gone"]),
        (|live| live.mounts[0].options = "ro".into(), &["mount /: options was relatime,rw, is ro"]),
        (
            |live| {
                let Kind::Ext(ext) = &mut live.nodes[2].kind else { panic!() };
                ext.features.push("quota".into());
            },
            &["ext4 u-root (/dev/sda1): features was extents has_journal, is extents has_journal quota"],
        ),
        (
            |live| live.nodes[0].size = Bytes((1 << 30) + 512),
            &["disk S1 (/dev/sda): size was 1073741824 bytes, is 1073742336 bytes"],
        ),
        (
            |live| {
                let Kind::Disk(disk) = &mut live.nodes[0].kind else { panic!() };
                disk.table = Table::None;
            },
            &[
                "disk S1 (/dev/sda): table.alignment was 2048, is none",
                "disk S1 (/dev/sda): table.boot code was false, is none",
                "disk S1 (/dev/sda): table.capacity was 128, is none",
                "disk S1 (/dev/sda): table.first usable was 34, is none",
                "disk S1 (/dev/sda): table.guid was AAAAAAAA-2222-3333-4444-555555555555, is none",
                "disk S1 (/dev/sda): table.label was gpt, is none",
                "disk S1 (/dev/sda): table.last usable was 2097118, is none",
            ],
        ),
        (
            |live| {
                rename(live, "S2");
                let Kind::Disk(disk) = &mut live.nodes[0].kind else { panic!() };
                disk.serial = Some("S2".into());
            },
            &[
                "disk S1 (/dev/sda) is gone",
                "partition AAAAAAAA-2222-3333-4444-555555555555 (/dev/sda1): what it lies on was disk S1, is disk S2",
                "disk S2 (/dev/sda) is new",
            ],
        ),
        (
            |live| {
                live.nodes.push(node("raw:sdb", &[], "/dev/sdb", ext("u-new")));
                let mount = Mount { node: NodeId("raw:sdb".into()), path: "/srv".into(), ..live.mounts[0].clone() };
                live.mounts.push(mount);
            },
            &["ext4 sdb (/dev/sdb) is new", "mount /srv is new"],
        ),
    ];
    for (change, wanted) in table {
        let said = after(change);
        assert_eq!(said, wanted);
    }
}

#[test]
fn a_layout_that_was_written_and_read_is_the_same() {
    let text = serde_json::to_string(&layout()).unwrap();
    assert_eq!(compare(&layout(), &serde_json::from_str(&text).unwrap()), []);
}
