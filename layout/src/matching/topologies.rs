//! The wrong-disk matrix: machines as they stand in server rooms, and what the planner does in each: it writes to exactly these disks, it asks
//! which disk is meant, or it refuses. Every row also holds the laws that no case may break.

use super::*;
use crate::disk::Table;
use crate::ext::Ext;
use crate::gpt::{GptTable, Partition};
use crate::graph::{Kind, Mount};
use crate::plan::{Plan, plan};
use crate::units::Guid;

const MIB: u64 = 1 << 20;
/// Size of the recorded disks, in MiB.
const OLD: u64 = 1000;

/// What the planner must do.
enum Does {
    /// Writes to these disks, by path, for these reasons.
    Writes(&'static [(&'static str, Why)]),
    /// Asks somebody, with these words.
    Asks(&'static str),
    /// Ends, with these words.
    Refuses(&'static str),
}
use Does::{Asks, Refuses, Writes};

struct Row {
    name: &'static str,
    /// Serial numbers of the recorded disks; the first holds the root, the others data.
    recorded: Vec<Disk>,
    present: Vec<Present>,
    choices: Vec<Choice>,
    does: Does,
}

fn identity(serial: &str, model: &str) -> Disk {
    Disk {
        model: model.to_owned(),
        serial: Some(serial.to_owned()).filter(|serial| !serial.is_empty()),
        wwn: None,
        transport: Some("sata".to_owned()),
        logical_sector: 512,
        physical_sector: 512,
        removable: false,
        rotational: false,
        table: Table::None,
    }
}

/// A present disk of the recorded size and model.
fn at(path: &str, serial: &str) -> Present {
    Present { path: path.to_owned(), size: Bytes(OLD * MIB), disk: identity(serial, "M"), holds: vec![], barred: None }
}

trait With: Sized {
    fn size(self, mib: u64) -> Self;
    fn bytes(self, bytes: u64) -> Self;
    fn model(self, model: &str) -> Self;
    fn wwn(self, wwn: &str) -> Self;
    fn on(self, transport: &str) -> Self;
    fn removable(self) -> Self;
    fn barred(self, why: Barred) -> Self;
    fn sector(self, bytes: u32) -> Self;
    fn holds(self, what: &[&str]) -> Self;
}

impl With for Present {
    fn size(self, mib: u64) -> Self {
        self.bytes(mib * MIB)
    }
    fn bytes(mut self, bytes: u64) -> Self {
        self.size = Bytes(bytes);
        self
    }
    fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.disk.model);
        self
    }
    fn wwn(mut self, wwn: &str) -> Self {
        self.disk.wwn = Some(wwn.to_owned());
        self
    }
    fn on(mut self, transport: &str) -> Self {
        self.disk.transport = Some(transport.to_owned());
        self
    }
    fn removable(mut self) -> Self {
        self.disk.removable = true;
        self
    }
    fn barred(mut self, why: Barred) -> Self {
        self.barred = Some(why);
        self
    }
    fn sector(mut self, bytes: u32) -> Self {
        self.disk.logical_sector = bytes;
        self
    }
    fn holds(mut self, what: &[&str]) -> Self {
        let held = |(index, what): (usize, &&str)| Held {
            path: format!("{}{}", self.path, index + 1),
            start: Bytes((index as u64 * 100 + 1) * MIB),
            size: Bytes(99 * MIB),
            what: (*what).to_owned(),
        };
        self.holds = what.iter().enumerate().map(held).collect();
        self
    }
}

/// As the rescue shows them to the planner.
fn volumes(mut present: Vec<Present>) -> Vec<Present> {
    drop_shared_serials(&mut present);
    present
}

fn by_wwn(serial: &str, wwn: &str) -> Disk {
    Disk { wwn: Some(wwn.to_owned()), ..identity(serial, "M") }
}

