//! Reading a disk's partition table through the `gpt` crate, into the layout's types.

use std::io::{Read, Seek, SeekFrom, Write};

use anyhow::{Context as _, bail};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use layout::Guid;
use layout::disk::Table;
use layout::dos::{DosTable, LENGTH};
use layout::gpt::{FirstSector, GptTable, Partition};

/// A table with its partitions in the order of their numbers, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) table: Table,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) oddities: Vec<String>,
}

/// Reads the table of an open disk or image with sectors of `sector_size` bytes.
///
/// # Errors
/// When the disk cannot be read, or says that it has a GPT of which no copy is valid.
pub(crate) fn read<D: Read + Write + Seek + std::fmt::Debug>(disk: &mut D, sector_size: u32) -> anyhow::Result<Found> {
    let none = |table| Ok(Found { table, partitions: Vec::new(), oddities: Vec::new() });
    let mut first = [0; 512];
    disk.seek(SeekFrom::Start(0))?;
    if let Err(error) = disk.read_exact(&mut first) {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { none(Table::None) } else { Err(error.into()) };
    }
    let mut signature = [0; 8];
    disk.seek(SeekFrom::Start(sector_size.into()))?;
    let signed = disk.read_exact(&mut signature).is_ok() && &signature == b"EFI PART";
    match FirstSector::read(&first) {
        FirstSector::None if !signed => return none(Table::None),
        // A GPT header behind a DOS table is a leftover: firmware and kernel go by the first sector.
        FirstSector::Dos => return read_dos(disk, sector_size),
        _ => {}
    }
    let mut found = read_gpt(disk, sector_size, &first)?;
    match FirstSector::read(&first) {
        FirstSector::Hybrid => found.oddities.push("a hybrid MBR, whose DOS records are not brought back".into()),
        FirstSector::None => found.oddities.push("no protective MBR in front of the GPT; a new one is written".into()),
        _ => {}
    }
    Ok(found)
}

fn read_dos<D: Read + Seek>(disk: &mut D, sector_size: u32) -> anyhow::Result<Found> {
    let mut read = |lba: u64| {
        let mut sector = [0; LENGTH];
        disk.seek(SeekFrom::Start(lba.checked_mul(sector_size.into())?)).ok()?;
        disk.read_exact(&mut sector).ok()?;
        Some(sector)
    };
    let (table, partitions) = DosTable::read(sector_size, &mut read)?;
    Ok(Found { table: Table::Dos(table), partitions, oddities: Vec::new() })
}

