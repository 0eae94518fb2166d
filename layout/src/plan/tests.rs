//! Plans: what is destroyed, what is made, and what the tired admin reads of it.

use super::*;
use crate::disk::{Disk, Table};
use crate::gpt::{BIOS_BOOT, ESP, GptTable, Partition};
use crate::graph::Opaque;
use crate::matching::{Barred, Held};
use crate::units::Guid;

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const MIB: u64 = 1 << 20;

pub(super) fn disk(serial: &str, table: Table) -> Disk {
    Disk {
        model: "Model".to_owned(),
        serial: Some(serial.to_owned()),
        wwn: None,
        transport: Some("sata".to_owned()),
        logical_sector: 512,
        physical_sector: 512,
        removable: false,
        rotational: false,
        table,
    }
}

pub(super) fn node(id: &str, on: &[&str], mib: u64, kind: Kind) -> Node {
    Node {
        id: NodeId(id.to_owned()),
        on: on.iter().map(|id| NodeId((*id).to_owned())).collect(),
        path: format!("/dev/{id}"),
        size: Bytes(mib * MIB),
        kind,
    }
}

pub(super) fn part(number: u32, type_guid: &str, start: u64, mib: u64) -> Kind {
    let guid = Guid::new("11111111-2222-3333-4444-555555555555").unwrap();
    Kind::Partition(Partition {
        number,
        type_guid: Guid::new(type_guid).unwrap(),
        guid,
        name: String::new(),
        attributes: 0,
        first_lba: start * 2048,
        sectors: mib * 2048,
    })
}

pub(super) fn ext(uuid: &str) -> Kind {
    Kind::Ext(Ext {
        fstype: "ext4".to_owned(),
        uuid: uuid.to_owned(),
        label: String::new(),
        features: vec!["extent".to_owned()],
        block_size: 4096,
        inode_size: 256,
        inodes: 100,
        reserved_blocks: 0,
        blocks: 1000,
        default_mount_options: Vec::new(),
        used: Bytes(MIB),
        details: crate::ext::Details::default(),
    })
}

pub(super) fn mount(node: &str, path: &str, fstype: &str) -> Mount {
    Mount {
        node: NodeId(node.to_owned()),
        path: path.to_owned(),
        fstype: fstype.to_owned(),
        options: "rw".to_owned(),
        subvolume: None,
    }
}

/// ESP, BIOS boot, root, home and swap on one disk; a second disk that nothing is mounted from.
fn host() -> Layout {
    let guid = Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap();
    let table = GptTable {
        guid,
        first_usable: 34,
        last_usable: 2048 * 1024 - 34,
        capacity: 128,
        alignment: 2048,
        boot_code: true,
        active: false,
    };
    let vfat = Vfat {
        serial: "ABCD-1234".to_owned(),
        label: String::new(),
        fat_bits: 32,
        sector_size: 512,
        cluster_size: 4096,
        used: Bytes(0),
    };
    let swap = Swap { uuid: "u-swap".to_owned(), label: "s".to_owned() };
    Layout {
        nodes: vec![
            node("old", &[], 1024, Kind::Disk(disk("OLD", Table::Gpt(table)))),
            node("old1", &["old"], 1, part(1, BIOS_BOOT, 1, 1)),
            node("old2", &["old"], 100, part(2, ESP, 2, 100)),
            node("esp", &["old2"], 100, Kind::Vfat(vfat)),
            node("old3", &["old"], 200, part(3, LINUX, 102, 200)),
            node("swap", &["old3"], 200, Kind::Swap(swap)),
            node("old4", &["old"], 300, part(4, LINUX, 302, 300)),
            node("home", &["old4"], 300, ext("u-home")),
            node("old5", &["old"], 400, part(5, LINUX, 602, 400)),
            node("root", &["old5"], 400, ext("u-root")),
            node("data", &[], 5000, Kind::Disk(disk("DATA", Table::None))),
        ],
        mounts: vec![mount("root", "/", "ext4"), mount("home", "/home", "ext4"), mount("esp", "/boot/efi", "vfat")],
    }
}

/// Everything on the first disk was captured.
pub(super) fn captured(id: &NodeId) -> bool {
    ["esp", "root", "home", "swap"].contains(&id.0.as_str())
}

pub(super) fn present(path: &str, serial: &str, mib: u64) -> Present {
    Present {
        path: path.to_owned(),
        size: Bytes(mib * MIB),
        disk: disk(serial, Table::None),
        holds: Vec::new(),
        barred: None,
    }
}