/// A host with a root on its first disk and data on each further one. All is full to the brim, so that nothing shrinks.
fn host(recorded: &[Disk]) -> Layout {
    let mut layout = Layout::default();
    for (index, disk) in recorded.iter().enumerate() {
        let guid = |n: usize| Guid::new(&format!("AAAAAAAA-2222-3333-4444-{n:012}")).unwrap();
        let table = GptTable {
            guid: guid(index),
            first_usable: 34,
            last_usable: OLD * 2048 - 34,
            capacity: 128,
            alignment: 2048,
            boot_code: false,
            active: false,
        };
        let partition = Partition {
            number: 1,
            type_guid: Guid::new("0FC63DAF-8483-4772-8E79-3D69D8477DE4").unwrap(),
            guid: guid(100 + index),
            name: String::new(),
            attributes: 0,
            first_lba: 2048,
            sectors: (OLD - 2) * 2048,
        };
        let ext = Ext {
            fstype: "ext4".to_owned(),
            uuid: format!("u-{index}"),
            label: String::new(),
            features: vec!["extent".to_owned()],
            block_size: 4096,
            inode_size: 256,
            inodes: 1000,
            details: crate::ext::Details::default(),
            reserved_blocks: 0,
            blocks: (OLD - 2) * 256,
            default_mount_options: Vec::new(),
            used: Bytes((OLD - 2) * MIB),
        };
        let id = |kind: &str| NodeId(format!("{kind}:{index}"));
        let letter = char::from(b'a' + index as u8);
        let mut add = |id: NodeId, on: Vec<NodeId>, path: String, size: u64, kind: Kind| {
            layout.nodes.push(Node { id, on, path, size: Bytes(size * MIB), kind });
        };
        let disk = Disk { table: Table::Gpt(table), ..disk.clone() };
        add(id("disk"), vec![], format!("/dev/sd{letter}"), OLD, Kind::Disk(disk));
        add(id("part"), vec![id("disk")], format!("/dev/sd{letter}1"), OLD - 2, Kind::Partition(partition));
        add(id("fs"), vec![id("part")], format!("/dev/sd{letter}1"), OLD - 2, Kind::Ext(ext));
        let path = if index == 0 { "/".to_owned() } else { format!("/data{index}") };
        layout.mounts.push(Mount {
            node: id("fs"),
            path,
            fstype: "ext4".to_owned(),
            options: "rw".to_owned(),
            subvolume: None,
        });
    }
    layout
}

fn one(serial: &str) -> Vec<Disk> {
    vec![identity(serial, "M")]
}

fn two() -> Vec<Disk> {
    vec![identity("A", "M"), identity("B", "M")]
}

fn named(target: &str, recorded: Option<&str>) -> Choice {
    Choice { target: target.to_owned(), recorded: recorded.map(str::to_owned) }
}

fn row(name: &'static str, recorded: Vec<Disk>, present: Vec<Present>, does: Does) -> Row {
    Row { name, recorded, present, choices: Vec::new(), does }
}

fn order(name: &'static str, recorded: Vec<Disk>, present: Vec<Present>, choices: Vec<Choice>, does: Does) -> Row {
    Row { name, recorded, present, choices, does }
}

