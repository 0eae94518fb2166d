//! Assembling the graph from captured tools' output.

use super::*;
use crate::gpt::{ESP, GptTable};
use crate::mountinfo;
use crate::units::Guid;

fn device(kname: &str, number: &str, kind: &str, parents: &[&str]) -> BlockDevice {
    BlockDevice {
        kname: kname.into(),
        path: format!("/dev/{kname}"),
        number: number.into(),
        kind: kind.into(),
        size: Bytes::GIB,
        parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        ..BlockDevice::default()
    }
}

fn ext(uuid: &str) -> Content {
    let mut ext = Ext::parse(include_bytes!("../../fixtures/ext4.superblock")).unwrap();
    ext.uuid = uuid.into();
    Content::Ext(ext)
}

fn holds(content: Content) -> Probe {
    Probe { table: None, content }
}

fn gpt(types: &[&str]) -> Probe {
    let guid = |index: usize| Guid::new(&format!("00000000-0000-0000-0000-{index:012}")).unwrap();
    let partitions = types.iter().enumerate().map(|(index, kind)| Partition {
        number: index as u32 + 1,
        type_guid: Guid::new(kind).unwrap(),
        guid: guid(index + 1),
        name: String::new(),
        attributes: 0,
        first_lba: 2048 * (index as u64 + 1),
        sectors: 2048,
    });
    let table = GptTable {
        guid: guid(0),
        first_usable: 34,
        last_usable: 99999,
        capacity: 128,
        alignment: 2048,
        boot_code: false,
        active: false,
    };
    Probe { table: Some((Table::Gpt(table), partitions.collect())), content: Content::Unknown }
}

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

/// The kinds below `id`, as a line of text.
fn tree(layout: &Layout, id: &NodeId) -> String {
    let node = layout.node(id).unwrap();
    let children: Vec<String> = layout.children(id).map(|child| tree(layout, &child.id)).collect();
    let kind = match &node.kind {
        Kind::Disk(_) => "disk",
        Kind::Partition(_) => "part",
        Kind::Ext(_) => "ext",
        Kind::Xfs(_) => "xfs",
        Kind::Btrfs(_) => "btrfs",
        Kind::Array(array) => array.short_name(),
        Kind::Pv(_) => "pv",
        Kind::Vg(group) => &group.name,
        Kind::Lv(volume) => &volume.name,
        Kind::Pool(pool) => &pool.name,
        Kind::Dataset(dataset) => &dataset.name,
        Kind::Vfat(_) => "vfat",
        Kind::Swap(_) => "swap",
        Kind::Luks(luks) => luks.name.as_deref().unwrap_or("closed"),
        Kind::Volatile(_) => "volatile",
        Kind::Opaque(opaque) => &opaque.what,
    };
    if children.is_empty() { kind.to_owned() } else { format!("{kind}({})", children.join(" ")) }
}

#[test]
fn a_workstation_becomes_disk_partitions_filesystems_and_mounts() {
    let mut disk = device("vda", "254:0", "disk", &[]);
    disk.serial = Some("QM0001".into());
    let parts = (1..=5).map(|number| device(&format!("vda{number}"), &format!("254:{number}"), "part", &["vda"]));
    let devices: Vec<BlockDevice> = std::iter::once(disk).chain(parts).collect();
    let vfat = Vfat {
        serial: "ABCD-1234".into(),
        label: String::new(),
        fat_bits: 32,
        sector_size: 512,
        cluster_size: 4096,
        used: Bytes(0),
    };
    let swap = Swap { uuid: "5".into(), label: String::new() };
    let probes = BTreeMap::from([
        ("vda".to_owned(), gpt(&[BIOS_BOOT, ESP, LINUX, LINUX, LINUX])),
        ("vda1".to_owned(), holds(Content::Unknown)),
        ("vda2".to_owned(), holds(Content::Vfat(vfat))),
        ("vda3".to_owned(), holds(ext("root"))),
        ("vda4".to_owned(), holds(Content::Swap(swap))),
        ("vda5".to_owned(), holds(Content::Blank)),
    ]);
    let mounts = mountinfo::parse(
        b"1 0 254:3 / / rw - ext4 /dev/vda3 rw\n2 1 254:2 / /boot/efi rw - vfat /dev/vda2 rw,umask=0077\n\
          3 1 254:3 /srv /export rw - ext4 /dev/vda3 rw\n4 1 0:5 / /proc rw - proc proc rw\n",
    );
    let layout = assemble(&devices, &probes, &Stacks::default(), &mounts);
    assert_eq!(tree(&layout, &NodeId("disk:QM0001".into())), "disk(part part(vfat) part(ext) part(swap) part)");
    let mounted: Vec<(&str, &str)> = layout.mounts.iter().map(|m| (m.path.as_str(), m.node.0.as_str())).collect();
    assert_eq!(mounted, [("/", "fs:root"), ("/boot/efi", "fs:ABCD-1234")]);
    let disks = layout.disks_below(&NodeId("fs:root".into()));
    assert_eq!(disks.into_iter().collect::<Vec<_>>(), [&NodeId("disk:QM0001".into())]);
}

