//! Disks of archives into files that stand for volumes, which hold something else before; every failure leaves no volume behind.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

use std::cell::RefCell;
use std::fs;

use guests::proxmox::vma::writer::Writer;
use layout::lvm::Form;
use manifest::Digest;
use manifest::host::{Archive, Guest, GuestKind, Held, OfflineDisk};

use super::plan::Before;
use super::*;

const PATH: &str = "var/lib/vz/dump/vzdump-qemu-100-2024_01_02-03_04_05.vma";
const EXTENT: u64 = 1 << 20;

/// A folder that stands for the restored system and for its volumes.
struct Place {
    folder: tempfile::TempDir,
    /// What was asked of the volumes, in order.
    calls: RefCell<Vec<String>>,
    /// The volume of this name cannot be made.
    full: &'static str,
    /// None can be removed.
    stuck: bool,
}

impl Volumes for Place {
    /// A new volume holds what lay on the disk before.
    fn make(&self, volume: &LogicalVolume, size: Bytes, _extent: Bytes) -> Result<PathBuf, String> {
        self.calls.borrow_mut().push(format!("make {} {}", volume.name, size.0));
        if volume.name == self.full {
            return Err("the group is full".to_owned());
        }
        let path = self.volume(&volume.name);
        let thin = matches!(volume.form, Form::Thin { .. });
        fs::write(&path, vec![if thin { 0 } else { 0xa5 }; usize::try_from(size.0).unwrap()]).unwrap();
        Ok(path)
    }

    fn remove(&self, volume: &LogicalVolume) -> Result<(), String> {
        self.calls.borrow_mut().push(format!("remove {}", volume.name));
        if self.stuck {
            return Err("it is in use".to_owned());
        }
        fs::remove_file(self.volume(&volume.name)).map_err(|error| error.to_string())
    }
}

/// Content with holes: of blocks, of clusters, of whole chunks.
fn content(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|at| if at / 4096 % 7 < 3 || at / 300_000 == 1 { 0 } else { (at * seed % 253) as u8 }).collect()
}

fn first() -> Vec<u8> {
    content(1_300_000, 7)
}

fn second() -> Vec<u8> {
    content(2 << 20, 11)
}

/// An archive of a machine with two disks and one that nobody wants.
fn vma() -> Vec<u8> {
    let writer = Writer::new(*b"0123456789abcdef").config("qemu-server.conf", b"name: mail\n");
    let writer = writer.device("drive-scsi0", 1_300_000).device("drive-scsi1", 2 << 20).device("drive-old", 4096);
    writer.bytes(&[&first(), &second(), &[1; 4096]]).unwrap()
}

impl Place {
    fn new(archive: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PATH);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, archive).unwrap();
        Self { folder, calls: RefCell::default(), full: "", stuck: false }
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Brings guest 100 back: its first disk into a thin volume, its second into a plain one, or both into thin ones of such a pool.
    fn bring(&self, guest: &Guest, before: [Before; 2]) -> Brought {
        let archive = guest.archive.as_ref().unwrap();
        let target = |(disk, before): (_, Before)| {
            let disk: &OfflineDisk = disk;
            let thin = Form::Thin { pool: "data".to_owned() };
            let volume = LogicalVolume {
                uuid: String::new(),
                group: "pve".to_owned(),
                name: disk.volume.clone(),
                form: if before == Before::Zeroes { thin } else { Form::Linear },
                writable: true,
                tags: Vec::new(),
            };
            let size = Bytes(disk.bytes.next_multiple_of(EXTENT));
            Target { disk, volume, size, extent: Bytes(EXTENT), before }
        };
        let targets = Ok(archive.offline.iter().zip(before).map(target).collect());
        let planned = Planned { guest, archive, targets };
        Brought(vec![bring(self.folder.path(), &planned, self, &|_| ())])
    }

    fn asked(&self) -> Vec<String> {
        self.calls.take()
    }
}

fn guest(archive: &[u8]) -> Guest {
    let disk = |device: &str, bytes, pool: Option<&str>, volume: &str| OfflineDisk {
        device: device.to_owned(),
        bytes,
        stored: bytes,
        group: "pve".to_owned(),
        pool: pool.map(str::to_owned),
        volume: volume.to_owned(),
    };
    let archive = Archive {
        path: format!("/{PATH}"),
        storage: "local".to_owned(),
        bytes: archive.len() as u64,
        made: "2024-01-02T03:04:05".to_owned(),
        sha256: Some(Digest::of(archive)),
        held: Held::Captured,
        offline: vec![
            disk("drive-scsi0", 1_300_000, Some("data"), "vm-100-disk-0"),
            disk("drive-scsi1", 2 << 20, None, "vm-100-disk-1"),
        ],
    };
    let (id, name) = ("100".to_owned(), "mail".to_owned());
    Guest { id, name, kind: GuestKind::Machine, starts: true, order: None, archive: Some(archive), notes: Vec::new() }
}

const USUAL: [Before; 2] = [Before::Zeroes, Before::Anything];

fn failed(brought: &Brought) -> String {
    brought.0[0].failed.clone().unwrap_or_default()
}