fn same_sizes() -> Vec<Row> {
    let stick = || at("/dev/sda", "STICK").barred(Barred::Stick).on("usb").removable();
    vec![
        row("its own disk", one("A"), vec![at("/dev/sda", "A")], Writes(&[("/dev/sda", Why::Serial)])),
        row(
            "its own disk under another name",
            one("A"),
            vec![at("/dev/nvme0n1", "A")],
            Writes(&[("/dev/nvme0n1", Why::Serial)]),
        ),
        row(
            "its own disk beside one of the same size that has its old name",
            one("A"),
            vec![at("/dev/sda", "X"), at("/dev/sdb", "A")],
            Writes(&[("/dev/sdb", Why::Serial)]),
        ),
        row(
            "two disks with their names swapped",
            two(),
            vec![at("/dev/sda", "B"), at("/dev/sdb", "A")],
            Writes(&[("/dev/sdb", Why::Serial), ("/dev/sda", Why::Serial)]),
        ),
        row(
            "one new disk",
            one("A"),
            vec![at("/dev/sda", "N").model("N").size(2000)],
            Writes(&[("/dev/sda", Why::Only)]),
        ),
        row(
            "one new disk of the same size and model beside a larger one",
            one("A"),
            vec![at("/dev/sda", "N"), at("/dev/sdb", "L").size(5000)],
            Writes(&[("/dev/sda", Why::SizeAndModel)]),
        ),
        row(
            "one new disk of the same size beside another",
            one("A"),
            vec![at("/dev/sda", "N").model("N"), at("/dev/sdb", "L").model("L").size(5000)],
            Writes(&[("/dev/sda", Why::Size)]),
        ),
        row(
            "two new disks of the same size and model",
            one("A"),
            vec![at("/dev/sda", "N1"), at("/dev/sdb", "N2")],
            Asks("/dev/sdb"),
        ),
        row(
            "two new disks of other sizes",
            one("A"),
            vec![at("/dev/sda", "N1").size(2000), at("/dev/sdb", "N2").size(3000)],
            Asks("Name the disk"),
        ),
        row(
            "two recorded, two new, all alike",
            two(),
            vec![at("/dev/sda", "N1"), at("/dev/sdb", "N2")],
            Asks("could go to"),
        ),
        row(
            "one of two is itself, the other is new",
            two(),
            vec![at("/dev/sda", "N").model("N").size(2000), at("/dev/sdb", "B")],
            Writes(&[("/dev/sda", Why::Only), ("/dev/sdb", Why::Serial)]),
        ),
        row(
            "one of two is itself, and two new ones alike",
            two(),
            vec![at("/dev/sda", "A"), at("/dev/sdb", "N1"), at("/dev/sdc", "N2")],
            Asks("recorded disk /dev/sdb"),
        ),
        row(
            "a data disk is missing",
            two(),
            vec![at("/dev/sda", "A")],
            Asks("take the place of the recorded disk /dev/sdb"),
        ),
        row(
            "the root's disk is missing",
            two(),
            vec![at("/dev/sda", "B")],
            Asks("take the place of the recorded disk /dev/sda"),
        ),
        row("no disk at all", one("A"), vec![], Asks("present: no disk")),
        row("only the stick", one("A"), vec![stick()], Asks("the stick that was booted")),
        row(
            "the stick is /dev/sda, as the recorded disk was",
            one("A"),
            vec![stick(), at("/dev/sdb", "N").model("N")],
            Writes(&[("/dev/sdb", Why::Size)]),
        ),
    ]
}