#[test]
fn volumes_lie_on_what_their_devices_hold() {
    let devices = [
        device("sda", "8:0", "disk", &[]),
        device("sda1", "8:1", "part", &["sda"]),
        device("md0", "9:0", "raid1", &["sda1", "sdb1"]),
        device("dm-0", "253:0", "lvm", &["md0"]),
        device("sdb", "8:16", "disk", &[]),
        device("sdb1", "8:17", "part", &["sdb"]),
    ];
    let member = || holds(Content::Other("linux_raid_member".into()));
    let probes = BTreeMap::from([
        ("sda".to_owned(), gpt(&[LINUX])),
        ("sdb".to_owned(), gpt(&[LINUX])),
        ("sda1".to_owned(), member()),
        ("sdb1".to_owned(), member()),
        ("md0".to_owned(), holds(Content::Other("LVM2_member".into()))),
        ("dm-0".to_owned(), holds(ext("root"))),
    ]);
    let layout = assemble(
        &devices,
        &probes,
        &Stacks::default(),
        &mountinfo::parse(b"1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n"),
    );
    let expected = "disk(part(linux_raid_member(raid1(LVM2_member(lvm(ext))))))";
    assert_eq!(tree(&layout, &NodeId("disk:sda".into())), expected);
    // Both disks have partitions with the same GUID here: a clone keeps a name of its own.
    assert_eq!(tree(&layout, &NodeId("disk:sdb".into())), expected);
    assert_eq!(layout.disks_below(&NodeId("fs:root".into())).len(), 2);
    for (index, node) in layout.nodes.iter().enumerate() {
        for parent in &node.on {
            let place = layout.nodes.iter().position(|other| other.id == *parent).unwrap();
            assert!(place < index, "{parent} comes before {}", node.id);
        }
    }
}

#[test]
fn a_filesystem_on_a_whole_disk_and_a_dos_disk_are_kept_by_name() {
    let devices = [
        device("vda", "254:0", "disk", &[]),
        device("sda", "8:0", "disk", &[]),
        device("sda1", "8:1", "part", &["sda"]),
        device("sdb", "8:16", "disk", &[]),
    ];
    let mbr = Probe { table: Some((Table::Mbr, Vec::new())), content: Content::Unknown };
    let probes = BTreeMap::from([
        ("vda".to_owned(), holds(Content::Other("ext4".into()))),
        ("sda".to_owned(), mbr),
        ("sda1".to_owned(), holds(ext("data"))),
        ("sdb".to_owned(), holds(Content::Unknown)),
    ]);
    let layout =
        assemble(&devices, &probes, &Stacks::default(), &mountinfo::parse(b"1 0 254:0 / / rw - ext4 /dev/root rw\n"));
    assert_eq!(tree(&layout, &NodeId("disk:vda".into())), "disk(ext4)");
    assert_eq!(tree(&layout, &NodeId("disk:sda".into())), "disk(dos-partition(ext))");
    assert_eq!(tree(&layout, &NodeId("disk:sdb".into())), "disk(unknown)");
    assert_eq!(layout.mounts[0].node, NodeId("raw:vda".into()));
}

#[test]
fn loop_zram_and_empty_readers_are_not_looked_into() {
    let mut empty = device("sdc", "8:32", "disk", &[]);
    empty.size = Bytes(0);
    let devices = [
        device("loop3", "7:3", "loop", &[]),
        device("loop3p1", "259:0", "part", &["loop3"]),
        device("zram0", "253:0", "disk", &[]),
        empty,
    ];
    let probes = BTreeMap::from([("loop3".to_owned(), holds(Content::Other("squashfs".into())))]);
    let layout = assemble(
        &devices,
        &probes,
        &Stacks::default(),
        &mountinfo::parse(b"1 0 7:3 / /snap/core ro - squashfs /dev/loop3 ro\n"),
    );
    let kinds: Vec<String> = layout.nodes.iter().map(|node| tree(&layout, &node.id)).collect();
    assert_eq!(kinds, ["loop(loop)", "zram", "loop"]);
}