fn target() -> Present {
    let held = Held {
        path: "/dev/nvme0n1p1".to_owned(),
        start: Bytes(MIB),
        size: Bytes(700 * MIB),
        what: "ntfs \"Windows\"".to_owned(),
    };
    Present { holds: vec![held], ..present("/dev/nvme0n1", "NEW", 2048) }
}

fn stick() -> Present {
    Present { barred: Some(Barred::Stick), ..present("/dev/sda", "STICK", 1024) }
}

#[test]
fn steps_come_in_an_order_that_leaves_the_disk_unbootable_to_the_end() {
    let plan = plan(&host(), &captured, &[stick(), target()], &[]).unwrap();
    let before: Vec<String> = plan.before.iter().map(Step::to_string).collect();
    assert_eq!(
        before,
        [
            "save the old boot code, tables and headers of /dev/nvme0n1 (12.0 MiB)",
            "clear boot code and old signatures on /dev/nvme0n1",
            "write the partition table of /dev/nvme0n1 (5 partitions)",
            "make swap u-swap on /dev/nvme0n1p3",
            "make ext4 u-home on /dev/nvme0n1p4 (300 MiB)",
            "make ext4 u-root on /dev/nvme0n1p5 (1.41 GiB)",
            "mount /dev/nvme0n1p5 at /",
            "mount /dev/nvme0n1p4 at /home",
        ]
    );
    let after: Vec<String> = plan.after.iter().map(Step::to_string).collect();
    assert_eq!(after, ["make FAT ABCD-1234 on /dev/nvme0n1p2", "mount /dev/nvme0n1p2 at /boot/efi"]);
}

#[test]
fn what_was_on_the_disk_and_boot_partitions_are_cleared() {
    let plan = plan(&host(), &captured, &[target()], &[]).unwrap();
    let Step::Clear { starts, whole, .. } = &plan.before[1] else { panic!("{:?}", plan.before[1]) };
    assert_eq!(*starts, [1, 2, 102, 302, 602].map(|mib| Bytes(mib * MIB)));
    assert_eq!(*whole, [(Bytes(MIB), Bytes(MIB))]);
}

#[test]
fn the_plan_prints_what_is_destroyed_what_is_made_and_why() {
    let text = plan(&host(), &captured, &[stick(), target()], &[]).unwrap().to_string();
    assert_eq!(
        text,
        "           recorded                       HERE, AND OVERWRITTEN
  disk     /dev/old                       /dev/nvme0n1
  serial   OLD                            NEW
  model    Model                          Model
  size     1.00 GiB                       2.00 GiB
  Chosen because it is the only disk that can be a target.
  DESTROYED is what it holds now:
    /dev/nvme0n1p1     700 MiB  ntfs \"Windows\"
  MADE is:
    part  recorded          now  content
    1     1.00 MiB     1.00 MiB  BIOS boot
    2      100 MiB      100 MiB  vfat ABCD-1234 at /boot/efi
    3      200 MiB      200 MiB  swap u-swap \"s\"
    4      300 MiB      300 MiB  ext4 u-home at /home
    5      400 MiB ->  1.41 GiB  ext4 u-root at /
Not touched, and set read-only: /dev/sda (Model, serial STICK, 1.00 GiB): the stick that was booted
Note: /dev/data (4.88 GiB) is not made again: nothing on it was captured
"
    );
}

