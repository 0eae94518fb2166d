//! What the configuration, the layout and the archive of a guest say of whether the rescue can bring it back.

use std::fs;
use std::path::Path;

use guests::proxmox::config::Config;
use guests::proxmox::vma::writer::Writer;
use layout::lvm::VolumeGroup;
use layout::{Bytes, NodeId};
use manifest::Digest;
use manifest::host::{GuestKind, Item, Verdict};

use super::*;

const STORAGES: &str = "dir: local\n\tpath /var/lib/vz\n\tcontent backup\n\nlvmthin: thin\n\tvgname pve\n\tthinpool data\n\n\
                        lvm: plain\n\tvgname pve\n\nlvmthin: old\n\tvgname other\n\tthinpool data\n\nlvmthin: gone\n\tvgname pve\n\tthinpool fast\n\n\
                        nfs: nas\n\tserver s\n\texport /e\n\tcontent images\n";
const PATH: &str = "/var/lib/vz/dump/vzdump-qemu-100-2024_01_02-03_04_05.vma";

fn wish(kind: Kind, config: &str) -> Wish {
    let guest = Config::parse("100.conf", kind, config).unwrap().guest("100", "pve1").unwrap();
    Wish::of(&guest, &Storages::parse("storage.cfg", STORAGES).unwrap())
}

fn node(id: &str, on: &[&str], kind: Node) -> layout::Node {
    let on = on.iter().map(|id| NodeId((*id).to_owned())).collect();
    layout::Node { id: NodeId(id.to_owned()), on, path: format!("/dev/{id}"), size: Bytes::GIB, kind }
}

/// A group on a disk with the root, and one on a disk of which nothing is captured.
fn layout() -> Layout {
    let disk = || {
        Node::Disk(layout::disk::Disk {
            model: String::new(),
            serial: None,
            wwn: None,
            transport: None,
            logical_sector: 512,
            physical_sector: 512,
            removable: false,
            rotational: false,
            table: layout::disk::Table::None,
        })
    };
    let group = |name: &str| {
        let (uuid, name) = (name.to_owned(), name.to_owned());
        Node::Vg(VolumeGroup { uuid, name, extent: Bytes(4 << 20), free: 0, tags: Vec::new() })
    };
    let pool = |group: &str| {
        let form = Form::ThinPool { chunk: Bytes(65_536), metadata: Bytes(0), zero: true, discards: String::new() };
        let (uuid, group, name) = (String::new(), group.to_owned(), "data".to_owned());
        Node::Lv(LogicalVolume { uuid, group, name, form, writable: true, tags: Vec::new() })
    };
    let swap = Node::Swap(layout::swap::Swap { uuid: String::new(), label: String::new() });
    let nodes = vec![
        node("a", &[], disk()),
        node("pve", &["a"], group("pve")),
        node("pve/data", &["pve"], pool("pve")),
        node("swap", &["pve"], swap),
        node("b", &[], disk()),
        node("other", &["b"], group("other")),
        node("other/data", &["other"], pool("other")),
    ];
    Layout { nodes, mounts: Vec::new() }
}

fn coverage() -> Coverage {
    let verdict = Verdict::Captured { how: String::new() };
    let item = Item { node: NodeId("swap".to_owned()), path: String::new(), what: String::new(), mount: None, verdict };
    Coverage { items: vec![item], exclusions: Vec::new(), unused_waivers: Vec::new() }
}

/// A machine's guest with this configuration, whose archive has one disk of 100000 bytes, 8192 of them stored, and a TPM's state.
fn settled(root: &Path, held: Held, config: &str) -> One {
    let mut disk = vec![0; 100_000];
    disk[70_000..74_000].fill(7);
    let writer =
        Writer::new(*b"0123456789abcdef").device("drive-scsi0", 100_000).device("drive-tpmstate0-backup", 4096);
    let bytes = writer.bytes(&[&disk, &[1; 4096]]).unwrap();
    let file = root.join(PATH.trim_start_matches('/'));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if !file.exists() {
        fs::write(&file, bytes).unwrap();
    }
    let mut one = One::new("100", "mail", GuestKind::Machine);
    let (storage, made) = ("local".to_owned(), String::new());
    one.guest.archive =
        Some(Archive { path: PATH.to_owned(), storage, bytes: 1, made, sha256: None, held, offline: Vec::new() });
    one.offline = Some(wish(Kind::Machine, config));
    settle(&mut one, &Source::new(root), &layout(), &coverage(), &mut Digests::open(root));
    one
}

