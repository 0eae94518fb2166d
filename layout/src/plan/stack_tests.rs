//! Plans over arrays and volume groups: a hypervisor's layout, on disks of other sizes.

use super::tests::{captured, disk, ext, mount, node, part, present};
use super::*;
use crate::disk::Table;
use crate::gpt::{BIOS_BOOT, ESP, GptTable};
use crate::lvm::VolumeGroup;
use crate::units::Guid;

const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
const RAID: &str = "A19D880F-05FC-4D3B-A006-743F0F84911E";
const EXTENT: Bytes = Bytes(4 << 20);

fn table(mib: u64) -> Table {
    Table::Gpt(GptTable {
        guid: Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap(),
        first_usable: 34,
        last_usable: 2048 * mib - 34,
        capacity: 128,
        alignment: 2048,
        boot_code: true,
        active: false,
    })
}

fn volume(name: &str, form: Form) -> Kind {
    Kind::Lv(LogicalVolume {
        uuid: name.to_owned(),
        group: "pve".to_owned(),
        name: name.to_owned(),
        form,
        writable: true,
        tags: Vec::new(),
    })
}

fn pool() -> Form {
    Form::ThinPool { chunk: Bytes(65536), metadata: Bytes(16 << 20), zero: true, discards: "passdown".to_owned() }
}

/// Proxmox's own layout on a disk of 8 GiB: BIOS boot, ESP, and a group with swap, root and a thin pool that fills it.
fn hypervisor(data: Option<Form>) -> Layout {
    let used = 128 + 1024 + if data.is_some() { 256 + 8 } else { 0 };
    let group = VolumeGroup {
        uuid: "g".to_owned(),
        name: "pve".to_owned(),
        extent: EXTENT,
        free: 1700 - used,
        tags: Vec::new(),
    };
    let pv = PhysicalVolume { uuid: "p".to_owned(), data_start: Bytes::MIB, extents: 1700 };
    let mut nodes = vec![
        node("disk", &[], 8192, Kind::Disk(disk("OLD", table(8192)))),
        node("bios", &["disk"], 1, part(1, BIOS_BOOT, 1, 1)),
        node("esp-part", &["disk"], 1024, part(2, ESP, 2, 1024)),
        node("lvm-part", &["disk"], 6900, part(3, LVM, 1026, 6900)),
        node("pv", &["lvm-part"], 6900, Kind::Pv(pv)),
        node("vg", &["pv"], 6800, Kind::Vg(group)),
        node("swap-lv", &["vg"], 512, volume("swap", Form::Linear)),
        node("root-lv", &["vg"], 4096, volume("root", Form::Linear)),
        node("root", &["root-lv"], 4096, ext("u-root")),
    ];
    if let Some(form) = data {
        nodes.push(node("data-lv", &["vg"], 1024, volume("data", form)));
        nodes.push(node("vm-lv", &["data-lv"], 2048, volume("vm-100-disk-0", Form::Thin { pool: "data".to_owned() })));
    }
    Layout { nodes, mounts: vec![mount("root", "/", "ext4")] }
}

fn steps(layout: &Layout, mib: u64) -> Vec<String> {
    let plan = plan(layout, &captured, &[present("/dev/vda", "NEW", mib)], &[]).unwrap();
    plan.before.iter().map(Step::to_string).collect()
}

#[test]
fn a_hypervisors_group_comes_back_with_its_pool_made_anew() {
    let steps = steps(&hypervisor(Some(pool())), 8192);
    assert_eq!(
        steps[3..],
        [
            "make LVM physical volume p on /dev/vda3",
            "make volume group pve over /dev/vda3",
            "make volume /dev/mapper/pve-swap (512 MiB)",
            "make volume /dev/mapper/pve-root (4.00 GiB)",
            "make ext4 u-root on /dev/mapper/pve-root (4.00 GiB)",
            "make volume /dev/mapper/pve-data (1.00 GiB)",
            "make volume /dev/mapper/pve-vm--100--disk--0 (2.00 GiB)",
            "mount /dev/mapper/pve-root at /",
        ]
    );
}