fn names_that_lie() -> Vec<Row> {
    let alike = |path: &str| at(path, "").model("");
    vec![
        row(
            "no serial numbers, one disk",
            one(""),
            vec![alike("/dev/sda").size(3000)],
            Writes(&[("/dev/sda", Why::Only)]),
        ),
        row(
            "no serial numbers, one disk of the size",
            one(""),
            vec![alike("/dev/sda"), alike("/dev/sdb").size(3000)],
            Writes(&[("/dev/sda", Why::Size)]),
        ),
        row(
            "no serial numbers, two disks alike",
            one(""),
            vec![alike("/dev/sda"), alike("/dev/sdb")],
            Asks("no serial"),
        ),
        order(
            "a disk without serial number is named by its path",
            one(""),
            vec![alike("/dev/sda"), alike("/dev/sdb")],
            vec![named("/dev/sdb", None)],
            Writes(&[("/dev/sdb", Why::Named)]),
        ),
        row(
            "two disks with the recorded serial number",
            one("A"),
            vec![at("/dev/sda", "A"), at("/dev/sdb", "A")],
            Refuses("cannot be told apart"),
        ),
        row(
            "two disks with one serial number that is not the recorded one",
            one("A"),
            vec![at("/dev/sda", "X"), at("/dev/sdb", "X")],
            Asks("could go to"),
        ),
        order(
            "the doubled serial number is named",
            one("A"),
            vec![at("/dev/sda", "X"), at("/dev/sdb", "X")],
            vec![named("X", None)],
            Refuses("cannot be told apart"),
        ),
        row(
            "two recorded disks with one serial number",
            vec![identity("A", "M"), identity("A", "M")],
            vec![at("/dev/sda", "A"), at("/dev/sdb", "N")],
            Refuses("cannot be told apart"),
        ),
        row(
            "a clone: the serial number is new, the world wide name is the recorded one",
            vec![by_wwn("A", "w1")],
            vec![at("/dev/sda", "X").wwn("w1"), at("/dev/sdb", "Y").wwn("w2")],
            Writes(&[("/dev/sda", Why::Wwn)]),
        ),
        row(
            "only a world wide name",
            vec![by_wwn("", "w1")],
            vec![at("/dev/sda", "").wwn("w2"), at("/dev/sdb", "").wwn("w1")],
            Writes(&[("/dev/sdb", Why::Wwn)]),
        ),
        row(
            "one disk over two paths: serial number and world wide name are the same",
            vec![by_wwn("A", "w1")],
            vec![at("/dev/sda", "A").wwn("w1"), at("/dev/sdb", "A").wwn("w1")],
            Refuses("cannot be told apart"),
        ),
        row(
            "a new disk over two paths",
            vec![by_wwn("A", "w1")],
            vec![at("/dev/sda", "N").wwn("w2"), at("/dev/sdb", "N").wwn("w2")],
            Asks("could go to"),
        ),
        row(
            "two paths that show a world wide name only",
            vec![by_wwn("", "w1")],
            vec![at("/dev/sda", "").wwn("w1"), at("/dev/sdb", "").wwn("w1")],
            Refuses("cannot be told apart"),
        ),
        row(
            "the serial number says one disk, the world wide name another",
            vec![by_wwn("A", "w1")],
            vec![at("/dev/sda", "A").wwn("w2"), at("/dev/sdb", "B").wwn("w1")],
            Writes(&[("/dev/sda", Why::Serial)]),
        ),
        row(
            "two volumes of a RAID controller, whose serial number both have",
            vec![by_wwn("C", "w1"), by_wwn("C", "w2")],
            volumes(vec![at("/dev/sda", "C").wwn("w2"), at("/dev/sdb", "C").wwn("w1")]),
            Writes(&[("/dev/sdb", Why::Wwn), ("/dev/sda", Why::Wwn)]),
        ),
        row(
            "the volumes of a RAID controller were made anew",
            vec![by_wwn("C", "w1"), by_wwn("C", "w2")],
            volumes(vec![at("/dev/sda", "C").wwn("w3"), at("/dev/sdb", "C").wwn("w4")]),
            Asks("no serial, WWN w3"),
        ),
        order(
            "a volume of a RAID controller is named by its world wide name",
            vec![by_wwn("C", "w1")],
            volumes(vec![at("/dev/sda", "C").wwn("w3"), at("/dev/sdb", "C").wwn("w4")]),
            vec![named("w4", None)],
            Writes(&[("/dev/sdb", Why::Named)]),
        ),
        order(
            "a RAID controller's serial number is named",
            vec![by_wwn("C", "w1"), by_wwn("C", "w2")],
            vec![at("/dev/sda", "C").wwn("w2")],
            vec![named("C", None)],
            Asks("use the world wide name"),
        ),
        row(
            "one of the volumes of a RAID controller is left",
            vec![by_wwn("C", "w1"), by_wwn("C", "w2")],
            volumes(vec![at("/dev/sda", "C").wwn("w2")]),
            Asks("no disk here can take the place of the recorded disk /dev/sda"),
        ),
        order(
            "a serial number that is another disk's path",
            one("A"),
            vec![at("/dev/sda", "/dev/sdb"), at("/dev/sdb", "")],
            vec![named("/dev/sdb", None)],
            Refuses("cannot be told apart"),
        ),
    ]
}

