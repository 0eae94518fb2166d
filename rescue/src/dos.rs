//! Writing a DOS partition table. The first sector goes last: at every moment a reader finds either no table or a whole one.

use std::io::{self, Read, Seek, SeekFrom, Write};

use layout::dos::{DosTable, LENGTH};
use layout::solve::NewTable;

/// Writes the table and reads it back. It carries no boot code.
///
/// # Errors
/// When it does not fit, or the disk fails.
pub fn write<D: Read + Write + Seek>(disk: &mut D, table: &NewTable, dos: &DosTable) -> io::Result<()> {
    let partitions: Vec<_> = table.partitions.iter().map(|partition| partition.entry.clone()).collect();
    let misfit = || io::Error::new(io::ErrorKind::InvalidInput, "the partitions do not fit into a DOS table");
    let sectors = dos.sectors(&partitions).ok_or_else(misfit)?;
    for (lba, bytes) in &sectors {
        let mut sector = vec![0; (table.logical_sector as usize).max(LENGTH)];
        sector[..LENGTH].copy_from_slice(bytes);
        seek(disk, table, *lba)?;
        disk.write_all(&sector)?;
    }
    disk.flush()?;
    let mut read = |lba: u64| {
        let mut sector = vec![0; (table.logical_sector as usize).max(LENGTH)];
        seek(disk, table, lba).and_then(|()| disk.read_exact(&mut sector)).ok()?;
        sector[..LENGTH].try_into().ok()
    };
    let found = DosTable::read(table.logical_sector, &mut read).map_err(io::Error::other)?;
    // What is not part of the table: alignment is a conclusion, and boot code comes with the boot loader.
    let facts = |table: &DosTable| (table.signature, table.entries.clone(), table.extended.clone());
    let mut wanted = partitions;
    wanted.sort_by_key(|partition| partition.number);
    if facts(&found.0) == facts(dos) && found.1 == wanted {
        Ok(())
    } else {
        Err(io::Error::other(format!("what was read back differs: {found:?}")))
    }
}

fn seek(disk: &mut impl Seek, table: &NewTable, lba: u64) -> io::Result<()> {
    let at =
        lba.checked_mul(u64::from(table.logical_sector)).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    disk.seek(SeekFrom::Start(at)).map(drop)
}

#[cfg(test)]
mod tests {
    use layout::dos::{DosEntry, Extended, disk_guid, guid_of, type_of};
    use layout::gpt::Partition;
    use layout::solve::NewPartition;
    use layout::{Bytes, NodeId};

    use super::*;

    /// Partitions as (number, type, first MiB, MiB, where it is described); an extended one from 301 MiB to the end of 1 GiB.
    fn table(sector: u32) -> (NewTable, DosTable) {
        let mib = u64::from((1 << 20) / sector);
        let parts = [
            (1, 0x83, 1, 100, None),
            (2, 0x82, 101, 200, None),
            (5, 0x83, 302, 100, Some(301)),
            (6, 0x8e, 403, 500, Some(402)),
        ];
        let partitions = parts.map(|(number, kind, first, length, _)| NewPartition {
            node: NodeId(number.to_string()),
            entry: Partition {
                number,
                type_guid: type_of(kind),
                guid: guid_of(0x1a2b_3c4d, number),
                name: String::new(),
                attributes: 0,
                first_lba: first * mib,
                sectors: length * mib,
            },
            old_size: Bytes(0),
        });
        let entries = parts.map(|(number, kind, .., at): (u32, u8, u64, u64, Option<u64>)| DosEntry {
            number,
            kind,
            active: number == 1,
            described_at: at.map(|at| at * mib),
        });
        let extended = Extended { number: 4, kind: 5, active: false, first_lba: 301 * mib, sectors: 723 * mib };
        let new = NewTable {
            guid: disk_guid(0x1a2b_3c4d),
            logical_sector: sector,
            first_usable: 1,
            last_usable: 1024 * mib - 1,
            capacity: 0,
            active: false,
            partitions: partitions.into(),
        };
        let dos = DosTable {
            signature: 0x1a2b_3c4d,
            alignment: mib,
            boot_code: false,
            entries: entries.into(),
            extended: Some(extended),
        };
        (new, dos)
    }

    #[test]
    fn sfdisk_finds_the_table_correct_and_reads_what_was_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 30).unwrap();
        let (new, dos) = table(512);
        write(&mut file.as_file(), &new, &dos).unwrap();
        let sfdisk = |arg: &str| exec::Command::new("sfdisk").arg(arg).arg(file.path()).read().unwrap();
        let verdict = sfdisk("--verify");
        assert!(verdict.contains("No errors detected"), "{verdict}");
        let dump = sfdisk("--dump").replace(' ', "");
        for line in [
            "label:dos",
            "label-id:0x1a2b3c4d",
            "1:start=2048,size=204800,type=83,bootable",
            "2:start=206848,size=409600,type=82",
            "4:start=616448,size=1480704,type=5",
            "5:start=618496,size=204800,type=83",
            "6:start=825344,size=1024000,type=8e",
        ] {
            assert!(dump.contains(line), "{line} in {dump}");
        }
    }

    #[test]
    fn larger_sectors_hold_the_same_table() {
        use std::os::unix::fs::FileExt as _;
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(&[0xaa; 8192], 0).unwrap();
        let (new, dos) = table(4096);
        write(&mut &file, &new, &dos).unwrap();
        let mut start = [0; 8192];
        file.read_exact_at(&mut start, 0).unwrap();
        assert_eq!(start[..440], [0; 440], "no boot code");
        assert!(start[512..4096].iter().all(|byte| *byte == 0) && start[4096..].iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn a_table_that_does_not_fit_is_not_begun() {
        let mut disk = io::Cursor::new(vec![0xaa; 1 << 20]);
        let (mut new, dos) = table(512);
        new.partitions[0].entry.sectors = 1 << 40;
        assert!(write(&mut disk, &new, &dos).is_err());
        assert!(disk.get_ref().iter().all(|byte| *byte == 0xaa));
    }
}
