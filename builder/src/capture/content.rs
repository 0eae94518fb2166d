//! What each block device holds: its partition table, or a filesystem, by reading it.
//!
//! blkid names the kind, because several old signatures may lie on one device and its rules for that are settled; what is
//! described in full (ext, XFS, FAT, swap) is then read from its own bytes. Without blkid the readers are tried in turn.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use exec::Command;
use layout::blkid;
use layout::btrfs::{self, Btrfs};
use layout::disk::Table;
use layout::ext::{Ext, superblock};
use layout::lsblk::BlockDevice;
use layout::probe::{Content, Probe};
use layout::swap::{Swap, header};
use layout::vfat::{Vfat, volume::Volume};
use layout::xfs::Xfs;
use manifest::host::Gap;

use super::source::Source;
use super::{gap, luks, table};

/// Bytes at both ends of a device that are zero when it is called blank. Every signature that blkid knows lies there.
const BLANK: u64 = 1 << 20;
/// Allocation tables and root directories larger than this are not FAT's.
const LARGEST_FAT: u64 = 1 << 30;

/// Looks into every device that may hold something of the host's own.
pub(super) fn probes(source: &Source, devices: &[BlockDevice], gaps: &mut Vec<Gap>) -> BTreeMap<String, Probe> {
    let looked_into = |device: &&BlockDevice| !matches!(device.kind.as_str(), "loop" | "rom") && device.size.0 > 0;
    let mut probes = BTreeMap::new();
    for device in devices.iter().filter(looked_into) {
        match File::open(source.path(&device.path)) {
            Ok(file) => drop(probes.insert(device.kname.clone(), probe(source, device, &file, gaps))),
            Err(error) => gaps.push(gap(&device.path, format!("it cannot be read: {error}"))),
        }
    }
    probes
}

fn probe(source: &Source, device: &BlockDevice, mut file: &File, gaps: &mut Vec<Gap>) -> Probe {
    if device.kind == "disk" {
        match table::read(&mut file, device.logical_sector.unwrap_or(512)) {
            Ok(found) => {
                gaps.extend(
                    found.oddities.into_iter().map(|what| gap(format!("partition table of {}", device.path), what)),
                );
                if found.table != Table::None {
                    return Probe { table: Some((found.table, found.partitions)), content: Content::Unknown };
                }
            }
            Err(error) => gaps.push(gap(format!("partition table of {}", device.path), format!("{error:#}"))),
        }
    }
    Probe { table: None, content: content(source, device, file, gaps) }
}

fn content(source: &Source, device: &BlockDevice, file: &File, gaps: &mut Vec<Gap>) -> Content {
    let named = if source.is_live() { ask_blkid(device, gaps) } else { None };
    let named = named.or_else(|| device.fstype.clone());
    let described = match named.as_deref() {
        Some("ext2" | "ext3" | "ext4" | "ext4dev") => ext(file).map(Content::Ext),
        Some("xfs") => xfs(file).map(Content::Xfs),
        Some("btrfs") => btrfs(file).map(|(found, number)| Content::Btrfs(found, number)),
        Some("vfat" | "msdos") => vfat(file).map(Content::Vfat),
        Some("swap" | "swsuspend") => swap(file).map(Content::Swap),
        Some("crypto_LUKS") if source.is_live() => luks::describe(&device.path).map(Content::Luks),
        Some(other) => return Content::Other(other.to_owned()),
        None => ext(file)
            .map(Content::Ext)
            .or_else(|_| btrfs(file).map(|(found, number)| Content::Btrfs(found, number)))
            .or_else(|_| xfs(file).map(Content::Xfs))
            .or_else(|_| swap(file).map(Content::Swap))
            .or_else(|_| vfat(file).map(Content::Vfat)),
    };
    match (described, named) {
        (Ok(content), _) => content,
        (Err(error), Some(name)) => {
            gaps.push(gap(&device.path, format!("it is said to hold {name}, and cannot be described: {error:#}")));
            Content::Other(name)
        }
        (Err(_), None) => match is_blank(file, device.size.0) {
            Ok(true) => Content::Blank,
            Ok(false) => Content::Unknown,
            Err(error) => {
                gaps.push(gap(&device.path, format!("it cannot be read: {error}")));
                Content::Unknown
            }
        },
    }
}

/// blkid's name for what a device holds; `None` when it finds nothing or cannot be run.
fn ask_blkid(device: &BlockDevice, gaps: &mut Vec<Gap>) -> Option<String> {
    let command = Command::new("blkid").args(["--probe", "--output", "export"]).arg(&device.path);
    match command.read() {
        Ok(text) => blkid::parse(&text).kind,
        // 2: nothing found.
        Err(error) if error.code() == Some(2) => None,
        Err(error) if error.code() == Some(8) => {
            gaps.push(gap(&device.path, "blkid finds several kinds of content on it and cannot say which counts"));
            Some("ambiguous".into())
        }
        Err(error) => {
            gaps.push(gap(format!("blkid {}", device.path), error));
            None
        }
    }
}

/// Describes an ext filesystem.
pub(crate) fn ext(file: &impl FileExt) -> anyhow::Result<Ext> {
    let mut bytes = [0; superblock::LENGTH];
    file.read_exact_at(&mut bytes, superblock::OFFSET)?;
    Ok(Ext::parse(&bytes)?)
}

/// Describes a device of a btrfs, and gives its number in it.
pub(crate) fn btrfs(file: &impl FileExt) -> anyhow::Result<(Btrfs, u64)> {
    let mut bytes = vec![0; btrfs::superblock::LENGTH];
    file.read_exact_at(&mut bytes, btrfs::superblock::OFFSET)?;
    Btrfs::parse(&bytes).ok_or_else(|| anyhow::anyhow!("no superblock of btrfs"))
}

/// Describes an XFS filesystem.
pub(crate) fn xfs(file: &impl FileExt) -> anyhow::Result<Xfs> {
    let mut bytes = [0; layout::xfs::superblock::LENGTH];
    file.read_exact_at(&mut bytes, 0)?;
    Xfs::parse(&bytes).ok_or_else(|| anyhow::anyhow!("no superblock of XFS version 4 or 5"))
}

/// Describes a FAT filesystem.
pub(crate) fn vfat(file: &impl FileExt) -> anyhow::Result<Vfat> {
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 0)?;
    let volume = Volume::parse(&sector)?;
    let part = |range: &std::ops::Range<u64>| -> anyhow::Result<Vec<u8>> {
        let length = range.end.saturating_sub(range.start);
        anyhow::ensure!(length <= LARGEST_FAT, "a table of {length} bytes");
        let mut bytes = vec![0; usize::try_from(length)?];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    };
    Ok(volume.describe(&part(&volume.table)?, &part(&volume.root)?))
}

/// Describes a swap area.
pub(crate) fn swap(file: &impl FileExt) -> anyhow::Result<Swap> {
    let mut bytes = vec![0; header::LENGTH];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Swap::parse(&bytes[..filled]).ok_or_else(|| anyhow::anyhow!("no swap header of version 1"))
}

fn is_blank(file: &File, size: u64) -> std::io::Result<bool> {
    let length = BLANK.min(size);
    for start in [0, size - length] {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