#[test]
fn each_disk_of_the_archive_gets_the_volume_that_the_configuration_names() {
    let root = tempfile::tempdir().unwrap();
    let config = "name: mail\nscsi0: thin:vm-100-disk-0,size=1G\ntpmstate0: plain:vm-100-disk-1,size=4M\nide2: none,media=cdrom\n\
                  ide0: thin:vm-100-cloudinit,media=cdrom\nunused0: thin:vm-100-disk-9\n";
    let one = settled(root.path(), Held::Captured, config);
    assert_eq!(one.lost, None);
    let archive = one.guest.archive.unwrap();
    let disks: Vec<_> = archive
        .offline
        .iter()
        .map(|disk| (disk.device.as_str(), disk.bytes, disk.stored, disk.pool.as_deref(), disk.volume.as_str()))
        .collect();
    assert_eq!(
        disks,
        [
            ("drive-scsi0", 100_000, 8192, Some("data"), "vm-100-disk-0"),
            ("drive-tpmstate0-backup", 4096, 4096, None, "vm-100-disk-1")
        ]
    );
    let bytes = fs::read(root.path().join(PATH.trim_start_matches('/'))).unwrap();
    assert_eq!(archive.sha256, Some(Digest::of(&bytes)));
}

#[test]
fn what_cannot_be_brought_back_before_the_first_start_is_named_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    for (config, words) in [
        ("scsi0: nas:100/a.qcow2\n", "its scsi0 is on storage nas, which is no LVM"),
        ("scsi0: none-such:vm-100-disk-0\n", "storage none-such, which there is not"),
        ("scsi0: /dev/disk/by-id/ata-X\n", "its scsi0 is the host's own /dev/disk/by-id/ata-X"),
        ("scsi0: thin:vm-100-disk-0\nscsi1: thin:vm-100-disk-1,backup=0\n", "its scsi1 is in no backup"),
        ("scsi0: thin:base-9-disk-0/vm-100-disk-0\n", "which is no volume of its own"),
        (
            "scsi0: thin:vm-100-disk-0\nscsi1: plain:vm-100-disk-0\n",
            "its scsi1 is the volume vm-100-disk-0, which is no volume",
        ),
        ("cores: 1\n", "it has no disk"),
        ("scsi0: old:vm-100-disk-0\n", "in the volume group other, which a restore does not make"),
        ("scsi0: gone:vm-100-disk-0\n", "in the thin pool pve/fast, which a restore does not make"),
        ("scsi0: thin:vm-100-disk-0\nscsi1: thin:vm-100-disk-1\n", "-03_04_05.vma, has no scsi1"),
    ] {
        let one = settled(root.path(), Held::Captured, config);
        let lost = one.lost.unwrap_or_default();
        assert!(lost.contains(words) && lost.contains("(offline)"), "{words:?} is not in {lost:?}");
        assert!(one.guest.archive.unwrap().offline.is_empty() && one.guest.notes.iter().any(|note| note.gap));
    }
    let one = settled(root.path(), Held::Referenced, "scsi0: thin:vm-100-disk-0\n");
    assert!(one.lost.unwrap().contains("is not in the snapshot"));
    assert!(
        matches!(wish(Kind::Container, "rootfs: thin:vm-100-disk-0\n"), Wish(Err(why)) if why.contains("a container"))
    );
}

#[test]
fn a_damaged_archive_is_named_at_the_capture_and_not_after_the_disaster() {
    let root = tempfile::tempdir().unwrap();
    let config = "scsi0: thin:vm-100-disk-0\n";
    assert_eq!(settled(root.path(), Held::Captured, config).lost, None);
    let path = root.path().join(PATH.trim_start_matches('/'));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 4000]).unwrap();
    let lost = settled(root.path(), Held::Captured, config).lost.unwrap();
    assert!(lost.contains("is damaged") && lost.contains("cut off"), "{lost}");
    fs::write(&path, [&bytes[..], &[0; 4]].concat()).unwrap();
    assert!(settled(root.path(), Held::Captured, config).lost.is_some());
}

#[test]
fn an_archive_that_is_as_it_was_is_not_read_again() {
    let root = tempfile::tempdir().unwrap();
    settled(root.path(), Held::Captured, "scsi0: thin:vm-100-disk-0\n");
    let path = root.path().join(PATH.trim_start_matches('/'));
    let state = root.path().join("state");
    let mut first = Digests::open(&state);
    let read = first.contents(&path).unwrap();
    // By its digest alone it is known too, and not the other way round.
    assert_eq!(first.known(&path), Some(read.0.clone()));
    first.close();
    let kept = fs::read_to_string(state.join("cache/archives.json")).unwrap();
    assert!(kept.contains("drive-scsi0"), "{kept}");
    let mut again = Digests::open(&state);
    assert_eq!(again.contents(&path).unwrap(), read);
    fs::write(&path, b"x").unwrap();
    assert!(again.contents(&path).is_err());
}
