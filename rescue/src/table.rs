//! Writing a partition table: `gpt`'s headers and entries, in an order that survives a cut.
//!
//! The backup goes first, the primary header last: at every moment a reader finds either no table or a whole one. Entries are placed by
//! their numbers; `GptDisk::write` would move them together, so that `/dev/vda5` came back as `/dev/vda4` where number 4 is unused.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use gpt::DiskDevice;
use gpt::disk::LogicalBlockSize;
use gpt::header::HeaderBuilder;
use gpt::mbr::{PartRecord, ProtectiveMBR};
use gpt::partition::Partition as GptPartition;
use gpt::partition_types::{OperatingSystem, Type};
use layout::solve::NewTable;
use uuid::Uuid;

/// A table that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A sector size that GPT does not know.
    #[error("sectors of {0} bytes")]
    Sector(u32),
    /// A GUID that `uuid` does not read.
    #[error("the GUID {0}: {1}")]
    Guid(String, uuid::Error),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The header does not fit.
    #[error("{0}")]
    Header(#[from] gpt::header::HeaderError),
    /// The protective MBR.
    #[error("the protective MBR: {0:?}")]
    Mbr(gpt::mbr::MBRError),
    /// What was read back is not what was written.
    #[error("what was read back differs: {0}")]
    ReadBack(String),
}

/// Writes `table` to a disk of `size` bytes and reads it back. The protective MBR carries no boot code.
///
/// # Errors
/// [`TableError`].
pub fn write<D: DiskDevice>(disk: &mut D, size: u64, table: &NewTable) -> Result<(), TableError> {
    let sector = sector(table)?;
    let sectors = size / u64::from(table.logical_sector);
    let mut builder = HeaderBuilder::new();
    builder.disk_guid(guid(table.guid.as_str())?).backup_lba(sectors - 1).num_parts(table.capacity);
    builder.first_usable(table.first_usable).last_usable(table.last_usable);
    let mut primary = builder.primary(true).build(sector)?;
    let mut backup = builder.primary(false).build(sector)?;
    let entries = entries(table)?;

    for header in [&backup, &primary] {
        GptPartition::write_zero_entries_to_device(
            disk,
            0,
            u64::from(header.num_parts),
            header.part_start,
            sector,
            header.part_size,
        )?;
        for (number, entry) in &entries {
            let index = u64::from(number - 1);
            entry.write_to_device(disk, index, header.part_start, sector, header.part_size)?;
        }
    }
    backup.write_backup(disk, sector)?;
    disk.flush()?;
    let size_in_mbr = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(size_in_mbr);
    if table.active {
        // That the flag is set on it is against the standard, and what firmware that needs it has been given.
        mbr.set_partition(0, PartRecord { boot_indicator: 0x80, ..PartRecord::new_protective(Some(size_in_mbr)) });
    }
    mbr.overwrite_lba0(disk).map_err(TableError::Mbr)?;
    primary.write_primary(disk, sector)?;
    disk.flush()?;
    read_back(disk, sector, table, &entries)
}

/// Reads the table of a disk and compares it with `table`, which was written to it before.
///
/// # Errors
/// [`TableError`], when it is another one.
pub fn check<D: DiskDevice>(disk: &mut D, table: &NewTable) -> Result<(), TableError> {
    read_back(disk, sector(table)?, table, &entries(table)?)
}

fn sector(table: &NewTable) -> Result<LogicalBlockSize, TableError> {
    match table.logical_sector {
        512 => Ok(LogicalBlockSize::Lb512),
        4096 => Ok(LogicalBlockSize::Lb4096),
        other => Err(TableError::Sector(other)),
    }
}

fn guid(text: &str) -> Result<Uuid, TableError> {
    Uuid::parse_str(text).map_err(|error| TableError::Guid(text.to_owned(), error))
}

fn entries(table: &NewTable) -> Result<BTreeMap<u32, GptPartition>, TableError> {
    let mut entries = BTreeMap::new();
    for partition in &table.partitions {
        let entry = &partition.entry;
        let kind = Type { guid: guid(entry.type_guid.as_str())?, os: OperatingSystem::None };
        let written = GptPartition {
            part_type_guid: kind,
            part_guid: guid(entry.guid.as_str())?,
            first_lba: entry.first_lba,
            last_lba: entry.first_lba + entry.sectors - 1,
            flags: entry.attributes,
            name: entry.name.clone(),
        };
        entries.insert(entry.number, written);
    }
    Ok(entries)
}

