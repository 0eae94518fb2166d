//! Power cuts during a refresh: the writes of one are noted, and the stick is looked at as it is after every one of them, with the last
//! one torn, and with those that no sync had brought down lost in any pattern. It must boot a whole slot each time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use layout::Guid;
use manifest::{HostKey, HostName, Serial, Signer, SlotName, VaultId};

use super::slice::Medium;
use super::slot::{Owner, Slots, boot_file};
use super::system::System;
use super::table::Place;

const SECTOR: usize = 512;
/// As large as FAT32 with clusters of 4 KiB must be, and not at the start of the medium.
const ESP: Place = Place { start: 1 << 20, len: 272 << 20 };
const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

#[derive(Clone, Debug)]
enum Event {
    Write { at: u64, bytes: Vec<u8> },
    Sync,
}

/// An image file whose writes are noted.
#[derive(Debug)]
struct Recorder {
    file: File,
    tape: RefCell<Vec<Event>>,
}

impl Medium for Recorder {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, at)
    }

    fn write_at(&self, buffer: &[u8], at: u64) -> io::Result<usize> {
        self.tape.borrow_mut().push(Event::Write { at, bytes: buffer.to_vec() });
        self.file.write_all_at(buffer, at)?;
        Ok(buffer.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.tape.borrow_mut().push(Event::Sync);
        Ok(())
    }
}

/// A stick's ESP, its owner, and the systems of two refreshes.
struct Lab {
    folder: tempfile::TempDir,
    key: HostKey,
    stick: Guid,
    vault: VaultId,
    host: HostName,
    signers: Vec<Signer>,
}

impl Lab {
    fn new() -> Self {
        let key = HostKey::generate("test").unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            signers: vec![Signer::from(key.public())],
            key,
            stick: Guid::new("AAAAAAAA-2222-3333-4444-555555555555").unwrap(),
            vault: "0a0b0c0d-1111-2222-3333-444455556666".parse().unwrap(),
            host: "node".parse().unwrap(),
        }
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            stick: &self.stick,
            vault: &self.vault,
            host_name: &self.host,
            key: &self.key,
            signers: &self.signers,
            newest: Serial(1),
        }
    }

    /// A new stick: menu, loader, both slots with the first system.
    fn make(&self) -> File {
        let path = self.folder.path().join("stick.img");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(ESP.start + ESP.len + (1 << 20)).unwrap();
        let slots = Slots::at(&file, ESP);
        let menu = vec![("boot/grub/grub.cfg".to_owned(), b"source slot.cfg\n".to_vec())];
        slots.format(0x1234_abcd, &menu).unwrap();
        slots.put(&[(LOADER.to_owned(), vec![0x4d; 9000])]).unwrap();
        for slot in [SlotName::A, SlotName::B] {
            self.write(&slots, slot, 1).unwrap();
        }
        file
    }

    fn write(&self, slots: &Slots, slot: SlotName, version: u8) -> anyhow::Result<()> {
        // More than one cluster each, and not whole ones; a later system is larger.
        let kernel = vec![version; 30_000 + 9_000 * usize::from(version)];
        let initrd = vec![!version; 50_001 + 9_000 * usize::from(version)];
        let common = [boot_file(LOADER.to_owned(), &[0x4d; 9000])];
        slots.write(slot, &System::of_kernel(kernel), &initrd, &self.owner(), &common).map(drop)
    }

    /// A refresh, as `refresh_if_due` does it.
    fn refresh(&self, medium: &dyn Medium, version: u8) -> anyhow::Result<()> {
        let slots = Slots::at(medium, ESP);
        let active = slots.active()?;
        slots.check(active, &self.signers)?;
        self.write(&slots, active.other(), version)?;
        slots.check(active.other(), &self.signers)?;
        slots.switch_to(active.other())
    }

    /// What GRUB needs: the switch, and behind it a slot of which every file is as it was signed, the loader among them.
    fn boots(&self, medium: &dyn Medium, when: &str) -> SlotName {
        let slots = Slots::at(medium, ESP);
        let switch = slots.file("boot/grub/slot.cfg").unwrap().unwrap_or_else(|| panic!("{when}: no switch"));
        assert!([&b"set slot=a\n"[..], b"set slot=b\n"].contains(&&switch[..]), "{when}: {switch:?}");
        let menu = slots.file("boot/grub/grub.cfg").unwrap();
        assert_eq!(menu.as_deref(), Some(&b"source slot.cfg\n"[..]), "{when}");
        let active = slots.active().unwrap();
        slots.check(active, &self.signers).unwrap_or_else(|error| panic!("{when}: slot {active}: {error:#}"));
        active
    }
}

/// A medium as a cut leaves it: the image with some of the writes on top, in memory.
#[derive(Debug)]
struct Cut<'a> {
    image: &'a File,
    sectors: std::collections::HashMap<u64, Vec<u8>>,
}

impl<'a> Cut<'a> {
    fn of(image: &'a File) -> Self {
        Self { image, sectors: std::collections::HashMap::new() }
    }

    fn apply(&mut self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let place = at + done as u64;
            let (number, inside) = (place / SECTOR as u64, (place % SECTOR as u64) as usize);
            let image = self.image;
            let sector = self.sectors.entry(number).or_insert_with(|| {
                let mut sector = vec![0; SECTOR];
                image.read_exact_at(&mut sector, number * SECTOR as u64).unwrap();
                sector
            });
            let length = (SECTOR - inside).min(bytes.len() - done);
            sector[inside..inside + length].copy_from_slice(&bytes[done..done + length]);
            done += length;
        }
    }
}