#[test]
fn shares_pools_and_overlays_become_nodes_of_their_own() {
    let text = b"1 0 0:30 / / rw - overlay overlay rw\n2 1 0:31 / /mnt/nas rw - nfs4 nas:/export rw\n3 1 0:31 /sub /mnt/sub rw - nfs4 nas:/export rw\n";
    let layout = assemble(&[], &BTreeMap::new(), &Stacks::default(), &mountinfo::parse(text));
    let nodes: Vec<(&str, &str)> = layout.nodes.iter().map(|node| (node.id.0.as_str(), node.path.as_str())).collect();
    assert_eq!(nodes, [("mount:/", "overlay"), ("mount:/mnt/nas", "nas:/export")]);
}

#[test]
fn a_device_that_could_not_be_read_is_named_by_its_mount() {
    let devices = [device("vda", "254:0", "disk", &[])];
    let layout = assemble(
        &devices,
        &BTreeMap::new(),
        &Stacks::default(),
        &mountinfo::parse(b"1 0 254:0 / / rw - ext4 /dev/vda rw\n"),
    );
    assert_eq!(tree(&layout, &NodeId("disk:vda".into())), "disk(ext4)");
}

#[test]
fn a_filesystem_of_which_only_a_folder_is_mounted_is_not_mounted() {
    let devices = [device("sda", "8:0", "disk", &[]), device("sda1", "8:1", "part", &["sda"])];
    let probes = BTreeMap::from([("sda".to_owned(), gpt(&[LINUX])), ("sda1".to_owned(), holds(ext("data")))]);
    let text = b"1 0 0:30 / / rw - overlay overlay rw\n2 1 8:1 /folder /srv rw - ext4 /dev/sda1 rw\n";
    let layout = assemble(&devices, &probes, &Stacks::default(), &mountinfo::parse(text));
    assert!(layout.mount_at("/srv").is_none());
}

#[test]
fn captured_volumes_lie_on_their_group_and_thin_ones_on_their_pool() {
    let devices = crate::lsblk::parse(include_str!("../../fixtures/stacks/lsblk-kinds.json")).unwrap();
    let lvm = crate::lvm::report::parse(
        include_str!("../../fixtures/stacks/pvs-kinds.json"),
        include_str!("../../fixtures/stacks/vgs-kinds.json"),
        include_str!("../../fixtures/stacks/lvs-kinds.json"),
    );
    let stacks = Stacks { lvm: lvm.unwrap(), ..Stacks::default() };
    let root = devices.iter().find(|device| device.path.ends_with("vg--one-root")).unwrap();
    let probes = BTreeMap::from([(root.kname.clone(), holds(ext("root")))]);
    let layout = assemble(&devices, &probes, &stacks, &[]);
    let group = layout.nodes.iter().find(|node| matches!(node.kind, Kind::Vg(_))).unwrap();
    let text = tree(&layout, &group.id);
    assert!(text.contains("root(ext)"), "{text}");
    assert!(text.contains("pool(vm-100-disk-0(unknown) vm-101-disk-0(unknown))"), "{text}");
    assert!(!text.contains("rimage") && !text.contains("tdata") && !text.contains("tpool"), "{text}");
    let names: Vec<&str> = layout.disks_below(&NodeId("fs:root".into())).iter().map(|id| id.0.as_str()).collect();
    assert_eq!(names, ["disk:vda", "disk:vdb"]);
    let place = |id: &NodeId| layout.nodes.iter().position(|node| node.id == *id);
    assert!(layout.nodes.iter().all(|node| node.on.iter().all(|below| place(below) < place(&node.id))));
}

#[test]
fn captured_arrays_lie_on_their_members() {
    let devices = crate::lsblk::parse(include_str!("../../fixtures/stacks/lsblk-md.json")).unwrap();
    let array = |text: &str| Array::parse(text, Bytes(0), 0).unwrap();
    let arrays = BTreeMap::from([
        ("md125".to_owned(), array(include_str!("../../fixtures/stacks/mdadm.detail-data"))),
        ("md124".to_owned(), array(include_str!("../../fixtures/stacks/mdadm.detail-four"))),
    ]);
    let probes = BTreeMap::from([
        ("vde".to_owned(), gpt(&[BIOS_BOOT, ESP, LINUX, LINUX])),
        ("vdf".to_owned(), gpt(&[BIOS_BOOT, ESP, LINUX, LINUX])),
        ("vde4".to_owned(), holds(Content::Other("linux_raid_member".into()))),
        ("md125".to_owned(), holds(ext("data"))),
    ]);
    let stacks = Stacks { arrays, ..Stacks::default() };
    let layout = assemble(&devices, &probes, &stacks, &[]);
    let data =
        layout.nodes.iter().find(|node| matches!(&node.kind, Kind::Array(array) if array.level == "raid0")).unwrap();
    assert_eq!(tree(&layout, &data.id), "data(ext)");
    assert_eq!(data.on.len(), 2);
    assert!(data.on.iter().all(|id| matches!(layout.node(id).unwrap().kind, Kind::Partition(_))));
    assert_eq!(layout.disks_below(&NodeId("fs:data".into())).len(), 2);
}