fn read_back<D: DiskDevice>(
    disk: &mut D,
    sector: LogicalBlockSize,
    table: &NewTable,
    entries: &BTreeMap<u32, GptPartition>,
) -> Result<(), TableError> {
    let config = gpt::GptConfig::new().logical_block_size(sector).only_valid_headers(true);
    let read = config.open_from_device(Borrowed(disk)).map_err(|error| TableError::ReadBack(error.to_string()))?;
    if !read.guid().to_string().eq_ignore_ascii_case(table.guid.as_str()) {
        return Err(TableError::ReadBack(format!("the disk's GUID is {}", read.guid())));
    }
    let found = read.partitions().iter().filter(|(_, entry)| entry.is_used());
    let place = |entry: &GptPartition| (entry.first_lba, entry.last_lba, entry.part_guid, entry.flags);
    let found: Vec<_> = found.map(|(number, entry)| (*number, place(entry))).collect();
    let wanted: Vec<_> = entries.iter().map(|(number, entry)| (*number, place(entry))).collect();
    if found == wanted { Ok(()) } else { Err(TableError::ReadBack(format!("{found:?} instead of {wanted:?}"))) }
}

/// `gpt` wants to own its device; this lends one.
struct Borrowed<'a, D>(&'a mut D);

impl<D> fmt::Debug for Borrowed<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk")
    }
}

impl<D: Read> Read for Borrowed<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<D: Write> Write for Borrowed<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<D: Seek> Seek for Borrowed<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use layout::gpt::Partition;
    use layout::solve::NewPartition;
    use layout::{Bytes, Guid, NodeId};

    use super::*;

    fn table(sector: u32, sectors: u64) -> NewTable {
        let guid = Guid::new("A1B2C3D4-1111-4222-8333-ABCDEFABCDEF").unwrap();
        let part = |number: u32, first_lba, length| NewPartition {
            node: NodeId(number.to_string()),
            entry: Partition {
                number,
                type_guid: Guid::new("0FC63DAF-8483-4772-8E79-3D69D8477DE4").unwrap(),
                guid: Guid::new(&format!("00000000-0000-4000-8000-00000000000{number}")).unwrap(),
                name: format!("Teil {number} ä"),
                attributes: 1 << 2,
                first_lba,
                sectors: length,
            },
            old_size: Bytes(0),
        };
        let array = 128 * 128 / u64::from(sector);
        NewTable {
            guid,
            logical_sector: sector,
            first_usable: 2 + array,
            last_usable: sectors - array - 2,
            capacity: 128,
            active: sector == 512,
            partitions: vec![part(1, 256, 100), part(5, 512, 200)],
        }
    }

    #[test]
    fn numbers_with_gaps_and_both_headers_are_read_back_as_written() {
        for (sector, lb) in [(512, LogicalBlockSize::Lb512), (4096, LogicalBlockSize::Lb4096)] {
            let size = 16u64 << 20;
            let mut disk = io::Cursor::new(vec![0xaa; size as usize]);
            let wanted = table(sector, size / u64::from(sector));
            write(&mut disk, size, &wanted).unwrap();
            assert_eq!(disk.get_ref()[..440], [0; 440], "no boot code");
            assert_eq!(layout::gpt::GptTable::is_active(disk.get_ref()), wanted.active);
            let read =
                gpt::GptConfig::new().logical_block_size(lb).only_valid_headers(true).open_from_device(disk).unwrap();
            let numbers: Vec<u32> =
                read.partitions().iter().filter(|(_, one)| one.is_used()).map(|(n, _)| *n).collect();
            assert_eq!(numbers, [1, 5]);
            let five = &read.partitions()[&5];
            assert_eq!((five.first_lba, five.last_lba, five.flags, five.name.as_str()), (512, 711, 4, "Teil 5 ä"));
            assert_eq!(read.header().first_usable, wanted.first_usable);
            assert_eq!(read.header().last_usable, wanted.last_usable);
        }
    }

    #[test]
    fn a_disk_that_loses_writes_is_noticed() {
        #[derive(Debug)]
        struct Forgetful(io::Cursor<Vec<u8>>);
        impl Read for Forgetful {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }
        impl Seek for Forgetful {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        impl Write for Forgetful {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.seek(SeekFrom::Current(bytes.len() as i64))?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut disk = Forgetful(io::Cursor::new(vec![0; 4 << 20]));
        assert!(write(&mut disk, 4 << 20, &table(512, 8192)).is_err());
    }
}
