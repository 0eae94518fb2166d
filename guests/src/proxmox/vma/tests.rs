//! Archives of every shape come out as they went in, and every damage that the format lets one find is found.

use std::io::{self, Cursor, Read as _, Seek, SeekFrom, Write as _};

use proptest::prelude::*;

use super::extent::{LENGTH, SLOTS_AT};
use super::header::{DATA_AT, DEVICES_AT, FIXED, NAMES_AT};
use super::writer::{ExtentWriter, Writer, seal_extent, seal_header};
use super::{BLOCK, CLUSTER, Header, export};
use crate::archive::{Error, Form, Packing, Report, packing, verify};

const UUID: [u8; 16] = *b"0123456789abcdef";

/// Content of a disk, with blocks and clusters of zeroes in it.
fn disk(size: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let zero = state >> 60 < 6;
        let length = if zero && state >> 63 == 0 && state >> 57 & 7 == 0 { CLUSTER } else { BLOCK };
        bytes.extend((0..length).map(|at| if zero { 0 } else { (state >> (at % 8)) as u8 | 1 }));
    }
    bytes.truncate(usize::try_from(size).unwrap());
    bytes
}

/// Two disks, the first of which ends in the middle of a block.
fn sample() -> (Writer, Vec<Vec<u8>>) {
    let sizes = [5 * CLUSTER + 5000, 3 * CLUSTER];
    let mut writer = Writer::new(UUID).config("qemu-server.conf", b"name: small\nscsi0: local:100/a.raw\n");
    writer = writer.config("qemu-server.fw", b"[OPTIONS]\nenable: 1\n");
    writer = writer.device("drive-scsi0", sizes[0]).device("drive-virtio1", sizes[1]);
    writer.slots = 3;
    (writer, vec![disk(sizes[0], 7), disk(sizes[1], 8)])
}

fn good() -> Vec<u8> {
    let (writer, disks) = sample();
    writer.bytes(&[&disks[0], &disks[1]]).unwrap()
}

/// The header and each extent with its blocks.
fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    let header = u32::from_be_bytes(bytes[56..60].try_into().unwrap()) as usize;
    let mut parts = vec![bytes[..header].to_vec()];
    let mut at = header;
    while at < bytes.len() {
        let blocks = u16::from_be_bytes(bytes[at + 6..at + 8].try_into().unwrap());
        let end = at + LENGTH + usize::from(blocks) * BLOCK as usize;
        parts.push(bytes[at..end].to_vec());
        at = end;
    }
    parts
}

fn checked(bytes: &[u8]) -> Report {
    verify(bytes).unwrap()
}

/// It is found, and one of the faults says so.
fn found(how: &str, bytes: &[u8], words: &str) {
    let report = checked(bytes);
    let said = report.faults.iter().any(|fault| fault.to_string().contains(words));
    assert!(said, "{how}: {words:?} is not in {:#?}", report.faults);
    let mut image = Cursor::new(Vec::new());
    assert!(matches!(export(bytes, "drive-scsi0", &mut image), Err(Error::Damaged(_))), "{how}");
}