#[test]
fn each_disk_lies_in_its_volume_byte_for_byte_and_the_rest_of_it_is_zero() {
    const CHUNK: usize = 256 << 10;
    let chunk = Before::Chunks(Bytes(CHUNK as u64));
    for before in [USUAL, [Before::Anything, Before::Anything], [chunk, chunk]] {
        let place = Place::new(&vma());
        let mut brought = place.bring(&guest(&vma()), before);
        assert_eq!(failed(&brought), "");
        assert_eq!(place.asked(), ["make vm-100-disk-0 2097152", "make vm-100-disk-1 2097152"]);
        for (name, disk) in [("vm-100-disk-0", first()), ("vm-100-disk-1", second())] {
            let found = fs::read(place.volume(name)).unwrap();
            // A chunk that nothing was written to is none: a pool shows it as zeroes, though the file here shows what was there.
            let mut chunks = disk.chunks(CHUNK).zip(found.chunks(CHUNK));
            let touched = |disk: &[u8]| before[0] != chunk || disk.iter().any(|byte| *byte != 0);
            let wrong = chunks.position(|(disk, found)| touched(disk) && *disk != found[..disk.len()]);
            assert_eq!(wrong, None, "{name} {before:?}");
            assert!(before[0] == chunk || found[disk.len()..].iter().all(|byte| *byte == 0), "{name} {before:?}");
        }
        if before[0] != chunk {
            brought.prove(&place, &|_| ());
            assert_eq!(failed(&brought), "");
        }
    }
}

#[test]
fn what_is_read_back_otherwise_is_removed_and_the_guest_comes_back_at_the_first_start() {
    for at in [5_000, 299_999, 2_000_000] {
        let place = Place::new(&vma());
        let mut brought = place.bring(&guest(&vma()), USUAL);
        let path = place.volume("vm-100-disk-1");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        brought.prove(&place, &|_| ());
        assert!(failed(&brought).contains("is not what was written"), "{}", failed(&brought));
        assert_eq!(place.asked()[2..], ["remove vm-100-disk-1", "remove vm-100-disk-0"]);
        let word = &brought.words()[0];
        assert!(word.failed.is_some() && word.volumes.is_empty());
        assert!(brought.failures().next().unwrap().contains("comes back at the first start"));
    }
}

#[test]
fn an_archive_that_is_not_the_one_or_not_whole_leaves_no_volume() {
    let good = vma();
    let mut changed = good.clone();
    // A byte of a disk: VMA has no sum over it.
    let end = changed.len() - 10;
    changed[end] ^= 1;
    let mut broken = good.clone();
    broken[12_300] ^= 1;
    let missing = good[..good.len() - 70_000].to_vec();
    for (archive, words) in [(&changed, "its digest differs"), (&broken, "is damaged"), (&missing, "cut off")] {
        let place = Place::new(archive);
        // The digest and the length are those of what was captured, but for the ones that are about the form.
        let mut guest = guest(archive);
        if words == "its digest differs" {
            guest.archive.as_mut().unwrap().sha256 = Some(Digest::of(&good));
        }
        let brought = place.bring(&guest, USUAL);
        assert!(failed(&brought).contains(words), "{words}: {}", failed(&brought));
        assert_eq!(place.asked()[2..], ["remove vm-100-disk-1", "remove vm-100-disk-0"], "{words}");
    }
}

#[test]
fn nothing_is_made_for_an_archive_that_is_not_there() {
    let place = Place::new(&vma()[..100]);
    assert!(failed(&place.bring(&guest(&vma()), USUAL)).contains("is not the file of"));
    fs::remove_file(place.folder.path().join(PATH)).unwrap();
    assert!(failed(&place.bring(&guest(&vma()), USUAL)).contains("opening its archive"));
    let mut unsigned = guest(&vma());
    unsigned.archive.as_mut().unwrap().sha256 = None;
    assert!(failed(&place.bring(&unsigned, USUAL)).contains("no digest"));
    assert!(place.asked().is_empty());
}

#[test]
fn a_link_of_the_restored_system_leads_to_its_own_files_and_never_out_of_it() {
    let place = Place::new(&vma());
    let dump = place.folder.path().join("var/lib/vz/dump");
    fs::create_dir(place.folder.path().join("srv")).unwrap();
    fs::rename(&dump, place.folder.path().join("srv/dump")).unwrap();
    std::os::unix::fs::symlink("/srv/dump", &dump).unwrap();
    assert_eq!(failed(&place.bring(&guest(&vma()), USUAL)), "");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join(Path::new(PATH).file_name().unwrap()), vma()).unwrap();
    fs::remove_file(&dump).unwrap();
    std::os::unix::fs::symlink(outside.path(), &dump).unwrap();
    assert!(failed(&place.bring(&guest(&vma()), USUAL)).contains("opening its archive"));
}

#[test]
fn a_group_without_room_leaves_nothing_and_what_cannot_be_removed_is_said() {
    let place = Place { full: "vm-100-disk-1", ..Place::new(&vma()) };
    let brought = place.bring(&guest(&vma()), USUAL);
    assert_eq!(failed(&brought), "the group is full");
    assert_eq!(place.asked()[2..], ["remove vm-100-disk-0"]);
    let place = Place { full: "vm-100-disk-1", stuck: true, ..Place::new(&vma()) };
    let brought = place.bring(&guest(&vma()), USUAL);
    assert_eq!(failed(&brought), "the group is full; it is in use");
    assert_eq!(brought.words()[0].volumes, ["pve/vm-100-disk-0"]);
    assert!(brought.failures().next().unwrap().contains("pve/vm-100-disk-0 could not be removed"));
}

#[test]
fn a_disk_of_another_size_than_was_recorded_is_refused() {
    let place = Place::new(&vma());
    let mut guest = guest(&vma());
    guest.archive.as_mut().unwrap().offline[0].bytes = 1_200_000;
    assert!(failed(&place.bring(&guest, USUAL)).contains("has no disk drive-scsi0 of 1200000 bytes"));
    guest.archive.as_mut().unwrap().offline[0].bytes = 1 << 20;
    assert!(failed(&place.bring(&guest, USUAL)).contains("drive-scsi0 is larger than its volume"));
}
