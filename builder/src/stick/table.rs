//! The stick's partition table: three partitions at fixed places, the last one to the end.

use std::collections::BTreeMap;
use std::fs::File;

use anyhow::Context as _;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{BIOS, EFI, LINUX_FS, Type};
use gpt::{GptConfig, GptDisk};
use layout::Guid;

/// Bytes of a sector; sticks with another size are refused by the guard.
pub const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Size of the ESP: two boot slots of up to 64 MiB and a kernel each, with room to grow.
const ESP_SIZE: u64 = 512 * MIB;
/// The smallest stick that makes sense: the fixed partitions and a little data.
pub const SMALLEST: u64 = ESP_SIZE + 512 * MIB;

/// Number of the data partition.
pub const DATA_NUMBER: u32 = 3;
const DATA_NAME: &str = "lifeboat data";

/// A partition's place in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it starts.
    pub start: u64,
    /// How long it is.
    pub len: u64,
}

/// Where the stick's partitions lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// GRUB's core image for BIOS.
    pub bios: Place,
    /// The ESP.
    pub esp: Place,
    /// The data partition.
    pub data: Place,
}

impl Places {
    /// The places on a stick of `size` bytes, which is at least [`SMALLEST`].
    pub fn on(size: u64) -> Self {
        let bios = Place { start: MIB, len: MIB };
        let esp = Place { start: 2 * MIB, len: ESP_SIZE };
        let start = esp.start + esp.len;
        // The backup table takes the last 33 sectors; a whole MiB keeps the end aligned.
        let end = (size - MIB) / MIB * MIB;
        Self { bios, esp, data: Place { start, len: end - start } }
    }

    fn rows(&self) -> [(&'static str, Place, Type); 3] {
        [("lifeboat BIOS boot", self.bios, BIOS), ("lifeboat ESP", self.esp, EFI), (DATA_NAME, self.data, LINUX_FS)]
    }
}

/// Writes the table and the protective MBR with `boot_code` in it.
///
/// # Errors
/// When the medium cannot be written.
pub fn write(file: &File, size: u64, guid: &Guid, boot_code: Option<&[u8; 440]>) -> anyhow::Result<()> {
    let sectors = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(sectors);
    if let Some(code) = boot_code {
        mbr.set_bootcode(*code);
    }
    let mut device = file;
    mbr.overwrite_lba0(&mut device).context("writing the protective MBR")?;
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let guid = guid.as_str().parse().context("the stick's GUID")?;
    let mut disk = config.create_from_device(device, Some(guid)).context("laying out the partition table")?;
    for (number, (name, place, kind)) in (1..).zip(Places::on(size).rows()) {
        disk.add_partition_at(name, number, place.start / SECTOR, place.len / SECTOR, kind, 0)
            .with_context(|| format!("laying out partition {number}"))?;
    }
    disk.write().context("writing the partition table")?;
    Ok(())
}

/// Reads the table back; both copies must be valid and say what [`write`] wrote.
///
/// # Errors
/// When they do not.
pub fn check(file: &File, size: u64, guid: &Guid) -> anyhow::Result<()> {
    let disk = open(file)?;
    anyhow::ensure!(
        disk.guid().to_string().eq_ignore_ascii_case(guid.as_str()),
        "the disk GUID reads back as {}",
        disk.guid()
    );
    let found: BTreeMap<u32, (u64, u64)> = disk
        .partitions()
        .iter()
        .filter(|(_, partition)| partition.is_used())
        .map(|(number, partition)| (*number, (partition.first_lba, partition.last_lba)))
        .collect();
    let rows = Places::on(size).rows();
    let wanted = (1..)
        .zip(rows)
        .map(|(number, (_, place, _))| (number, (place.start / SECTOR, (place.start + place.len) / SECTOR - 1)));
    anyhow::ensure!(found == wanted.collect(), "the partitions read back as {found:?}");
    Ok(())
}

/// The GUID of a stick: a disk whose data partition lies where [`write`] puts it. None for every other disk.
pub fn guid_of(file: &File, size: u64) -> Option<Guid> {
    if size < SMALLEST {
        return None;
    }
    let disk = GptConfig::new().logical_block_size(LogicalBlockSize::Lb512).open_from_device(file).ok()?;
    let data = disk.partitions().get(&DATA_NUMBER)?;
    let fits = data.name == DATA_NAME && data.first_lba * SECTOR == Places::on(size).data.start;
    fits.then(|| Guid::new(&disk.guid().to_string()).ok()).flatten()
}

fn open(file: &File) -> anyhow::Result<GptDisk<&File>> {
    GptConfig::new()
        .logical_block_size(LogicalBlockSize::Lb512)
        .only_valid_headers(true)
        .open_from_device(file)
        .context("reading the partition table back")
}