fn zstd(bytes: &[u8], sum: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(sum).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    packing::open(bytes).unwrap().read.read_to_end(&mut plain).unwrap();
    plain
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_goes_in_comes_out(
        sizes in prop::collection::vec(1..6 * CLUSTER, 1..4),
        slots in 1..60_usize,
        seed in any::<u64>(),
        packing in 0..3,
    ) {
        let disks: Vec<Vec<u8>> = (seed..).zip(&sizes).map(|(seed, size)| disk(*size, seed)).collect();
        let mut writer = Writer::new(UUID);
        for (at, size) in sizes.iter().enumerate() {
            writer = writer.device(&format!("drive-scsi{at}"), *size);
        }
        writer.slots = slots;
        let plain = writer.bytes(&disks.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let bytes = match packing { 0 => plain.clone(), 1 => zstd(&plain, true), _ => gzip(&plain) };
        let report = checked(&bytes);
        prop_assert!(report.sound(), "{:?}", report.faults);
        prop_assert_eq!((report.form, report.bytes), (Form::Vma, plain.len() as u64));
        for (at, disk) in disks.iter().enumerate() {
            let mut image = Cursor::new(Vec::new());
            export(&bytes[..], &format!("drive-scsi{at}"), &mut image).unwrap();
            prop_assert!(image.into_inner() == *disk);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0..FIXED) {
        let mut archive = good();
        let at = at.min(archive.len() - bytes.len());
        archive[at..at + bytes.len()].copy_from_slice(&bytes);
        seal_header(&mut archive[..FIXED + 512]);
        let _ = verify(&archive[..]);
    }
}

#[test]
fn an_archive_tells_what_is_in_it() {
    let report = checked(&good());
    assert!(report.sound() && !report.content_sum, "{report:?}");
    assert_eq!(report.configs, ["qemu-server.conf", "qemu-server.fw"]);
    let disks: Vec<_> = report.devices.iter().map(|disk| (disk.name.as_str(), disk.size, disk.missing)).collect();
    assert_eq!(disks, [("drive-scsi0", 5 * CLUSTER + 5000, 0), ("drive-virtio1", 3 * CLUSTER, 0)]);
    assert!(report.devices.iter().all(|disk| disk.stored > 0 && disk.stored < disk.size));
    let header = Header::read(&zstd(&good(), true)[..]).unwrap().unwrap();
    assert_eq!((header.uuid, header.created), (UUID, 1_700_000_000));
    assert!(header.configs[0].data.starts_with(b"name: small"));
    assert_eq!(header.device("drive-virtio1"), Some(2));
}

/// Made by `fixtures/vma.py`, which shares no code with the writer here.
#[test]
fn an_archive_from_elsewhere_is_read() {
    let bytes = include_bytes!("../../../fixtures/vma/small.vma");
    let report = checked(bytes);
    assert!(report.sound(), "{:?}", report.faults);
    assert_eq!(report.configs, ["qemu-server.conf"]);
    let mut image = Cursor::new(Vec::new());
    export(&bytes[..], "drive-scsi0", &mut image).unwrap();
    let wanted: Vec<u8> =
        (0..20_000_u32).map(|at| if (4096..12288).contains(&at) { 0 } else { (at % 251) as u8 }).collect();
    assert!(image.into_inner() == wanted);
    let packed = checked(include_bytes!("../../../fixtures/vma/small.vma.zst"));
    assert!(packed.sound() && packed.content_sum && packed.packing == Packing::Zstd);
}

#[test]
fn every_bit_of_every_header_counts() {
    let good = good();
    let parts = parts(&good);
    let mut start = 0;
    for part in &parts {
        let length = if start == 0 { part.len() } else { LENGTH };
        for at in start..start + length {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(!checked(&bad).sound(), "byte {at}");
        }
        start += part.len();
    }
}

#[test]
fn every_cut_is_found() {
    let good = good();
    let cuts = (0..good.len()).step_by(997).chain([good.len() - 1, FIXED, FIXED + 512]);
    for cut in cuts {
        assert!(!checked(&good[..cut]).sound(), "cut at {cut}");
    }
    // At the end of an extent nothing shows but the clusters that are missing.
    let parts = parts(&good);
    for count in 1..parts.len() {
        found("cut after an extent", &parts[..count].concat(), "are missing");
    }
}

#[test]
fn extents_that_are_lost_doubled_or_foreign_are_found_and_their_order_is_free() {
    let good = good();
    let parts = parts(&good);
    assert!(parts.len() > 3);
    for at in 1..parts.len() {
        let lost: Vec<_> = (0..parts.len()).filter(|other| *other != at).map(|other| parts[other].clone()).collect();
        found("lost", &lost.concat(), "are missing");
        let doubled = [&parts[..=at], &parts[at..]].concat();
        found("doubled", &doubled.concat(), "come a second time");
        let mut foreign = parts.clone();
        foreign[at][8] ^= 1;
        seal_extent(&mut foreign[at]);
        found("foreign", &foreign.concat(), "belongs to another archive");
    }
    let mut swapped = parts.clone();
    swapped[1..].reverse();
    assert!(checked(&swapped.concat()).sound());
    let mut image = Cursor::new(Vec::new());
    export(&swapped.concat()[..], "drive-scsi0", &mut image).unwrap();
    assert!(image.into_inner() == sample().1[0]);
}

/// Changes the first extent, whose sum then holds: as a writer with an error in it would have written it.
fn first_extent(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut parts = parts(&good());
    change(&mut parts[1]);
    seal_extent(&mut parts[1]);
    parts.concat()
}

#[test]
fn slots_that_say_something_wrong_are_found_under_a_sum_that_holds() {
    let byte = |slot: usize, byte: usize, value: u8| first_extent(move |part| part[SLOTS_AT + 8 * slot + byte] = value);
    found("cluster that comes twice", &byte(0, 7, 1), "clusters 1 of drive-scsi0 come a second time");
    found("cluster that comes twice", &byte(0, 7, 1), "1 of 6 clusters of 64 KiB are missing: 0");
    found("cluster past the end", &byte(0, 7, 6), "it has cluster 6 of drive-scsi0, which has 6");
    found("unknown device", &byte(1, 3, 9), "a cluster of device 9");
    found("device 0", &byte(1, 3, 0), "a cluster of device 0");
    found("bits without a meaning", &byte(1, 2, 1), "bits set that have no meaning");
    let fewer = first_extent(|part| part[SLOTS_AT..SLOTS_AT + 8].fill(0));
    found("masks of fewer blocks", &fewer, "its masks have");
    let blocks = first_extent(|part| part[7] ^= 1);
    found("another number of blocks", &blocks, "it announces");
}

#[test]
fn one_fault_is_told_once_and_the_rest_is_still_read() {
    let bad = first_extent(|part| part[8] ^= 1);
    let report = checked(&bad);
    assert_eq!(report.faults.count(), 2, "{:?}", report.faults);
    assert_eq!(report.devices[1].missing, 0);
    assert_eq!(report.devices[0].missing, 3 * CLUSTER);
    assert!(report.summary().starts_with("extent 1 at byte 12800: it belongs to another archive; and 1 more"));
}

#[test]
fn content_has_no_sum_of_its_own_and_only_a_compression_gives_it_one() {
    let plain = good();
    let (_, disks) = sample();
    let at = parts(&plain)[0].len() + LENGTH + 100;
    let mut bad = plain.clone();
    bad[at] ^= 1;
    assert!(checked(&bad).sound(), "the format cannot tell");
    let mut image = Cursor::new(Vec::new());
    export(&bad[..], "drive-scsi0", &mut image).unwrap();
    assert!(image.into_inner() != disks[0]);
    for (packed, name) in [(zstd(&plain, true), "zstd"), (gzip(&plain), "gzip")] {
        assert!(checked(&packed).content_sum);
        for at in (20..packed.len()).step_by(packed.len() / 300) {
            let mut bad = packed.clone();
            bad[at] ^= 4;
            // Two ways of compressing can mean the same content: that is then no damage.
            assert!(!checked(&bad).sound() || unpacked(&bad) == plain, "{name}: byte {at}");
        }
        found("cut", &packed[..packed.len() - 3], "the compressed stream is cut off");
    }
}

#[test]
fn data_past_the_end_of_a_disk_is_refused_and_zeroes_are_not() {
    let archive = |data: &[u8]| {
        let writer = Writer::new(UUID).device("drive-scsi0", 100);
        let mut extent = ExtentWriter::new(UUID, 59);
        extent.add(1, 0, data);
        [writer.header(), extent.take()].concat()
    };
    let mut data = vec![0; BLOCK as usize];
    data[..100].fill(7);
    let mut image = Cursor::new(Vec::new());
    export(&archive(&data)[..], "drive-scsi0", &mut image).unwrap();
    assert_eq!(image.into_inner(), [7; 100]);
    data[100] = 1;
    found("past the end", &archive(&data), "data past the end of drive-scsi0");
}

#[test]
fn headers_that_lie_cost_nothing() {
    let header = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good();
        change(&mut bytes);
        let length = parts(&good())[0].len();
        seal_header(&mut bytes[..length]);
        checked(&bytes).summary()
    };
    let put =
        |at: usize, value: u32| move |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    assert!(header(&put(4, 2)).contains("version 2; version 1 is known"));
    assert!(header(&put(56, u32::MAX)).contains("4294967295 bytes"));
    assert!(header(&put(56, 100)).contains("says that it has 100 bytes"));
    assert!(header(&put(52, u32::MAX)).contains("blobs outside of itself"));
    assert!(header(&put(48, 60)).contains("blobs outside of itself"));
    assert!(header(&put(NAMES_AT, u32::MAX)).contains("points outside of its blobs for configuration 0"));
    assert!(header(&put(DATA_AT, 0)).contains("without data"));
    assert!(header(&put(DEVICES_AT + 32, 0)).contains("size without a name"));
    assert!(header(&put(DEVICES_AT + 64 + 12, 0)).contains("for device 2"));
    assert!(header(&put(DEVICES_AT + 32 + 8, u32::MAX)).contains("more than can be numbered"));
    // The largest disk that can be numbered: all of it is missing but what is there.
    let largest = header(&put(DEVICES_AT + 32 + 8, 0xffff));
    assert!(largest.starts_with("device drive-scsi0") && largest.contains("are missing: 6-"), "{largest}");
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let mut image = Cursor::new(Vec::new());
    let error = export(&good()[..], "scsi0", &mut image).unwrap_err().to_string();
    assert_eq!(error, "the archive has no device scsi0; it has drive-scsi0, drive-virtio1");
    assert!(image.into_inner().is_empty());
}

/// A target that fails, and one that counts what is written.
struct Target {
    written: u64,
    room: u64,
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        if self.written > self.room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Target {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn zeroes_are_not_written_and_a_full_target_is_no_damage() {
    let stored = checked(&good()).devices[1].stored;
    let mut target = Target { written: 0, room: u64::MAX };
    export(&good()[..], "drive-virtio1", &mut target).unwrap();
    assert!(target.written <= stored + 1);
    let mut small = Target { written: 0, room: 10_000 };
    assert!(matches!(export(&good()[..], "drive-virtio1", &mut small), Err(Error::Write(_))));
}
