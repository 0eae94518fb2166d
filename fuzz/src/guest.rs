//! What is read of guests: archives, configurations, lists of storages, names of archives.

use std::io::{self, Seek, SeekFrom, Write};

use guests::archive::{Form, verify};
use guests::inventory::Kind;
use guests::proxmox::config::Config;
use guests::proxmox::names::Name;
use guests::proxmox::storage::Storages;
use guests::proxmox::vma::writer::{seal_extent, seal_header};
use guests::proxmox::vma::{CLUSTER, export};

/// An archive as it is, and once more as a writer of it with other errors would have written it: with sums that hold.
pub fn guest_archive(data: &[u8]) {
    read(data);
    if let Some(sealed) = sealed(data) {
        read(&sealed);
    }
}

/// What is exported of a sound archive is a disk of the size that the archive says.
fn read(data: &[u8]) {
    let Ok(report) = verify(data) else { return };
    let Some(device) = report.devices.first().filter(|_| report.form == Form::Vma) else { return };
    assert!(device.stored <= device.size && device.missing <= device.size);
    let mut image = Image { at: 0, end: 0 };
    let exported = export(data, &device.name, &mut image);
    assert_eq!(exported.is_ok(), report.sound(), "{report:?}");
    assert!(image.end <= device.size, "{} of {}", image.end, device.size);
    assert!(!report.sound() || image.end == device.size);
}

/// Every header gets its sum, as far as they can be found.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let length = u32::from_be_bytes(bytes.get(56..60)?.try_into().ok()?) as usize;
    seal_header(bytes.get_mut(..length).filter(|header| header.starts_with(b"VMA\0") && header.len() >= 12288)?);
    let mut at = length;
    while let Some(extent) = bytes.get_mut(at..).filter(|extent| extent.len() >= 512) {
        let blocks = usize::from(u16::from_be_bytes([extent[6], extent[7]]));
        seal_extent(extent);
        at += 512 + blocks * 4096;
    }
    Some(bytes)
}

/// A disk that keeps nothing but how far it was written to.
struct Image {
    at: u64,
    end: u64,
}

impl Write for Image {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(bytes.len() as u64 <= CLUSTER);
        self.at += bytes.len() as u64;
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Image {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = at,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(self.at)
    }
}

/// Text as a guest's configuration, as a list of storages, and as names.
pub fn guest_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in [Kind::Machine, Kind::Container] {
        match Config::parse("file", kind, &text) {
            Ok(config) => {
                let _ = config.guest("100", "node");
            }
            Err(error) => assert!((1..=text.lines().count()).contains(&error.line), "{error}"),
        }
    }
    match Storages::parse("file", &text) {
        Ok(storages) => {
            for storage in storages.iter() {
                let _ = (storage.dump(), storage.mount_point(), storage.backup_server(), storage.is_shared());
            }
        }
        Err(error) => assert!((1..=text.lines().count()).contains(&error.line), "{error}"),
    }
    for line in text.lines() {
        if let Ok(Name::Archive(name)) = line.parse() {
            assert_eq!(name.to_string(), line);
        }
    }
}