#[test]
fn a_plan_survives_json() {
    let plan = plan(&host(), &captured, &[stick(), target()], &[]).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn a_disk_with_data_can_be_left_out_and_the_disk_with_root_cannot() {
    let mut layout = host();
    layout.nodes.push(node("srv", &["data"], 100, ext("u-srv")));
    layout.mounts.push(mount("srv", "/srv", "ext4"));
    let left = |serial: &str| [Choice { target: NO_DISK.to_owned(), recorded: Some(serial.to_owned()) }];
    let all = |_: &NodeId| true;
    assert!(matches!(
        plan(&layout, &all, &[target()], &[]),
        Err(PlanError::Match(MatchError::Ambiguous { .. } | MatchError::NoCandidate { .. }))
    ));
    let found = plan(&layout, &all, &[target()], &left("DATA")).unwrap();
    assert_eq!((found.disks.len(), found.without.as_slice()), (1, ["/srv".to_owned()].as_slice()));
    assert!(found.notes.contains(&"/srv does not come back: its disk was left out".to_owned()), "{:?}", found.notes);
    assert!(!found.before.iter().any(|step| matches!(step, Step::Mount { path, .. } if path == "/srv")));
    let mut nested = layout.clone();
    nested.mounts[1].path = "/srv/home".to_owned();
    let error = plan(&nested, &all, &[target()], &left("DATA")).unwrap_err().to_string();
    assert!(error.contains("/srv/home lies below /srv"), "{error}");
    let error = plan(&layout, &all, &[target()], &left("OLD")).unwrap_err().to_string();
    assert!(error.contains("cannot be left out"), "{error}");
    let error = plan(&layout, &all, &[target()], &left("NEVER")).unwrap_err().to_string();
    assert!(error.contains("no disk \"NEVER\""), "{error}");
}

#[test]
fn what_is_overwritten_is_saved_first() {
    let found = plan(&host(), &captured, &[target()], &[]).unwrap();
    let Step::Save { regions, .. } = &found.before[0] else { panic!("{:?}", found.before[0]) };
    let Step::Clear { starts, whole, .. } = &found.before[1] else { panic!("{:?}", found.before[1]) };
    let covered = |start: Bytes, length: Bytes| {
        regions.iter().any(|(from, long)| from.0 <= start.0 && start.0 + length.0 <= from.0 + long.0)
    };
    assert!(
        starts.iter().all(|start| covered(*start, EDGE))
            && whole.iter().all(|(start, length)| covered(*start, *length))
    );
    // What lies there now has 700 MiB: its last MiB may hold a RAID superblock.
    let held = &found.disks[0].target.holds[0];
    assert!(covered(Bytes(held.start.0 + held.size.0 - EDGE.0), EDGE), "{regions:?}");
}

#[test]
fn a_layout_without_root_has_no_plan() {
    let mut layout = host();
    layout.mounts.remove(0);
    assert!(matches!(plan(&layout, &captured, &[target()], &[]), Err(PlanError::NoRoot)));
}

#[test]
fn a_disk_that_is_too_small_is_named_with_the_bytes_missing() {
    let error = plan(&host(), &captured, &[present("/dev/vda", "NEW", 650)], &[]).unwrap_err().to_string();
    assert!(error.starts_with("/dev/vda (Model, serial NEW, 650 MiB) cannot take the place of /dev/old"), "{error}");
    assert!(error.contains("bytes) are missing"), "{error}");
}

#[test]
fn what_was_not_captured_is_made_empty_not_mounted_and_named() {
    let restores = |id: &NodeId| captured(id) && id.0 != "home";
    let plan = plan(&host(), &restores, &[target()], &[]).unwrap();
    assert!(
        plan.notes.contains(&"/dev/home (300 MiB) comes back empty: it was not captured".to_owned()),
        "{:?}",
        plan.notes
    );
    assert!(!plan.before.iter().any(|step| matches!(step, Step::Mount { path, .. } if path == "/home")));
}

#[test]
fn what_does_not_come_back_is_named() {
    let mut layout = host();
    layout.nodes[7].kind = Kind::Opaque(Opaque { what: "crypto_LUKS".to_owned() });
    layout.mounts.retain(|mount| mount.path != "/home");
    let plan = plan(&layout, &captured, &[target()], &[]).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("does not restore crypto_LUKS")), "{:?}", plan.notes);
}

#[test]
fn tools_are_named_once_and_only_for_what_is_there() {
    let tools = required_tools(&host());
    assert_eq!(tools, ["e2fsck", "fsck.fat", "mke2fs", "mkfs.fat", "mkswap", "resize2fs", "tune2fs"]);
    assert!(required_tools(&Layout::default()).is_empty());
}

#[test]
fn larger_sectors_make_larger_sectors_of_fat_and_are_no_place_for_grub_by_bios() {
    let mut large = present("/dev/vda", "NEW", 1100);
    large.disk.logical_sector = 4096;
    let found = plan(&host(), &captured, &[large], &[]).unwrap();
    assert!(!found.disks[0].starts_by_bios());
    let note = "/dev/vda has sectors of 4096 bytes: it starts by UEFI only, and GRUB for BIOS is not put on it";
    assert!(found.notes.contains(&note.to_owned()), "{:?}", found.notes);
    assert!(matches!(found.after[0], Step::MakeVfat { logical_sector: 4096, .. }), "{:?}", found.after);
    let small = plan(&host(), &captured, &[present("/dev/vda", "NEW", 1100)], &[]).unwrap();
    assert!(small.disks[0].starts_by_bios() && !small.notes.iter().any(|note| note.contains("UEFI only")));
}
