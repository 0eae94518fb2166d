//! Coverage, cell by cell: which object of which machine gets which word.

use std::collections::BTreeMap;

use layout::lsblk::BlockDevice;
use layout::probe::{Content, Probe, Stacks, assemble};
use layout::swap::Swap;
use layout::{Bytes, Guid, Layout, mountinfo};

use super::*;

mod luks;
mod zfs;

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const SUPERBLOCK: &[u8] = include_bytes!("../../../../layout/fixtures/ext4.superblock");

/// A host in the making.
#[derive(Default)]
struct Host {
    devices: Vec<BlockDevice>,
    probes: BTreeMap<String, Probe>,
    stacks: Stacks,
    mounts: String,
}

impl Host {
    fn device(mut self, kname: &str, kind: &str, parents: &[&str]) -> Self {
        let index = self.devices.len();
        self.devices.push(BlockDevice {
            kname: kname.into(),
            path: format!("/dev/{kname}"),
            number: format!("8:{index}"),
            kind: kind.into(),
            size: Bytes::GIB,
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            serial: (kind == "disk").then(|| format!("S-{kname}")),
            ..BlockDevice::default()
        });
        self
    }

    /// A disk with a GPT whose partitions have these types and contents.
    fn gpt(mut self, kname: &str, partitions: &[(&str, Content)]) -> Self {
        self = self.device(kname, "disk", &[]);
        let guid = |number: usize| {
            Guid::new(&format!("{:08x}-0000-0000-0000-{number:012x}", kname.bytes().map(u32::from).sum::<u32>()))
                .unwrap()
        };
        let mut list = Vec::new();
        for (index, (type_guid, content)) in partitions.iter().enumerate() {
            let name = format!("{kname}{}", index + 1);
            self = self.device(&name, "part", &[kname]);
            self.probes.insert(name, Probe { table: None, content: content.clone() });
            list.push(layout::gpt::Partition {
                number: index as u32 + 1,
                type_guid: Guid::new(type_guid).unwrap(),
                guid: guid(index + 1),
                name: String::new(),
                attributes: 0,
                first_lba: 2048,
                sectors: 2048,
            });
        }
        let table = layout::gpt::GptTable {
            guid: guid(0),
            first_usable: 34,
            last_usable: 99,
            capacity: 128,
            alignment: 2048,
            boot_code: true,
            active: false,
        };
        self.probes.insert(kname.into(), Probe { table: Some((Table::Gpt(table), list)), content: Content::Unknown });
        self
    }

    fn holds(mut self, kname: &str, content: Content) -> Self {
        self.probes.insert(kname.into(), Probe { table: None, content });
        self
    }

    fn mounted(mut self, kname: &str, path: &str, fstype: &str) -> Self {
        let number = self.devices.iter().find(|device| device.kname == kname).map_or("0:77", |device| &device.number);
        let id = self.mounts.lines().count() + 1;
        let parent = usize::from(id > 1);
        let line = format!("{id} {parent} {number} / {path} rw - {fstype} {kname} rw\n");
        self.mounts.push_str(&line);
        self
    }

    fn layout(&self) -> Layout {
        assemble(&self.devices, &self.probes, &self.stacks, &mountinfo::parse(self.mounts.as_bytes()))
    }

    fn coverage(&self, waivers: &[&str]) -> Coverage {
        let waivers: Vec<Waiver> =
            waivers.iter().map(|pattern| Waiver { pattern: (*pattern).to_owned(), reason: "test".into() }).collect();
        coverage(&self.layout(), &waivers, None)
    }
}

fn ext(uuid: &str, label: &str) -> Content {
    let mut ext = layout::ext::Ext::parse(SUPERBLOCK).unwrap();
    (ext.uuid, ext.label) = (uuid.into(), label.into());
    Content::Ext(ext)
}