#[test]
fn on_a_larger_disk_the_pool_grows_or_the_root_where_there_is_none() {
    let with_pool = steps(&hypervisor(Some(pool())), 16384).join("\n");
    assert!(with_pool.contains("pve-root (4.00 GiB)"), "{with_pool}");
    assert!(with_pool.contains("pve-data (9.36 GiB)"), "{with_pool}");
    let without = steps(&hypervisor(None), 16384).join("\n");
    assert!(without.contains("pve-root (12.4 GiB)"), "{without}");
}

#[test]
fn on_a_smaller_disk_free_room_goes_first_and_then_the_filesystem_shrinks_to_its_content() {
    let text = steps(&hypervisor(None), 6144).join("\n");
    assert!(text.contains("pve-root (4.00 GiB)"), "{text}");
    let text = steps(&hypervisor(None), 3072).join("\n");
    assert!(text.contains("pve-root (1.") || text.contains("pve-root (2."), "{text}");
    let error = plan(&hypervisor(None), &captured, &[present("/dev/vda", "NEW", 1500)], &[]).unwrap_err();
    assert!(error.to_string().contains("bytes) are missing"), "{error}");
}

#[test]
fn the_plan_shows_what_is_stacked_on_a_partition() {
    let plan = plan(&hypervisor(Some(pool())), &captured, &[present("/dev/vda", "NEW", 8192)], &[]).unwrap();
    let text = plan.to_string();
    assert!(text.contains("LVM (group pve (volume swap volume root (ext4 u-root at /) volume data"), "{text}");
}

#[test]
fn snapshots_of_volumes_are_named_and_not_made() {
    let mut layout = hypervisor(None);
    layout.nodes.push(node("snap", &["vg"], 64, volume("before", Form::Snapshot { origin: "root".to_owned() })));
    let plan = plan(&layout, &captured, &[present("/dev/vda", "NEW", 8192)], &[]).unwrap();
    assert!(!plan.before.iter().any(|step| step.to_string().contains("pve-before")));
    assert!(plan.notes.iter().any(|note| note.contains("snapshot of root")), "{:?}", plan.notes);
}

/// Two disks that carry a mirrored ESP and a mirrored root.
fn mirror() -> Layout {
    let array = |name: &str, metadata: &str| {
        Kind::Array(Array {
            uuid: format!("{name}:0:0:0"),
            name: format!("host:{name}"),
            level: "raid1".to_owned(),
            metadata: metadata.to_owned(),
            devices: 2,
            chunk: Bytes(0),
            layout: 0,
            members: Vec::new(),
            spares: Vec::new(),
        })
    };
    let vfat = Vfat {
        serial: "ABCD-1234".to_owned(),
        label: String::new(),
        fat_bits: 32,
        sector_size: 512,
        cluster_size: 4096,
        used: Bytes(0),
    };
    let mut nodes = Vec::new();
    for side in ["a", "b"] {
        nodes.push(node(&format!("disk-{side}"), &[], 2048, Kind::Disk(disk(&format!("OLD-{side}"), table(2048)))));
        nodes.push(node(&format!("esp-{side}"), &[&format!("disk-{side}")], 100, part(1, ESP, 1, 100)));
        nodes.push(node(&format!("root-{side}"), &[&format!("disk-{side}")], 1900, part(2, RAID, 101, 1900)));
    }
    nodes.push(node("md-esp", &["esp-a", "esp-b"], 99, array("esp", "1.0")));
    nodes.push(node("esp", &["md-esp"], 99, Kind::Vfat(vfat)));
    nodes.push(node("md-root", &["root-a", "root-b"], 1899, array("root", "1.2")));
    nodes.push(node("root", &["md-root"], 1899, ext("u-root")));
    Layout { nodes, mounts: vec![mount("root", "/", "ext4"), mount("esp", "/boot/efi", "vfat")] }
}

#[test]
fn a_mirror_is_made_over_both_disks_and_its_esp_last() {
    let present = [present("/dev/vda", "OLD-a", 2048), present("/dev/vdb", "OLD-b", 2048)];
    let plan = plan(&mirror(), &captured, &present, &[]).unwrap();
    let before: Vec<String> = plan.before.iter().map(Step::to_string).collect();
    let made: Vec<&str> = before.iter().map(String::as_str).filter(|step| step.starts_with("make")).collect();
    assert_eq!(
        made,
        ["make raid1 /dev/md/root over /dev/vda2, /dev/vdb2", "make ext4 u-root on /dev/md/root (1.85 GiB)"]
    );
    let after: Vec<String> = plan.after.iter().map(Step::to_string).collect();
    assert_eq!(
        after,
        [
            "make raid1 /dev/md/esp over /dev/vda1, /dev/vdb1",
            "make FAT ABCD-1234 on /dev/md/esp",
            "mount /dev/md/esp at /boot/efi"
        ]
    );
    assert!(required_tools(&mirror()).contains(&"mdadm"));
}

