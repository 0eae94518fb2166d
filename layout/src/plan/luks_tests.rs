//! Plans over encrypted containers: LVM on LUKS, LUKS on LVM, other sizes, and what cannot come back.

use super::tests::{captured, disk, ext, mount, node, part, present};
use super::*;
use crate::disk::Table;
use crate::gpt::GptTable;
use crate::graph::Volatile;
use crate::lvm::VolumeGroup;
use crate::units::Guid;

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const EXTENT: Bytes = Bytes(4 << 20);

fn luks(uuid: &str) -> Luks {
    Luks { uuid: uuid.to_owned(), ..Luks::parse(include_str!("../../fixtures/stacks/luks2.dump")).unwrap() }
}

fn host(mib: u64, above: Vec<Node>) -> Layout {
    let table = GptTable {
        guid: Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap(),
        first_usable: 34,
        last_usable: 2048 * mib - 34,
        capacity: 128,
        alignment: 2048,
        boot_code: true,
        active: false,
    };
    let mut nodes = vec![node("disk", &[], mib, Kind::Disk(disk("OLD", Table::Gpt(table))))];
    nodes.extend(above);
    Layout { nodes, mounts: vec![mount("root", "/", "ext4")] }
}

/// One partition with a container of 16 MiB header, a group of 4 MiB extents in it, and the root on a volume.
fn lvm_in_luks() -> Layout {
    let group = VolumeGroup { uuid: "g".to_owned(), name: "vg".to_owned(), extent: EXTENT, free: 0, tags: Vec::new() };
    let pv = PhysicalVolume { uuid: "p".to_owned(), data_start: Bytes::MIB, extents: 495 };
    let volume = LogicalVolume {
        uuid: "l".to_owned(),
        group: "vg".to_owned(),
        name: "root".to_owned(),
        form: Form::Linear,
        writable: true,
        tags: Vec::new(),
    };
    host(
        2048,
        vec![
            node("part", &["disk"], 2000, part(1, LINUX, 1, 2000)),
            node("luks", &["part"], 1984, Kind::Luks(luks("aaaa"))),
            node("pv", &["luks"], 1984, Kind::Pv(pv)),
            node("vg", &["pv"], 1980, Kind::Vg(group)),
            node("lv", &["vg"], 1980, Kind::Lv(volume)),
            node("root", &["lv"], 1980, ext("u-root")),
        ],
    )
}

fn steps(layout: &Layout, mib: u64) -> Vec<String> {
    let plan = plan(layout, &captured, &[present("/dev/vda", "NEW", mib)], &[]).unwrap();
    plan.before.iter().map(Step::to_string).collect()
}

#[test]
fn a_container_is_opened_before_what_lies_in_it_is_made() {
    assert_eq!(
        steps(&lvm_in_luks(), 2048)[3..],
        [
            "write the saved LUKS2 header aaaa to /dev/vda1 and open it",
            "make LVM physical volume p on /dev/mapper/lifeboat-aaaa",
            "make volume group vg over /dev/mapper/lifeboat-aaaa",
            "make volume /dev/mapper/vg-root (1.93 GiB)",
            "make ext4 u-root on /dev/mapper/vg-root (1.93 GiB)",
            "mount /dev/mapper/vg-root at /"
        ]
    );
    assert!(required_tools(&lvm_in_luks()).contains(&"cryptsetup"));
}

#[test]
fn the_header_is_taken_off_the_room_on_disks_of_other_sizes() {
    // 4,096 MiB less table, header and LVM's own: 1,019 extents of 4 MiB.
    let larger = steps(&lvm_in_luks(), 4096).join("\n");
    assert!(larger.contains("vg-root (3.98 GiB)"), "{larger}");
    let smaller = steps(&lvm_in_luks(), 1024).join("\n");
    assert!(smaller.contains("vg-root (1004 MiB)"), "{smaller}");
    let error = plan(&lvm_in_luks(), &captured, &[present("/dev/vda", "NEW", 64)], &[]).unwrap_err();
    assert!(error.to_string().contains("bytes) are missing"), "{error}");
}

