//! What a cut journal says, line by line, on plans of the real planner.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use layout::disk::{Disk, Table};
use layout::ext::Ext;
use layout::gpt::{ESP, GptTable, Partition};
use layout::graph::{Mount, Node};
use layout::lvm::VolumeGroup;
use layout::matching::{Held, Present};
use layout::{Bytes, Guid, Kind, Layout, NodeId};

use super::*;

const MIB: u64 = 1 << 20;

fn disk(serial: &str, table: Table) -> Disk {
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

fn node(id: &str, on: &[&str], mib: u64, kind: Kind) -> Node {
    let on = on.iter().map(|id| NodeId((*id).to_owned())).collect();
    Node { id: NodeId(id.to_owned()), on, path: format!("/dev/{id}"), size: Bytes(mib * MIB), kind }
}

fn part(number: u32, type_guid: &str, start: u64, mib: u64) -> Kind {
    Kind::Partition(Partition {
        number,
        type_guid: Guid::new(type_guid).unwrap(),
        guid: Guid::new("11111111-2222-3333-4444-555555555555").unwrap(),
        name: String::new(),
        attributes: 0,
        first_lba: start * 2048,
        sectors: mib * 2048,
    })
}

/// An ESP and a root filesystem on one disk.
fn host() -> Layout {
    let table = GptTable {
        guid: Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap(),
        first_usable: 34,
        last_usable: 2048 * 1024 - 34,
        capacity: 128,
        alignment: 2048,
        boot_code: false,
        active: false,
    };
    let root = Kind::Ext(Ext {
        fstype: "ext4".to_owned(),
        uuid: "r".to_owned(),
        label: String::new(),
        features: vec!["extent".to_owned()],
        block_size: 4096,
        inode_size: 256,
        inodes: 100,
        details: layout::ext::Details::default(),
        reserved_blocks: 0,
        blocks: 1000,
        default_mount_options: Vec::new(),
        used: Bytes(MIB),
    });
    let nodes = vec![
        node("a", &[], 1024, Kind::Disk(disk("OLD", Table::Gpt(table)))),
        node("a1", &["a"], 100, part(1, ESP, 1, 100)),
        node("a2", &["a"], 900, part(2, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 101, 900)),
        node("root", &["a2"], 900, root),
    ];
    let mount = |node: &str, path: &str| Mount {
        node: NodeId(node.to_owned()),
        path: path.to_owned(),
        fstype: "ext4".to_owned(),
        options: "rw".to_owned(),
        subvolume: None,
    };
    Layout { nodes, mounts: vec![mount("root", "/")] }
}

fn present(path: &str, serial: &str, holds: &[&str]) -> Present {
    let held = |what: &&str| Held {
        path: format!("{path}1"),
        start: Bytes((what.len() as u64 + 1) * MIB),
        size: Bytes(9 * MIB),
        what: (*what).to_owned(),
    };
    Present {
        path: path.to_owned(),
        size: Bytes(1024 * MIB),
        disk: disk(serial, Table::None),
        holds: holds.iter().map(held).collect(),
        barred: None,
    }
}

fn plan_on(disk: Present) -> Plan {
    layout::plan::plan(&host(), &|_| true, &[disk], &[]).unwrap()
}

fn lines(plan: &Plan, marks: &[Mark]) -> String {
    let attempt = Attempt {
        format: FORMAT,
        stamp: "20260101T000000Z".to_owned(),
        begun: "2026-01-01T00:00:00Z".parse().unwrap(),
        snapshot: Serial(2),
        plan: digest(plan),
        targets: targets(plan),
        order: Some("o1".to_owned()),
    };
    let mut text = serde_json::to_string(&attempt).unwrap() + "\n";
    marks.iter().for_each(|mark| text.push_str(&(serde_json::to_string(mark).unwrap() + "\n")));
    text
}

fn cut(plan: &Plan, marks: &[Mark]) -> Unfinished {
    Unfinished::parse(&lines(plan, marks)).unwrap()
}

/// Marks of the steps that are done, up to `count`.
fn done(count: usize) -> Vec<Mark> {
    (0..count).flat_map(|number| [Mark::Begun(number), Mark::Done(number)]).collect()
}

#[test]
fn a_restore_goes_on_with_the_trees_once_everything_is_made() {
    let plan = plan_on(present("/dev/sda", "S", &["ext4"]));
    let names: Vec<String> = plan.before.iter().map(ToString::to_string).collect();
    assert_eq!(plan.before.len(), 5, "save, clear, table, ext, mount: {names:?}");
    assert_eq!(cut(&plan, &[]).start(&plan), Start::Beginning);
    assert_eq!(cut(&plan, &[Mark::Begun(0)]).start(&plan), Start::Beginning);
    for count in 1..4 {
        let found = cut(&plan, &done(count)).start(&plan);
        assert!(matches!(&found, Start::FirstWrite(why) if why.contains("was not done")), "{count}: {found:?}");
    }
    for count in 4..=5 {
        assert_eq!(cut(&plan, &done(count)).start(&plan), Start::Trees);
    }
}

#[test]
fn what_the_restore_changes_itself_does_not_make_it_another_plan() {
    let before = plan_on(present("/dev/sda", "S", &["ext4 \"old\"", "swap"]));
    let after = plan_on(present("/dev/sdc", "S", &["vfat"]));
    assert_eq!(cut(&before, &done(5)).start(&after), Start::Trees);
    assert!(cut(&before, &[]).has_same_disks(&after));
    assert!(!cut(&before, &[]).has_same_disks(&plan_on(present("/dev/sda", "T", &[]))));
}

#[test]
fn another_plan_for_the_same_disks_is_made_anew_and_not_saved_again() {
    let plan = plan_on(present("/dev/sda", "S", &[]));
    let mut other = plan.clone();
    other.disks[0].table.partitions[0].entry.name = "renamed".to_owned();
    let found = cut(&other, &done(5)).start(&plan);
    assert!(matches!(&found, Start::FirstWrite(why) if why.contains("another")), "{found:?}");
    let kept: Vec<Mark> = done(5).into_iter().filter(|mark| counts(mark, &found, &plan)).collect();
    assert_eq!(kept, [Mark::Begun(0), Mark::Done(0)], "only what was saved");
}

#[test]
fn a_step_that_has_to_be_started_again_first_is_made_anew() {
    let mut plan = plan_on(present("/dev/sda", "S", &[]));
    let group =
        VolumeGroup { uuid: "u".to_owned(), name: "pve".to_owned(), extent: Bytes(4 * MIB), free: 0, tags: vec![] };
    plan.before.push(Step::MakeVg { group, devices: vec![] });
    assert!(matches!(cut(&plan, &done(6)).start(&plan), Start::FirstWrite(why) if why.contains("taken up")));
}

#[test]
fn a_line_that_was_cut_counts_as_not_written_and_a_damaged_first_line_as_no_journal() {
    let plan = plan_on(present("/dev/sda", "S", &[]));
    let text = lines(&plan, &done(4));
    let whole = text.trim_end();
    let torn = Unfinished::parse(&whole[..whole.len() - 2]).unwrap();
    assert_eq!(torn.marks.len(), 7);
    assert!(matches!(torn.start(&plan), Start::FirstWrite(_)));
    assert!(Unfinished::parse(&text[..40]).is_none());
    assert!(Unfinished::parse("").is_none());
    assert!(Unfinished::parse(&text.replace("20260101T000000Z", "../../vault")).is_none(), "a stamp names files");
}

#[test]
fn an_order_covers_the_rest_of_its_own_restore_after_a_cut_and_not_after_a_failure() {
    let plan = plan_on(present("/dev/sda", "S", &[]));
    assert!(cut(&plan, &done(3)).continues("o1", Serial(2)));
    assert!(!cut(&plan, &done(3)).continues("o2", Serial(2)));
    assert!(!cut(&plan, &done(3)).continues("o1", Serial(3)));
    let failed = [done(5), vec![Mark::Failed("the disk is full".to_owned())]].concat();
    let failed = cut(&plan, &failed);
    assert!(!failed.continues("o1", Serial(2)));
    assert_eq!(failed.failure(), Some("the disk is full"));
    assert!(matches!(failed.start(&plan), Start::FirstWrite(why) if why.contains("error")));
    let again = [done(5), vec![Mark::Failed("x".to_owned()), Mark::Resumed("2026-01-02T00:00:00Z".parse().unwrap())]];
    let again = cut(&plan, &again.concat());
    assert_eq!((again.failure(), again.times()), (None, 2));
}
