//! Plans of hosts with btrfs, DOS tables and disks without a table.

use super::tests::{captured, disk, ext, mount, node, part, present};
use super::*;
use crate::btrfs::Subvolume;
use crate::disk::Table;
use crate::dos::{DosEntry, DosTable};

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

fn dos() -> Table {
    let entry = |number| DosEntry { number, kind: 0x83, active: number == 1, described_at: None };
    Table::Dos(DosTable {
        signature: 0x1a2b_3c4d,
        alignment: 2048,
        boot_code: true,
        entries: vec![entry(1), entry(2)],
        extended: None,
    })
}

fn btrfs() -> Btrfs {
    let mut found = Btrfs::parse(include_bytes!("../../fixtures/btrfs/plain.superblock")).unwrap().0;
    found.subvolumes = [("@", false), ("@/inner", true), ("@home", false)]
        .map(|(path, read_only)| Subvolume {
            path: path.to_owned(),
            uuid: String::new(),
            origin: None,
            read_only,
            bare: false,
        })
        .into();
    found.default = "@".to_owned();
    found
}

fn shows(subvolume: &str, path: &str) -> Mount {
    Mount { subvolume: Some(subvolume.to_owned()), ..mount("root", path, "btrfs") }
}

/// A DOS table with btrfs on the first partition and an ext4 below it; a second disk that an ext4 fills.
fn host() -> Layout {
    Layout {
        nodes: vec![
            node("old", &[], 2048, Kind::Disk(disk("OLD", dos()))),
            node("old1", &["old"], 1500, part(1, LINUX, 1, 1500)),
            node("root", &["old1"], 1500, Kind::Btrfs(btrfs())),
            node("old2", &["old"], 500, part(2, LINUX, 1501, 500)),
            node("swap", &["old2"], 500, ext("u-srv")),
            node("bare", &[], 800, Kind::Disk(disk("BARE", Table::None))),
            node("home", &["bare"], 800, ext("u-bare")),
        ],
        mounts: vec![
            shows("@", "/"),
            shows("@home", "/home"),
            mount("swap", "/home/data", "ext4"),
            mount("home", "/srv", "ext4"),
        ],
    }
}

fn plan_onto(present: &[Present]) -> Plan {
    plan(&host(), &captured, present, &[]).unwrap()
}

fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(Step::to_string).collect()
}

#[test]
fn a_btrfs_is_made_with_its_subvolumes_and_locked_when_all_is_done() {
    let plan = plan_onto(&[present("/dev/vda", "OLD", 2048), present("/dev/vdb", "BARE", 800)]);
    assert_eq!(
        words(&plan.before),
        [
            "save the old boot code, tables and headers of /dev/vda (6.00 MiB)",
            "save the old boot code, tables and headers of /dev/vdb (2.00 MiB)",
            "clear boot code and old signatures on /dev/vda",
            "write the DOS partition table of /dev/vda (2 partitions)",
            "clear boot code and old signatures on /dev/vdb",
            "make btrfs 66666666-6666-4666-8666-666666666666 on /dev/vda1, with 3 subvolumes",
            "make ext4 u-srv on /dev/vda2 (500 MiB)",
            "make ext4 u-bare on /dev/vdb (800 MiB)",
            "mount @ of /dev/vda1 at /",
            "mount /dev/vdb at /srv",
            "mount @home of /dev/vda1 at /home",
            "mount /dev/vda2 at /home/data",
        ]
    );
    assert!(plan.after.is_empty());
    assert_eq!(words(&plan.last), ["make @/inner of /dev/vda1 read-only"]);
    assert_eq!(plan.disks[0].dos.as_ref().map(|table| table.signature), Some(0x1a2b_3c4d));
}

#[test]
fn what_fills_a_disk_fills_the_larger_one_and_the_plan_says_so() {
    let plan = plan_onto(&[present("/dev/vda", "OLD", 2048), present("/dev/vdb", "BARE", 1600)]);
    let made = plan.before.iter().find(|step| matches!(step, Step::MakeExt { ext, .. } if ext.uuid == "u-bare"));
    assert!(matches!(made, Some(Step::MakeExt { old, new, .. }) if new.0 == 2 * old.0), "{made:?}");
    let text = plan.to_string();
    assert!(text.contains("all"), "{text}");
    assert!(text.contains("ext4 u-bare at /srv"), "{text}");
}

#[test]
fn a_dos_table_on_a_disk_beyond_its_reach_is_named() {
    let plan = plan_onto(&[present("/dev/vda", "OLD", 3 << 20), present("/dev/vdb", "BARE", 800)]);
    assert!(plan.notes.iter().any(|note| note.contains("does not reach")), "{:?}", plan.notes);
}

#[test]
fn several_devices_are_made_one_filesystem_in_the_order_of_their_numbers() {
    let mut layout = host();
    layout.nodes[2].on = vec![NodeId("old2".into()), NodeId("old1".into())];
    layout.nodes.swap(2, 3);
    layout.nodes.retain(|node| node.id.0 != "swap");
    layout.mounts.retain(|mount| mount.node.0 != "swap");
    let present = [present("/dev/nvme0n1", "OLD", 2048), present("/dev/vdb", "BARE", 800)];
    let plan = plan(&layout, &captured, &present, &[]).unwrap();
    let made = plan.before.iter().find(|step| matches!(step, Step::MakeBtrfs { .. })).unwrap();
    let text = made.to_string();
    assert!(text.contains("on /dev/nvme0n1p2, /dev/nvme0n1p1, with"), "{text}");
}

#[test]
fn a_plan_with_subvolumes_reads_back_as_it_was_written() {
    let plan = plan_onto(&[present("/dev/vda", "OLD", 2048), present("/dev/vdb", "BARE", 800)]);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    assert!(required_tools(&host()).contains(&"mkfs.btrfs"));
}