#[test]
fn a_container_on_a_volume_and_a_filesystem_in_it_fit_each_other() {
    let mut layout = lvm_in_luks();
    // The same nodes the other way round: the container lies on the volume.
    layout.nodes.retain(|node| !["luks", "root"].contains(&node.id.0.as_str()));
    layout.nodes[2].on = vec![NodeId("part".to_owned())];
    layout.nodes.push(node("luks", &["lv"], 1964, Kind::Luks(luks("bbbb"))));
    layout.nodes.push(node("root", &["luks"], 1964, ext("u-root")));
    let text = steps(&layout, 1024).join("\n");
    assert!(text.contains("write the saved LUKS2 header bbbb to /dev/mapper/vg-root and open it"), "{text}");
    let plan = plan(&layout, &captured, &[present("/dev/vda", "NEW", 1024)], &[]).unwrap();
    let size = |wanted: &str| {
        plan.before.iter().find_map(|step| match step {
            Step::MakeExt { new, .. } if wanted == "ext" => Some(new.0),
            Step::MakeLv { size, .. } if wanted == "lv" => Some(size.0),
            _ => None,
        })
    };
    assert_eq!(size("ext").unwrap() + (16 << 20), size("lv").unwrap());
}

fn notes(layout: &Layout) -> String {
    plan(layout, &captured, &[present("/dev/vda", "NEW", 2048)], &[]).unwrap().notes.join("\n")
}

#[test]
fn what_cannot_come_back_is_said_and_leaves_an_empty_partition() {
    let with = |change: &dyn Fn(&mut Luks)| {
        let mut container = luks("cccc");
        change(&mut container);
        host(
            2048,
            vec![
                node("root-part", &["disk"], 1000, part(1, LINUX, 1, 1000)),
                node("root", &["root-part"], 1000, ext("u-root")),
                node("part", &["disk"], 1000, part(2, LINUX, 1001, 1000)),
                node("luks", &["part"], 984, Kind::Luks(container)),
                node("home", &["luks"], 984, ext("u-home")),
            ],
        )
    };
    let fixed = with(&|luks| luks.hindrance = Some("its data segment has the fixed length 1".to_owned()));
    assert!(notes(&fixed).contains("comes back as an empty partition: its data segment has the fixed length"));
    assert!(!steps(&fixed, 2048).join("\n").contains("u-home"));
    let tpm = with(&|luks| luks.tokens.push("systemd-tpm2".to_owned()));
    assert!(notes(&tpm).contains("elsewhere a passphrase opens it"), "{}", notes(&tpm));
    let mut closed = with(&|_| ());
    closed.nodes.pop();
    assert!(notes(&closed).contains("was not open when it was captured"));
    assert!(
        !steps(&closed, 2048).iter().skip(1).any(|step| step.contains("header")),
        "only what is overwritten has one"
    );
}

#[test]
fn swap_with_a_key_of_the_start_is_left_to_the_restored_system() {
    let layout = host(
        2048,
        vec![
            node("root-part", &["disk"], 1000, part(1, LINUX, 1, 1000)),
            node("root", &["root-part"], 1000, ext("u-root")),
            node("swap-part", &["disk"], 1000, part(2, LINUX, 1001, 1000)),
            node("swap", &["swap-part"], 1000, Kind::Volatile(Volatile { name: "swap".to_owned() })),
        ],
    );
    let plan = plan(&layout, &captured, &[present("/dev/vda", "NEW", 2048)], &[]).unwrap();
    assert!(plan.to_string().contains("swap with a new key at each start"), "{plan}");
    assert_eq!(plan.notes, Vec::<String>::new());
    assert!(!plan.before.iter().any(|step| step.to_string().contains("vda2")));
}