fn read_gpt<D: Read + Write + Seek + std::fmt::Debug>(
    disk: &mut D,
    sector_size: u32,
    first: &[u8],
) -> anyhow::Result<Found> {
    let size = LogicalBlockSize::try_from(u64::from(sector_size))
        .with_context(|| format!("a GPT on sectors of {sector_size} bytes"))?;
    // The crate takes entries of 128 bytes for granted.
    if let Ok(header) = gpt::header::read_header_from_arbitrary_device(disk, size)
        && header.part_size != 128
    {
        bail!("the GPT has entries of {} bytes, and 128 are supported", header.part_size);
    }
    let disk = GptConfig::new().writable(false).logical_block_size(size).open_from_device(disk);
    let disk = disk.context("neither the GPT at the start nor its copy at the end is valid")?;
    let header = disk.header();
    let mut oddities = Vec::new();
    if let Err(error) = disk.primary_header() {
        oddities.push(format!("the GPT at the start is damaged ({error}); its copy at the end was read"));
    }
    if let Err(error) = disk.backup_header() {
        oddities.push(format!("the copy of the GPT at the end is damaged or missing ({error})"));
    }
    let mut partitions = Vec::new();
    for (&number, partition) in disk.partitions().iter().filter(|(_, partition)| partition.is_used()) {
        let sectors = partition.last_lba.checked_sub(partition.first_lba).and_then(|length| length.checked_add(1));
        let Some(sectors) = sectors else { bail!("partition {number} ends before it begins") };
        partitions.push(Partition {
            number,
            type_guid: Guid::new(&partition.part_type_guid.guid.to_string())?,
            guid: Guid::new(&partition.part_guid.to_string())?,
            name: partition.name.clone(),
            attributes: partition.flags,
            first_lba: partition.first_lba,
            sectors,
        });
    }
    let table = GptTable {
        guid: Guid::new(&disk.guid().to_string())?,
        first_usable: header.first_usable,
        last_usable: header.last_usable,
        capacity: header.num_parts,
        alignment: GptTable::alignment_of(partitions.iter().map(|partition| partition.first_lba), sector_size),
        boot_code: GptTable::has_boot_code(first),
        active: GptTable::is_active(first),
    };
    Ok(Found { table: Table::Gpt(table), partitions, oddities })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An image as sgdisk makes it.
    fn sgdisk(arguments: &[&str]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let command = exec::Command::new("sgdisk").args(arguments).arg(file.path());
        command.run().unwrap();
        std::fs::read(file.path()).unwrap()
    }

    const PARTITIONS: &[&str] = &[
        "--disk-guid=11111111-2222-3333-4444-555555555555",
        "--new=1:2048:4095",
        "--typecode=1:ef02",
        "--new=5:1M:0",
        "--partition-guid=5:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "--change-name=5:Système – 系统",
        "--attributes=5:set:2",
        "--attributes=5:set:60",
    ];

    #[test]
    fn what_sgdisk_wrote_is_read() {
        let image = sgdisk(&[&PARTITIONS[..3], &["--new=5:4M:0"], &PARTITIONS[4..]].concat());
        let found = read(&mut Cursor::new(image), 512).unwrap();
        let Table::Gpt(table) = &found.table else { panic!("no GPT") };
        assert_eq!(table.guid.as_str(), "11111111-2222-3333-4444-555555555555");
        assert_eq!((table.first_usable, table.capacity, table.boot_code, table.alignment), (34, 128, false, 2048));
        let [core, system] = found.partitions.as_slice() else { panic!("two partitions") };
        assert_eq!((core.number, core.first_lba, core.sectors), (1, 2048, 2048));
        assert_eq!(core.type_guid.as_str(), layout::gpt::BIOS_BOOT);
        assert_eq!((system.number, system.name.as_str()), (5, "Système – 系统"));
        assert_eq!(system.guid.as_str(), "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE");
        assert_eq!(system.attributes, 1 << 2 | 1 << 60);
        assert!(found.oddities.is_empty(), "{:?}", found.oddities);
    }

    #[test]
    fn a_damaged_table_is_read_from_its_copy_and_said_to_be_damaged() {
        let mut image = sgdisk(&["--new=1:0:0"]);
        image[512..1024].fill(0);
        let found = read(&mut Cursor::new(image.clone()), 512).unwrap();
        assert_eq!(found.partitions.len(), 1);
        assert!(found.oddities[0].contains("at the start is damaged"), "{:?}", found.oddities);
        let end = image.len() - 512;
        image[end..].fill(0);
        assert!(read(&mut Cursor::new(image), 512).is_err(), "a protective MBR without a table is an error");
    }

    #[test]
    fn a_hybrid_mbr_is_named() {
        let image = sgdisk(&["--new=1:2M:+1M", "--hybrid=1"]);
        assert!(read(&mut Cursor::new(image), 512).unwrap().oddities[0].contains("hybrid"));
    }

    #[test]
    fn other_disks_have_no_table_or_a_dos_table() {
        assert_eq!(read(&mut Cursor::new(vec![0; 1 << 20]), 512).unwrap().table, Table::None);
        assert_eq!(read(&mut Cursor::new(vec![0; 100]), 512).unwrap().table, Table::None);
        let mut dos = vec![0; 1 << 20];
        dos[446 + 4] = 0x83;
        dos[446 + 12] = 1;
        dos[510..512].copy_from_slice(&[0x55, 0xaa]);
        let found = read(&mut Cursor::new(dos), 512).unwrap();
        assert!(matches!(found.table, Table::Dos(_)) && found.partitions.len() == 1, "{found:?}");
    }
}