#[test]
fn captured_containers_hold_what_their_open_side_holds() {
    let devices = crate::lsblk::parse(include_str!("../../fixtures/stacks/lsblk-luks.json")).unwrap();
    let lvm = crate::lvm::report::parse(
        include_str!("../../fixtures/stacks/pvs-luks.json"),
        include_str!("../../fixtures/stacks/vgs-luks.json"),
        include_str!("../../fixtures/stacks/lvs-luks.json"),
    );
    let stacks = Stacks { lvm: lvm.unwrap(), ..Stacks::default() };
    let data = devices.iter().find(|device| device.path.ends_with("inner-data")).unwrap();
    let luks = |text: &str| holds(Content::Luks(Luks::parse(text).unwrap()));
    let probes = BTreeMap::from([
        ("vdc".to_owned(), luks(include_str!("../../fixtures/stacks/luks2.dump"))),
        ("vdd".to_owned(), luks(include_str!("../../fixtures/stacks/luks1.dump"))),
        (data.kname.clone(), holds(ext("data"))),
    ]);
    let layout = assemble(&devices, &probes, &stacks, &[]);
    let disk = |kname: &str| layout.nodes.iter().find(|node| node.path == format!("/dev/{kname}")).unwrap();
    assert_eq!(tree(&layout, &disk("vdc").id), "disk(sealed(pv(inner(data(ext)))))");
    let sealed = layout.node(&NodeId("luks:22222222-2222-4222-8222-222222222222".into())).unwrap();
    assert_eq!((sealed.path.as_str(), sealed.size), ("/dev/mapper/sealed", Bytes((1 << 30) - (16 << 20))));
    assert_eq!(tree(&layout, &disk("vdd").id), "disk(old(unknown))");
}

#[test]
fn a_container_that_was_closed_and_swap_with_a_key_of_the_start_are_told_apart() {
    let mut crypt = device("dm-0", "253:0", "crypt", &["sda2"]);
    crypt.path = "/dev/mapper/swap".into();
    let mut devices = vec![device("sda", "8:0", "disk", &[])];
    devices.extend((1..=2).map(|number| device(&format!("sda{number}"), &format!("8:{number}"), "part", &["sda"])));
    devices.push(crypt);
    let luks = Luks::parse(include_str!("../../fixtures/stacks/luks1.dump")).unwrap();
    let probes = BTreeMap::from([
        ("sda".to_owned(), gpt(&[LINUX, LINUX])),
        ("sda1".to_owned(), holds(Content::Luks(luks))),
        ("dm-0".to_owned(), holds(Content::Swap(Swap { uuid: "5".into(), label: String::new() }))),
    ]);
    let stacks = Stacks { volatile: ["swap".to_owned()].into(), ..Stacks::default() };
    let layout = assemble(&devices, &probes, &stacks, &[]);
    assert_eq!(tree(&layout, &NodeId("disk:sda".into())), "disk(part(closed) part(volatile))");
    let layout = assemble(&devices, &probes, &Stacks::default(), &[]);
    assert_eq!(tree(&layout, &NodeId("disk:sda".into())), "disk(part(closed) part(crypt(swap)))");
}