#[test]
fn the_ends_of_old_and_new_partitions_are_cleared_of_raid_metadata() {
    let mut present = [present("/dev/vda", "OLD-a", 2048), present("/dev/vdb", "OLD-b", 2048)];
    present[0].holds = vec![crate::matching::Held {
        path: "/dev/vda1".to_owned(),
        start: Bytes::MIB,
        size: Bytes(700 << 20),
        what: "linux_raid_member".to_owned(),
    }];
    let plan = plan(&mirror(), &captured, &present, &[]).unwrap();
    let ends = plan.before.iter().filter_map(|step| match step {
        Step::Clear { ends, .. } => Some(ends),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    let mib = |mib: u64| Bytes(mib << 20);
    assert_eq!(*ends[0], [mib(101), mib(701), mib(2001)]);
    assert_eq!(*ends[1], [mib(101), mib(2001)]);
}

#[test]
fn a_mirror_whose_place_was_empty_comes_back_with_an_empty_place() {
    let mut layout = mirror();
    let root = layout.nodes.iter_mut().find(|node| node.id.0 == "md-root").unwrap();
    root.on.pop();
    let present = [present("/dev/vda", "OLD-a", 2048), present("/dev/vdb", "OLD-b", 2048)];
    let plan = plan(&layout, &captured, &present, &[]).unwrap();
    let text: Vec<String> = plan.before.iter().map(Step::to_string).collect();
    assert!(text.contains(&"make raid1 /dev/md/root over /dev/vda2, missing".to_owned()), "{text:?}");
}

#[test]
fn a_mirror_survives_a_disk_and_a_stripe_does_not() {
    let mut layout = mirror();
    let gone = [NodeId("disk-b".to_owned())];
    let root = NodeId("root".to_owned());
    assert!(layout.survives(&root, &gone));
    assert!(!layout.survives(&root, &[gone[0].clone(), NodeId("disk-a".to_owned())]));
    let array = layout.nodes.iter_mut().find(|node| node.id.0 == "md-root").unwrap();
    if let Kind::Array(array) = &mut array.kind {
        array.level = "raid0".to_owned();
    }
    assert!(!layout.survives(&root, &gone));
}

#[test]
fn a_mirrored_host_comes_back_onto_one_disk_when_asked() {
    let present = [present("/dev/vda", "NEW", 2048)];
    let choices = [
        Choice { target: "NEW".to_owned(), recorded: Some("OLD-a".to_owned()) },
        Choice { target: NO_DISK.to_owned(), recorded: Some("OLD-b".to_owned()) },
    ];
    let found = plan(&mirror(), &captured, &present, &choices).unwrap();
    let steps: Vec<String> = found.before.iter().chain(&found.after).map(Step::to_string).collect();
    for step in ["make raid1 /dev/md/root over /dev/vda2, missing", "make raid1 /dev/md/esp over /dev/vda1, missing"] {
        assert!(steps.contains(&step.to_owned()), "{steps:?}");
    }
    let text = found.to_string();
    assert!(text.contains("/dev/md/root (raid1) comes back degraded, without 1 of its 2 members"), "{text}");
    assert!(found.without.is_empty(), "nothing is left out: {:?}", found.without);

    let mut stripes = mirror();
    for node in &mut stripes.nodes {
        if let Kind::Array(array) = &mut node.kind {
            array.level = "raid0".to_owned();
        }
    }
    let refused = plan(&stripes, &captured, &present, &choices).unwrap_err();
    assert!(matches!(refused, PlanError::RootLeftOut(_)), "{refused}");
}

#[test]
fn a_graph_with_a_circle_has_an_end() {
    let mut layout = hypervisor(None);
    layout.nodes[4].on = vec![NodeId("vg".to_owned())];
    let _ = plan(&layout, &captured, &[present("/dev/vda", "NEW", 8192)], &[]);
}