impl Medium for Cut<'_> {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let count = FileExt::read_at(self.image, buffer, at)?;
        let (first, last) = (at / SECTOR as u64, (at + count as u64).div_ceil(SECTOR as u64));
        for (number, sector) in (first..last).filter_map(|number| Some((number, self.sectors.get(&number)?))) {
            let start = number * SECTOR as u64;
            let from = at.max(start);
            let to = (at + count as u64).min(start + SECTOR as u64);
            buffer[(from - at) as usize..(to - at) as usize]
                .copy_from_slice(&sector[(from - start) as usize..(to - start) as usize]);
        }
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::Error::other("a cut is only looked at"))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The noted writes of a refresh that starts on `image`, which is left as it was.
fn record(lab: &Lab, image: &Path, version: u8) -> Vec<Event> {
    let copy = lab.folder.path().join("recorded.img");
    copy_sparse(image, &copy);
    let file = File::options().read(true).write(true).open(&copy).unwrap();
    let recorder = Recorder { file, tape: RefCell::default() };
    lab.refresh(&recorder, version).unwrap();
    assert_eq!(complaints(&copy), Vec::<String>::new(), "after a refresh that was not cut");
    recorder.tape.into_inner()
}

fn copy_sparse(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["--sparse=always"]).args([from, to]).status().unwrap();
    assert!(status.success());
}

/// What `fsck.vfat -n` says of the ESP beside its name and the count of files.
fn complaints(image: &Path) -> Vec<String> {
    let esp = image.with_extension("esp");
    let mut from = File::open(image).unwrap();
    io::Seek::seek(&mut from, io::SeekFrom::Start(ESP.start)).unwrap();
    io::copy(&mut io::Read::take(from, ESP.len), &mut File::create(&esp).unwrap()).unwrap();
    let checked = Command::new("/usr/sbin/fsck.vfat").arg("-n").arg(&esp).output().unwrap();
    std::fs::remove_file(&esp).unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    said.lines().filter(|line| !line.starts_with("fsck.fat") && !line.contains("files,")).map(str::to_owned).collect()
}

/// A sequence without pattern that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

#[test]
fn a_stick_boots_after_a_cut_at_any_write_of_a_refresh() {
    let lab = Lab::new();
    let image = lab.make();
    let tape = record(&lab, &lab.folder.path().join("stick.img"), 2);
    let writes = tape.iter().filter(|event| matches!(event, Event::Write { .. })).count();
    let mut cut = Cut::of(&image);
    let mut slots = BTreeSet::from([format!("{}", lab.boots(&cut, "before"))]);
    for (number, event) in tape.iter().enumerate() {
        let Event::Write { at, bytes } = event else { continue };
        if bytes.len() > SECTOR {
            // Torn: only its first sectors have reached the medium.
            let mut torn = Cut { image: &image, sectors: cut.sectors.clone() };
            torn.apply(*at, &bytes[..bytes.len() / 2 / SECTOR * SECTOR]);
            lab.boots(&torn, &format!("write {number} torn"));
        }
        cut.apply(*at, bytes);
        slots.insert(lab.boots(&cut, &format!("after write {number} of {writes}")).to_string());
    }
    assert!(writes > 100, "{writes} writes are noted");
    assert_eq!(slots.len(), 2, "the refresh has switched");
}

#[test]
fn writes_that_no_sync_had_brought_down_may_be_lost_in_any_pattern() {
    let lab = Lab::new();
    let image = lab.make();
    let tape = record(&lab, &lab.folder.path().join("stick.img"), 2);
    let mut dice = Dice(7);
    for round in 0..200 {
        let end = dice.roll() as usize % tape.len() + 1;
        let synced = tape[..end].iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
        let mut cut = Cut::of(&image);
        for (number, event) in tape[..end].iter().enumerate() {
            let Event::Write { at, bytes } = event else { continue };
            // A medium writes sectors, so what is lost is lost by sector.
            for (piece, start) in bytes.chunks(SECTOR).zip((*at..).step_by(SECTOR)) {
                if number < synced || dice.roll().is_multiple_of(2) {
                    cut.apply(start, piece);
                }
            }
        }
        lab.boots(&cut, &format!("round {round}, cut after {end} of {}", tape.len()));
    }
}

#[test]
fn a_stick_that_was_cut_takes_the_next_refresh_and_fsck_finds_nothing() {
    let lab = Lab::new();
    let image = lab.make();
    let source = lab.folder.path().join("stick.img");
    let tape = record(&lab, &source, 2);
    let mut dice = Dice(11);
    let ends = (0..6).map(|_| dice.roll() as usize % tape.len()).chain([tape.len() / 2, tape.len() - 1]);
    for end in ends.collect::<BTreeSet<_>>() {
        let copy = lab.folder.path().join("cut.img");
        copy_sparse(&source, &copy);
        let file = File::options().read(true).write(true).open(&copy).unwrap();
        for event in &tape[..end] {
            if let Event::Write { at, bytes } = event {
                file.write_all_at(bytes, *at).unwrap();
            }
        }
        lab.refresh(&file, 3).unwrap_or_else(|error| panic!("after a cut at {end} of {}: {error:#}", tape.len()));
        lab.boots(&file, "after the next refresh");
        assert_eq!(complaints(&copy), Vec::<String>::new(), "after a cut at {end}");
    }
    drop(image);
}