fn never_a_target() -> Vec<Row> {
    vec![
        row(
            "a second stick of the recorded size",
            one("A"),
            vec![at("/dev/sda", "N").model("N"), at("/dev/sdb", "S2").barred(Barred::OtherStick)],
            Writes(&[("/dev/sda", Why::Size)]),
        ),
        row(
            "only a second stick",
            one("A"),
            vec![at("/dev/sdb", "S2").barred(Barred::OtherStick)],
            Asks("another Lifeboat stick"),
        ),
        order(
            "the stick is named",
            one("A"),
            vec![at("/dev/sda", "S").barred(Barred::Stick), at("/dev/sdb", "A")],
            vec![named("S", None)],
            Refuses("never written to"),
        ),
        order(
            "a second stick is named",
            one("A"),
            vec![at("/dev/sda", "S2").barred(Barred::OtherStick)],
            vec![named("S2", Some("A"))],
            Refuses("never written to"),
        ),
        row(
            "the stick has the recorded disk's serial number",
            one("A"),
            vec![at("/dev/sda", "A").barred(Barred::Stick), at("/dev/sdb", "N").model("N")],
            Writes(&[("/dev/sdb", Why::Size)]),
        ),
        row(
            "the recorded disk is worn out and read-only",
            one("A"),
            vec![at("/dev/sda", "A").barred(Barred::ReadOnly)],
            Asks("read-only"),
        ),
        order(
            "a read-only disk is named",
            one("A"),
            vec![at("/dev/sda", "A").barred(Barred::ReadOnly)],
            vec![named("A", None)],
            Refuses("is read-only"),
        ),
        row(
            "an array is running on the recorded disk",
            one("A"),
            vec![at("/dev/sda", "A").barred(Barred::InUse).holds(&["RAID member"])],
            Asks("in use"),
        ),
        order(
            "a disk in use is named",
            one("A"),
            vec![at("/dev/sda", "A").barred(Barred::InUse)],
            vec![named("A", None)],
            Refuses("in use"),
        ),
        row(
            "a USB disk of the recorded size and model",
            one("A"),
            vec![at("/dev/sda", "U").on("usb")],
            Asks("no disk here"),
        ),
        row(
            "a removable disk of the recorded size",
            one("A"),
            vec![at("/dev/sda", "U").removable()],
            Asks("no disk here"),
        ),
        row(
            "the recorded disk in a USB case",
            one("A"),
            vec![at("/dev/sda", "A").on("usb")],
            Writes(&[("/dev/sda", Why::Serial)]),
        ),
        order(
            "a USB disk that is named",
            one("A"),
            vec![at("/dev/sda", "U").on("usb").removable()],
            vec![named("U", None)],
            Writes(&[("/dev/sda", Why::Named)]),
        ),
        row(
            "too small by one sector",
            one("A"),
            vec![at("/dev/sda", "A").bytes(OLD * MIB - MIB + 32 * 512)],
            Refuses("missing"),
        ),
        row("a disk of size zero", one("A"), vec![at("/dev/sda", "A").bytes(0)], Refuses("cannot take the place")),
        row("the only disk is much too small", one("A"), vec![at("/dev/sda", "N").size(10)], Refuses("missing")),
        row(
            "a disk with sectors of 4096 bytes",
            one("A"),
            vec![at("/dev/sda", "N").size(1200).sector(4096)],
            Writes(&[("/dev/sda", Why::Only)]),
        ),
        row(
            "a disk with sectors that no disk has",
            one("A"),
            vec![at("/dev/sda", "N").size(1200).sector(1000)],
            Refuses("no size of a sector"),
        ),
    ]
}

fn what_lies_on_them() -> Vec<Row> {
    vec![
        row(
            "a healthy system on the only disk",
            one("A"),
            vec![at("/dev/sda", "N").size(2000).holds(&["vfat \"EFI\"", "NTFS"])],
            Writes(&[("/dev/sda", Why::Only)]),
        ),
        row(
            "a foreign volume group of the same name on another disk",
            one("A"),
            vec![at("/dev/sda", "A"), at("/dev/sdb", "F").holds(&["LVM physical volume"])],
            Writes(&[("/dev/sda", Why::Serial)]),
        ),
        row(
            "a foreign array of the same UUID over two disks of the size",
            one("A"),
            vec![at("/dev/sda", "F1").holds(&["RAID member"]), at("/dev/sdb", "F2").holds(&["RAID member"])],
            Asks("could go to"),
        ),
        row(
            "the other half of a mirror stays",
            one("A"),
            vec![at("/dev/sda", "A").holds(&["RAID member"]), at("/dev/sdb", "F2").holds(&["RAID member"])],
            Writes(&[("/dev/sda", Why::Serial)]),
        ),
    ]
}