/// Two disks with a mirrored pool that has a filesystem, a volume with ext4 and one with a table of its own.
fn on_zfs() -> (Vec<BlockDevice>, BTreeMap<String, Probe>, Stacks) {
    let zvol = |name: &str, number: &str| device(name, number, "disk", &[]);
    let mut devices = vec![zvol("zd0", "230:0"), zvol("zd16", "230:16"), device("zd16p1", "230:17", "part", &["zd16"])];
    for disk in ["sda", "sdb"] {
        devices.push(device(disk, "8:0", "disk", &[]));
        devices.push(device(&format!("{disk}1"), "8:1", "part", &[disk]));
    }
    let member = || holds(Content::Other("zfs_member".into()));
    let probes = BTreeMap::from([
        ("sda".to_owned(), gpt(&[LINUX])),
        ("sdb".to_owned(), gpt(&[LINUX])),
        ("sda1".to_owned(), member()),
        ("sdb1".to_owned(), member()),
        ("zd0".to_owned(), holds(ext("inner"))),
        ("zd16".to_owned(), gpt(&[LINUX])),
        ("zd16p1".to_owned(), holds(ext("guest"))),
    ]);
    let line = |name: &str, kind: &str| format!("{name}\ttype\t{kind}\t-\n{name}\tvolsize\t8192\tlocal\n");
    let datasets = [
        ("tank", "filesystem"),
        ("tank/a", "filesystem"),
        ("tank/v", "volume"),
        ("tank/w", "volume"),
        ("tank/x", "volume"),
    ];
    let datasets: String = datasets.map(|(name, kind)| line(name, kind)).concat();
    let status = "  pool: tank\n\tNAME STATE\n\ttank ONLINE\n\t  mirror-0 ONLINE\n\t    /dev/sdb1 ONLINE\n\t    /dev/sda1 ONLINE\n";
    let mut zfs = crate::zfs::report::parse("tank\tsize\t100\t-\n", status, &datasets, "");
    zfs.volumes = [("zd0", "tank/v"), ("zd16", "tank/w")].map(|(node, name)| (node.to_owned(), name.to_owned())).into();
    (devices, probes, Stacks { zfs, ..Stacks::default() })
}

#[test]
fn a_pool_lies_on_its_devices_and_its_volumes_are_no_disks() {
    let (devices, probes, stacks) = on_zfs();
    let mounts = mountinfo::parse(
        b"1 0 0:25 / / rw - zfs tank/a rw,xattr\n2 1 230:0 / /srv rw - ext4 /dev/zd0 rw\n3 1 0:26 / /.zfs/snapshot/x rw - zfs tank/a@x ro\n",
    );
    let layout = assemble(&devices, &probes, &stacks, &mounts);
    let pool = layout.node(&NodeId("pool:tank".into())).unwrap();
    let on: Vec<&str> = pool.on.iter().map(|id| layout.node(id).unwrap().path.as_str()).collect();
    assert_eq!(on, ["/dev/sdb1", "/dev/sda1"]);
    // Each after what it is made below.
    let below: Vec<String> = layout.children(&pool.id).map(|child| tree(&layout, &child.id)).collect();
    assert_eq!(below, ["tank", "tank/a", "tank/v(ext)", "tank/w(guest's disk)", "tank/x(inactive volume)"]);
    assert_eq!(layout.disks().count(), 2);
    let mounted: Vec<(&str, &str)> = layout.mounts.iter().map(|m| (m.path.as_str(), m.node.0.as_str())).collect();
    assert_eq!(mounted, [("/", "dataset:tank/a"), ("/srv", "fs:inner")]);
    assert_eq!(layout.disks_below(&NodeId("fs:inner".into())).len(), 2);
    let ids: Vec<&NodeId> = layout.nodes.iter().map(|node| &node.id).collect();
    for node in &layout.nodes {
        let own = ids.iter().position(|id| **id == node.id);
        assert!(
            node.on.iter().all(|below| ids.iter().position(|id| *id == below) < own),
            "{} comes too early",
            node.id
        );
    }
}

#[test]
fn a_volume_that_zfs_tells_nothing_of_is_no_disk_of_the_host() {
    let (devices, probes, mut stacks) = on_zfs();
    stacks.zfs = crate::zfs::report::Report::default();
    let layout = assemble(&devices, &probes, &stacks, &[]);
    assert_eq!(layout.disks().count(), 2);
    let zvol = layout.nodes.iter().find(|node| node.path == "/dev/zd0").unwrap();
    assert!(matches!(&zvol.kind, Kind::Opaque(opaque) if opaque.what == "zvol"));
    assert!(layout.nodes.iter().any(|node| matches!(&node.kind, Kind::Opaque(opaque) if opaque.what == "zfs_member")));
}

#[test]
fn a_pool_with_a_device_that_is_not_shown_is_not_made_again() {
    let (mut devices, probes, stacks) = on_zfs();
    devices.retain(|device| device.kname != "sdb1");
    let layout = assemble(&devices, &probes, &stacks, &[]);
    let Kind::Pool(pool) = &layout.node(&NodeId("pool:tank".into())).unwrap().kind else { panic!() };
    assert!(pool.hindrance.as_ref().unwrap().contains("lsblk"));
}
