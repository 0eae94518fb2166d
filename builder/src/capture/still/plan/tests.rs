//! Which filesystems of captured layouts can be read from a snapshot, and from which kind.

use layout::lsblk;
use layout::lvm::report;
use layout::mountinfo;
use layout::probe::{Content, Probe, Stacks, assemble};

use super::*;

/// The machine of `layout/fixtures/stacks`, with an ext4 on each volume that is mounted.
fn host(mounts: &[(&str, &str)]) -> Layout {
    let devices = lsblk::parse(include_str!("../../../../../layout/fixtures/stacks/lsblk-kinds.json")).unwrap();
    let lvm = report::parse(
        include_str!("../../../../../layout/fixtures/stacks/pvs-kinds.json"),
        include_str!("../../../../../layout/fixtures/stacks/vgs-kinds.json"),
        include_str!("../../../../../layout/fixtures/stacks/lvs-kinds.json"),
    )
    .unwrap();
    let table: String = mounts
        .iter()
        .enumerate()
        .map(|(at, (device, path))| {
            let number = &devices.iter().find(|found| found.path == *device).unwrap().number;
            format!("{} {} {number} / {path} rw - ext4 {device} rw\n", 20 + at, if at == 0 { 1 } else { 20 })
        })
        .collect();
    let superblock = include_bytes!("../../../../../layout/fixtures/ext4.superblock");
    let ext = layout::ext::Ext::parse(superblock).unwrap();
    let probes = devices.iter().filter(|device| mounts.iter().any(|(path, _)| device.path == *path)).map(|device| {
        let uuid = format!("{}-{}", ext.uuid, device.kname);
        (device.kname.clone(), Probe { table: None, content: Content::Ext(layout::ext::Ext { uuid, ..ext.clone() }) })
    });
    let probes = probes.collect();
    assemble(&devices, &probes, &Stacks { lvm, ..Stacks::default() }, &mountinfo::parse(table.as_bytes()))
}

fn at<'a>(found: &'a [Filesystem], place: &str) -> &'a Means {
    &found.iter().find(|filesystem| filesystem.place() == place).unwrap().means
}

#[test]
fn filesystems_on_volumes_have_snapshots_of_their_kind() {
    let layout = host(&[
        ("/dev/mapper/vg--one-root", "/"),
        ("/dev/mapper/vg--one-striped", "/srv"),
        ("/dev/mapper/vg--one-mirrored", "/home"),
        ("/dev/mapper/vg--one-vm--100--disk--0", "/thin"),
        ("/dev/mapper/vg--one-root--before", "/before"),
        ("/dev/mapper/vg--one-vm--101--disk--0", "/data"),
    ]);
    let cross = ["/srv", "/home", "/thin", "/before", "/data"].map(PathBuf::from);
    let found = filesystems(&layout, &cross, &|place| place == "/data");
    let volume = |name: &str, mib: u64, pool: Option<&str>| {
        let (group, name, pool) = ("vg-one".to_owned(), name.to_owned(), pool.map(str::to_owned));
        Means::Volume(Volume { group, name, size: mib << 20, pool })
    };
    assert_eq!(*at(&found, "/"), volume("root", 200, None));
    assert_eq!(*at(&found, "/srv"), volume("striped", 64, None));
    assert_eq!(*at(&found, "/home"), volume("mirrored", 64, None));
    assert_eq!(*at(&found, "/thin"), volume("vm-100-disk-0", 1024, Some("pool")));
    assert!(matches!(at(&found, "/before"), Means::None(why) if why.contains("a snapshot itself")));
    assert!(matches!(at(&found, "/data"), Means::None(why) if why.contains("the vault")));
    assert_eq!(filesystems(&layout, &[], &|_| false).len(), 1, "what is not archived needs none");
}

#[test]
fn encrypted_folders_are_read_where_their_keys_are() {
    let mut layout = host(&[("/dev/mapper/vg--one-root", "/")]);
    for node in &mut layout.nodes {
        if let Kind::Ext(ext) = &mut node.kind {
            ext.features.push("encrypt".to_owned());
        }
    }
    assert!(matches!(at(&filesystems(&layout, &[], &|_| false), "/"), Means::None(why) if why.contains("keys")));
}

#[test]
fn every_subvolume_that_is_read_has_a_snapshot_and_what_is_hidden_stays_so() {
    let mut btrfs = Btrfs::parse(include_bytes!("../../../../../layout/fixtures/btrfs/plain.superblock")).unwrap().0;
    btrfs.take_listing(
        include_str!("../../../../../layout/fixtures/btrfs/inside.all"),
        include_str!("../../../../../layout/fixtures/btrfs/inside.read-only"),
        include_str!("../../../../../layout/fixtures/btrfs/plain.default"),
        include_str!("../../../../../layout/fixtures/btrfs/plain.usage"),
    );
    let node = Node {
        id: NodeId("fs:1".into()),
        on: Vec::new(),
        path: "/dev/vda1".to_owned(),
        size: layout::Bytes::GIB,
        kind: Kind::Btrfs(btrfs),
    };
    let mounts = [("@", "/"), ("", "/mnt/top")].map(|(subvolume, path)| layout::Mount {
        node: node.id.clone(),
        path: path.to_owned(),
        fstype: "btrfs".to_owned(),
        options: "rw".to_owned(),
        subvolume: Some(subvolume.to_owned()),
    });
    let layout = Layout { nodes: vec![node], mounts: mounts.into() };
    let found = filesystems(&layout, &["/mnt/top".into()], &|place| place == "/mnt/top");
    assert_eq!((found.len(), &found[0].places), (1, &vec!["/".to_owned(), "/mnt/top".to_owned()]));
    let Means::Subvolumes(found) = &found[0].means else { panic!("{found:?}") };
    let read: Vec<(&str, &str)> = found.read.iter().map(|(path, place)| (path.as_str(), place.as_str())).collect();
    assert_eq!(read[..4], [("", "/mnt/top"), ("@", "/"), ("@/folder/sub", "/folder/sub"), ("@/inner", "/inner")]);
    assert_eq!(found.hidden, ["/mnt/top/@", "/mnt/top/before"]);
}

#[test]
fn where_snapshots_are_required_a_boot_loaders_own_filesystem_needs_none() {
    let filesystem = |place: &str, fstype: &str| Filesystem {
        places: vec![place.to_owned()],
        fstype: fstype.to_owned(),
        means: Means::None(String::new()),
    };
    assert!(filesystem("/", "ext4").is_required() && filesystem("/bootstrap", "ext4").is_required());
    assert!(!filesystem("/boot", "ext4").is_required() && !filesystem("/boot/efi", "vfat").is_required());
    assert!(!filesystem("/var/lib/lifeboat-aside/1", "vfat").is_required());
}