fn vfat(label: &str) -> Content {
    Content::Vfat(layout::vfat::Vfat {
        serial: format!("{:04}-0001", label.len()),
        label: label.into(),
        fat_bits: 32,
        sector_size: 512,
        cluster_size: 4096,
        used: Bytes(0),
    })
}

fn swap() -> Content {
    Content::Swap(Swap { uuid: "5".into(), label: String::new() })
}

/// BIOS boot, ESP, root, home, swap.
fn workstation() -> Host {
    Host::default()
        .gpt(
            "vda",
            &[
                (BIOS_BOOT, Content::Unknown),
                (ESP, vfat("")),
                (LINUX, ext("root", "")),
                (LINUX, ext("home", "")),
                (LINUX, swap()),
            ],
        )
        .mounted("vda3", "/", "ext4")
        .mounted("vda2", "/boot/efi", "vfat")
        .mounted("vda4", "/home", "ext4")
}

fn verdict<'a>(coverage: &'a Coverage, path: &str) -> &'a Verdict {
    let item = coverage.items.iter().find(|item| item.path == path || item.mount.as_deref() == Some(path));
    &item.unwrap_or_else(|| panic!("no word on {path}: {:?}", coverage.items)).verdict
}

/// The reason why `path` is uncovered, and whether it carries the system.
fn uncovered<'a>(coverage: &'a Coverage, path: &str) -> (&'a str, bool) {
    match verdict(coverage, path) {
        Verdict::Uncovered { reason, system } => (reason, *system),
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn a_workstation_is_captured_as_a_whole() {
    let host = workstation();
    let coverage = host.coverage(&[]);
    assert_eq!(coverage.uncovered().count(), 0, "{:?}", coverage.items);
    assert_eq!(coverage.items.len(), 5);
    assert!(coverage.items.iter().all(|item| matches!(item.verdict, Verdict::Captured { .. })));
    assert_eq!(crossed(&host.layout(), &coverage), [PathBuf::from("/boot/efi"), PathBuf::from("/home")]);
    assert_eq!(coverage.disks(&host.layout()).len(), 1);
}

#[test]
fn an_unmounted_filesystem_is_uncovered_but_not_the_system() {
    let host = workstation().gpt("sdb", &[(LINUX, ext("data", "data"))]);
    let coverage = host.coverage(&[]);
    let (reason, system) = uncovered(&coverage, "/dev/sdb1");
    assert!(reason.contains("not mounted") && !system, "{reason}");
    assert!(!coverage.lacks_system());
}

#[test]
fn an_unmounted_esp_beside_the_root_filesystem_carries_the_system() {
    let mut host = workstation();
    host.mounts =
        host.mounts.lines().filter(|line| !line.contains("/boot/efi")).map(|line| format!("{line}\n")).collect();
    assert_eq!(
        uncovered(&host.coverage(&[]), "/dev/vda2"),
        ("its root folder is not mounted anywhere, so its files cannot be read", true)
    );
}

#[test]
fn waivers_name_devices_mounts_labels_uuids_serials_and_types() {
    let host = || workstation().gpt("sdb", &[(LINUX, ext("data-uuid", "media"))]).mounted("nas:/x", "/mnt/nas", "nfs4");
    for waiver in ["/dev/sdb1", "/dev/sd*", "LABEL=media", "UUID=data-uuid", "SERIAL=S-sdb", "PARTUUID=*-000000000001"]
    {
        let coverage = host().coverage(&[waiver, "/mnt/*"]);
        let expected = Verdict::Waived { pattern: waiver.to_owned(), reason: "test".into() };
        assert_eq!(verdict(&coverage, "/dev/sdb1"), &expected, "{waiver}");
        assert_eq!((coverage.uncovered().count(), coverage.unused_waivers.len()), (0, 0), "{waiver}");
    }
    let coverage = host().coverage(&["TYPE=nfs4", "/dev/sdb", "LABEL=mispelt"]);
    assert_eq!(coverage.uncovered().count(), 0);
    assert_eq!(coverage.unused_waivers, ["LABEL=mispelt"]);
    let coverage = host().coverage(&[]);
    let (reason, system) = uncovered(&coverage, "/mnt/nas");
    assert!(reason.contains("another machine") && !system);
}

#[test]
fn a_waived_filesystem_is_not_archived_and_its_disk_is_not_written_to() {
    let host = workstation().gpt("sdb", &[(LINUX, ext("data", ""))]).mounted("sdb1", "/srv", "ext4");
    let coverage = host.coverage(&["/srv"]);
    assert!(!crossed(&host.layout(), &coverage).contains(&PathBuf::from("/srv")));
    assert_eq!(coverage.disks(&host.layout()).into_iter().collect::<Vec<_>>(), [&NodeId("disk:S-vda".into())]);
}

#[test]
fn the_root_filesystem_cannot_be_waived() {
    let coverage = workstation().coverage(&["/", "/dev/vda*"]);
    assert!(coverage.restores(&NodeId("fs:root".into())), "{:?}", coverage.items);
}

#[test]
fn what_no_tool_tells_of_and_kinds_of_a_later_version_are_named() {
    let host = Host::default()
        .gpt("sda", &[(LINUX, Content::Other("LVM2_member".into())), (LINUX, Content::Other("btrfs".into()))])
        .device("dm-0", "lvm", &["sda1"])
        .holds("dm-0", ext("root", ""))
        .mounted("dm-0", "/", "ext4")
        .mounted("sda2", "/srv", "btrfs");
    let coverage = host.coverage(&[]);
    let (reason, system) = uncovered(&coverage, "/");
    assert!(reason.contains("/dev/dm-0: LVM's tools tell nothing of it") && system, "{reason}");
    assert_eq!(uncovered(&coverage, "/srv"), ("it could not be read", false));
    assert!(coverage.lacks_system());
}

#[test]
fn a_filesystem_on_a_whole_disk_comes_back() {
    let host = |content| Host::default().device("vda", "disk", &[]).holds("vda", content).mounted("vda", "/", "ext4");
    let coverage = host(ext("root", "")).coverage(&[]);
    assert!(matches!(verdict(&coverage, "/dev/vda"), Verdict::Captured { .. }), "{:?}", coverage.items);
    let unread = host(Content::Other("ext4".into())).coverage(&[]);
    assert_eq!(uncovered(&unread, "/"), ("it could not be read", true));
}

#[test]
fn a_dos_table_comes_back_with_its_logical_partitions_and_says_nothing_of_the_extended_one() {
    use layout::dos::{DosEntry, DosTable, Extended, guid_of, type_of};
    let mut host = Host::default().device("sda", "disk", &[]);
    let entry = |number, at| DosEntry { number, kind: 0x83, active: number == 1, described_at: at };
    let part = |number, first_lba| layout::gpt::Partition {
        number,
        type_guid: type_of(0x83),
        guid: guid_of(1, number),
        name: String::new(),
        attributes: 0,
        first_lba,
        sectors: 2048,
    };
    let table = DosTable {
        signature: 1,
        alignment: 2048,
        boot_code: true,
        entries: vec![entry(1, None), entry(5, Some(4096))],
        extended: Some(Extended { number: 2, kind: 5, active: false, first_lba: 4096, sectors: 8192 }),
    };
    let probe =
        Probe { table: Some((Table::Dos(table), vec![part(1, 2048), part(5, 6144)])), content: Content::Unknown };
    host.probes.insert("sda".into(), probe);
    for name in ["sda1", "sda2", "sda5"] {
        host = host.device(name, "part", &["sda"]);
    }
    let host = host.holds("sda1", ext("root", "")).holds("sda5", ext("home", ""));
    let host = host.holds("sda2", Content::Unknown).mounted("sda1", "/", "ext4").mounted("sda5", "/home", "ext4");
    let coverage = host.coverage(&[]);
    let captured = coverage.items.iter().filter(|item| matches!(item.verdict, Verdict::Captured { .. }));
    assert_eq!((coverage.items.len(), captured.count()), (2, 2), "{:?}", coverage.items);
}

#[test]
fn a_btrfs_comes_back_whole_or_not_at_all() {
    let device = |bytes: &[u8]| {
        let (btrfs, number) = layout::btrfs::Btrfs::parse(bytes).unwrap();
        Content::Btrfs(btrfs, number)
    };
    let plain = device(include_bytes!("../../../../layout/fixtures/btrfs/plain.superblock"));
    let host = workstation().gpt("sdb", &[(LINUX, plain)]).mounted("sdb1", "/srv", "btrfs");
    assert!(matches!(verdict(&host.coverage(&[]), "/dev/sdb1"), Verdict::Captured { .. }));
    let second = device(include_bytes!("../../../../layout/fixtures/btrfs/second.superblock"));
    let Content::Btrfs(btrfs, _) = second.clone() else { panic!("no btrfs") };
    let half = workstation().gpt("sdb", &[(LINUX, second.clone())]).mounted("sdb1", "/srv", "btrfs");
    assert_eq!(uncovered(&half.coverage(&[]), "/srv"), ("1 of its 2 devices are here", false));
    let first = Content::Btrfs(btrfs, 1);
    let both = workstation().gpt("sdb", &[(LINUX, second), (LINUX, first)]).mounted("sdb1", "/srv", "btrfs");
    let (layout, coverage) = (both.layout(), both.coverage(&[]));
    let node = layout.nodes.iter().find(|node| matches!(node.kind, Kind::Btrfs(_))).unwrap();
    let on: Vec<&str> = node.on.iter().map(|id| layout.node(id).unwrap().path.as_str()).collect();
    assert_eq!(on, ["/dev/sdb2", "/dev/sdb1"], "in the order of their numbers");
    assert!(coverage.restores(&node.id));
}

#[test]
fn what_cannot_be_recognised_is_uncovered() {
    let host = workstation()
        .gpt("sdb", &[(LINUX, Content::Unknown)])
        .device("sdc", "disk", &[])
        .holds("sdc", Content::Unknown);
    let coverage = host.coverage(&[]);
    assert!(uncovered(&coverage, "/dev/sdb1").0.contains("no tool here knows"));
    assert!(uncovered(&coverage, "/dev/sdc").0.contains("no tool here knows"));
}

#[test]
fn empty_partitions_come_back_and_blank_disks_are_left_out() {
    let host = workstation()
        .gpt("sdb", &[(LINUX, Content::Blank)])
        .device("sdc", "disk", &[])
        .holds("sdc", Content::Blank)
        .gpt("sdd", &[]);
    let coverage = host.coverage(&[]);
    assert!(matches!(verdict(&coverage, "/dev/sdb1"), Verdict::Captured { .. }));
    assert!(matches!(verdict(&coverage, "/dev/sdc"), Verdict::LeftOut { .. }));
    assert!(matches!(verdict(&coverage, "/dev/sdd"), Verdict::LeftOut { .. }));
}

#[test]
fn loops_zram_optical_drives_overlays_and_sticks_are_left_out_and_leave_the_layout() {
    let host = workstation()
        .device("loop0", "loop", &[])
        .device("loop0p1", "part", &["loop0"])
        .device("zram0", "disk", &[])
        .device("sr0", "rom", &[])
        .gpt("sdb", &[(BIOS_BOOT, Content::Unknown), (ESP, vfat("LIFEBOATESP")), (LINUX, ext("stick", "LIFEBOAT"))])
        .mounted("loop0", "/snap/core", "squashfs")
        .mounted("overlay", "/var/lib/docker/overlay2/x/merged", "overlay")
        .mounted("sdb3", "/media/stick", "ext4");
    let mut layout = host.layout();
    let coverage = host.coverage(&[]);
    assert_eq!(coverage.uncovered().count(), 0, "{:?}", coverage.uncovered().collect::<Vec<_>>());
    for path in ["/snap/core", "/dev/loop0p1", "/dev/zram0", "/dev/sr0", "/media/stick", "/dev/sdb2"] {
        assert!(matches!(verdict(&coverage, path), Verdict::LeftOut { .. }), "{path}");
    }
    remove_left_out(&mut layout, &coverage);
    assert_eq!(layout, workstation().layout());
}

#[test]
fn the_stick_is_known_by_its_device_before_it_has_labels() {
    let host = workstation().gpt("sdb", &[(LINUX, ext("old", "something"))]);
    for stick in ["/dev/sdb", "/dev/sdb1"] {
        let coverage = coverage(&host.layout(), &[], Some(stick));
        assert!(matches!(verdict(&coverage, "/dev/sdb1"), Verdict::LeftOut { .. }), "{stick}");
    }
}

#[test]
fn no_rule_leaves_out_what_carries_the_system() {
    let live = Host::default()
        .device("loop0", "loop", &[])
        .mounted("overlay", "/", "overlay")
        .mounted("loop0", "/usr", "squashfs");
    let coverage = live.coverage(&[]);
    assert!(uncovered(&coverage, "/").1 && uncovered(&coverage, "/usr").1);
    let wrong = super::coverage(&workstation().layout(), &[], Some("/dev/vda"));
    assert!(wrong.restores(&NodeId("fs:home".into())), "the system's disk is not a stick");
    assert!(Host::default().coverage(&[]).lacks_system(), "a host without a root filesystem");
}

/// The captured machine of layout/fixtures/stacks: a group over two disks with each kind of volume. Its disks get a table here, because
/// whole disks are another matter.
fn volumes(edit: impl Fn(String) -> String) -> Host {
    let mut host = Host {
        devices: layout::lsblk::parse(include_str!("../../../../layout/fixtures/stacks/lsblk-kinds.json")).unwrap(),
        ..Host::default()
    };
    for disk in ["vda", "vdb"] {
        for device in host.devices.iter_mut().filter(|device| device.parents.contains(&disk.to_owned())) {
            device.parents = vec![format!("{disk}1")];
        }
        host.devices.retain(|device| device.kname != disk);
        host = host.gpt(disk, &[(LINUX, Content::Other("LVM2_member".into()))]);
    }
    let on_partition = |text: &str| text.replace("/dev/vda\"", "/dev/vda1\"").replace("/dev/vdb\"", "/dev/vdb1\"");
    host.stacks.lvm = layout::lvm::report::parse(
        &on_partition(include_str!("../../../../layout/fixtures/stacks/pvs-kinds.json")),
        include_str!("../../../../layout/fixtures/stacks/vgs-kinds.json"),
        &edit(include_str!("../../../../layout/fixtures/stacks/lvs-kinds.json").to_owned()),
    )
    .unwrap();
    for (volume, content) in [("root", ext("root", "")), ("striped", swap()), ("vm--100--disk--0", ext("guest", ""))] {
        host = host.filled(volume, content);
    }
    let number = |path: &str| host.devices.iter().find(|device| device.path == path).unwrap().number.clone();
    host.mounts = format!("1 0 {} / / rw - ext4 root rw\n", number("/dev/mapper/vg--one-root"));
    host
}

impl Host {
    /// As `holds`, for a volume of the group.
    fn filled(mut self, volume: &str, content: Content) -> Self {
        let path = format!("/dev/mapper/vg--one-{volume}");
        let kname = self.devices.iter().find(|device| device.path == path).unwrap().kname.clone();
        self.probes.insert(kname, Probe { table: None, content });
        self
    }
}

#[test]
fn volumes_are_captured_snapshots_left_out_and_inactive_ones_uncovered() {
    let coverage = volumes(|lvs| lvs).coverage(&[]);
    let path = |name: &str| format!("/dev/mapper/vg--one-{name}");
    assert!(matches!(verdict(&coverage, "/"), Verdict::Captured { .. }), "{:?}", coverage.items);
    assert!(matches!(verdict(&coverage, &path("striped")), Verdict::Captured { .. }));
    for snapshot in ["root--before", "vm--100--snap"] {
        assert!(matches!(verdict(&coverage, &path(snapshot)), Verdict::LeftOut { .. }), "{snapshot}");
    }
    assert!(uncovered(&coverage, &path("vm--100--disk--0")).0.contains("not mounted"));
    assert!(uncovered(&coverage, &path("vm--101--disk--0")).0.contains("no tool here knows"));
    // Neither what LVM keeps inside volumes nor the device between a pool and its volumes is anybody's business.
    for inner in ["-real", "-cow", "tpool", "tdata", "tmeta", "rimage", "rmeta", "pmspare"] {
        assert!(!coverage.items.iter().any(|item| item.path.contains(inner)), "{inner}: {:?}", coverage.items);
    }
    // The device of a volume that is not active is not there.
    let mut host = volumes(|lvs| lvs);
    host.devices.retain(|device| !device.path.ends_with("vm--101--disk--0"));
    let coverage = host.coverage(&[]);
    assert!(uncovered(&coverage, &path("vm--101--disk--0")).0.contains("not active"), "{:?}", coverage.items);
}

#[test]
fn a_volume_that_comes_back_without_its_cache_says_so() {
    let cached = |lvs: String| {
        let row = lvs.lines().find(|line| line.contains(r#""lv_name":"root""#)).unwrap().to_owned();
        let changed = row.replace(r#""segtype":"linear""#, r#""segtype":"cache""#);
        lvs.replace(&row, &changed.replace(r#""origin":"""#, r#""origin":"[root_corig]""#))
    };
    let coverage = volumes(cached).coverage(&[]);
    let Verdict::Captured { how } = verdict(&coverage, "/") else { panic!("{:?}", coverage.items) };
    assert_eq!(how, "its files are archived; its volume comes back without a cache");
}

#[test]
fn a_mirrored_host_is_captured_and_a_level_that_cannot_be_made_is_not() {
    let array = |level: &str, members: [&str; 2]| layout::md::Array {
        uuid: format!("{level}:0:0:{}", members[0].len()),
        name: format!("host:{}", members[0].replace('/', "")),
        level: level.to_owned(),
        metadata: "1.2".to_owned(),
        devices: 2,
        chunk: Bytes(0),
        layout: 0,
        members: members.iter().map(|member| Some((*member).to_owned())).collect(),
        spares: Vec::new(),
    };
    let member = || Content::Other("linux_raid_member".into());
    let mirror = |level: &str| {
        let mut host = Host::default()
            .gpt("sda", &[(ESP, member()), (LINUX, member())])
            .gpt("sdb", &[(ESP, member()), (LINUX, member())])
            .device("md0", "raid1", &["sda1", "sdb1"])
            .holds("md0", vfat(""))
            .device("md1", level, &["sda2", "sdb2"])
            .holds("md1", ext("root", ""))
            .mounted("md1", "/", "ext4");
        host.stacks.arrays.insert("md0".into(), array("raid1", ["/dev/sda1", "/dev/sdb1"]));
        host.stacks.arrays.insert("md1".into(), array(level, ["/dev/sda2", "/dev/sdb2"]));
        host
    };
    let coverage = mirror("raid1").mounted("md0", "/boot/efi", "vfat").coverage(&[]);
    assert_eq!(coverage.uncovered().count(), 0, "{:?}", coverage.items);
    let coverage = mirror("raid1").coverage(&[]);
    let (reason, system) = uncovered(&coverage, "/dev/md0");
    assert!(reason.contains("not mounted") && system, "an ESP on an array carries the system too: {reason}");
    let coverage = mirror("faulty").mounted("md0", "/boot/efi", "vfat").coverage(&[]);
    assert!(uncovered(&coverage, "/").0.contains("level faulty cannot be made"));
}