fn orders() -> Vec<Row> {
    let both = || vec![at("/dev/sda", "N1"), at("/dev/sdb", "N2")];
    vec![
        order(
            "an order for a disk that is not there",
            one("A"),
            vec![at("/dev/sda", "A")],
            vec![named("B", None)],
            Asks("no disk here is \"B\""),
        ),
        order(
            "an order for one of two alike",
            one("A"),
            both(),
            vec![named("N2", None)],
            Writes(&[("/dev/sdb", Why::Named)]),
        ),
        order(
            "an order goes before the recorded serial number",
            one("A"),
            vec![at("/dev/sda", "A"), at("/dev/sdb", "N")],
            vec![named("N", Some("A"))],
            Writes(&[("/dev/sdb", Why::Named)]),
        ),
        order(
            "an order with both places",
            two(),
            both(),
            vec![named("N2", Some("A")), named("N1", Some("B"))],
            Writes(&[("/dev/sdb", Why::Named), ("/dev/sda", Why::Named)]),
        ),
        order(
            "an order that names one disk for two",
            two(),
            vec![at("/dev/sda", "A"), at("/dev/sdb", "B")],
            vec![named("A", Some("A"))],
            Asks("recorded disk /dev/sdb"),
        ),
        order(
            "an order with one disk in two places",
            two(),
            both(),
            vec![named("N1", Some("A")), named("N1", Some("B"))],
            Refuses("two recorded disks"),
        ),
        order(
            "an order with one disk in a place and free",
            two(),
            both(),
            vec![named("N1", Some("A")), named("N1", None)],
            Refuses("two recorded disks"),
        ),
        order(
            "an order for a recorded disk that never was",
            one("A"),
            both(),
            vec![named("N1", Some("Z"))],
            Refuses("no disk \"Z\""),
        ),
        order(
            "an order without places for two alike",
            two(),
            both(),
            vec![named("N1", None), named("N2", None)],
            Asks("could go to"),
        ),
        order(
            "an order leaves a data disk out",
            two(),
            vec![at("/dev/sda", "A")],
            vec![named("A", Some("A")), named(NO_DISK, Some("B"))],
            Writes(&[("/dev/sda", Why::Named)]),
        ),
        order(
            "a person leaves a data disk out",
            two(),
            vec![at("/dev/sda", "A")],
            vec![named(NO_DISK, Some("B"))],
            Writes(&[("/dev/sda", Why::Serial)]),
        ),
        order(
            "the root's disk cannot be left out",
            two(),
            vec![at("/dev/sda", "B")],
            vec![named(NO_DISK, Some("A"))],
            Refuses("cannot be left out"),
        ),
    ]
}

/// No plan has one disk in two roles, a disk that is barred, a disk that an order does not name, or leaves a disk unmentioned.
fn laws(row: &Row, plan: &Plan) {
    let mut paths: Vec<&str> = plan.disks.iter().map(|disk| disk.target.path.as_str()).collect();
    let named: Vec<&str> =
        row.choices.iter().map(|choice| choice.target.as_str()).filter(|name| *name != NO_DISK).collect();
    for disk in &plan.disks {
        assert_eq!(disk.target.barred, None, "{}", row.name);
        assert!(
            named.is_empty() || named.contains(&disk.target.handle()),
            "{}: {} was not named",
            row.name,
            disk.target
        );
    }
    paths.extend(plan.untouched.iter().map(|disk| disk.path.as_str()));
    paths.sort_unstable();
    let mut all: Vec<&str> = row.present.iter().map(|disk| disk.path.as_str()).collect();
    all.sort_unstable();
    assert_eq!(paths, all, "{}: each disk is written to once or left alone", row.name);
    let steps = serde_json::to_string(&(&plan.before, &plan.after)).unwrap();
    for disk in &plan.untouched {
        assert!(!steps.contains(&format!("\"{}\"", disk.path)), "{}: a step names {}", row.name, disk.path);
    }
    let text = plan.to_string();
    for held in plan.disks.iter().flat_map(|disk| &disk.target.holds) {
        assert!(text.contains(&held.path) && text.contains(&held.what), "{}: {text}", row.name);
    }
}

#[test]
fn in_each_topology_the_planner_does_just_what_is_written_here() {
    let rows: Vec<Row> = [same_sizes(), names_that_lie(), never_a_target(), what_lies_on_them(), orders()]
        .into_iter()
        .flatten()
        .collect();
    assert!(rows.len() >= 60, "{} topologies", rows.len());
    for row in &rows {
        let mut turned = row.present.clone();
        turned.reverse();
        // The order in which the kernel found the disks must not matter.
        for present in [&row.present, &turned] {
            let found = plan(&host(&row.recorded), &|_| true, present, &row.choices);
            match (&row.does, found) {
                (Writes(wanted), Ok(plan)) => {
                    let disks: Vec<(&str, Why)> =
                        plan.disks.iter().map(|disk| (disk.target.path.as_str(), disk.why)).collect();
                    assert_eq!(disks, *wanted, "{}", row.name);
                    laws(row, &plan);
                }
                (Asks(words) | Refuses(words), Err(error)) => {
                    let asks = matches!(&error, crate::plan::PlanError::Match(error) if error.asks());
                    assert_eq!(asks, matches!(row.does, Asks(_)), "{}: {error}", row.name);
                    assert!(error.to_string().contains(words), "{}: {error}", row.name);
                }
                (_, Ok(plan)) => panic!("{}: there is a plan:\n{plan}", row.name),
                (_, Err(error)) => panic!("{}: {error}", row.name),
            }
        }
    }
}
