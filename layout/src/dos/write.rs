//! A DOS table as bytes of sectors. The first sector carries no boot code.

use super::{DosTable, EXTENDED, LENGTH, MOST_SECTORS};
use crate::gpt::Partition;

/// Cylinder, head and sector of what lies beyond their reach: everybody goes by LBA.
const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

impl DosTable {
    /// The sectors of this table with these partitions: LBA and first bytes, the first sector of the disk last, so that a table that was
    /// half written is none. None where something does not fit into 32 bits or into the extended partition.
    #[must_use]
    pub fn sectors(&self, partitions: &[Partition]) -> Option<Vec<(u64, [u8; LENGTH])>> {
        let mut first = [0; LENGTH];
        first[510..].copy_from_slice(&[0x55, 0xaa]);
        first[440..444].copy_from_slice(&self.signature.to_le_bytes());
        let mut logical: Vec<(&Partition, u8, bool, u64)> = Vec::new();
        for partition in partitions {
            let entry = self.entry(partition.number)?;
            match entry.described_at {
                Some(at) => logical.push((partition, entry.kind, entry.active, at)),
                None => {
                    let record = record(entry.kind, entry.active, partition.first_lba, partition.sectors)?;
                    put(&mut first, usize::try_from(partition.number.checked_sub(1)?).ok()?, record)?;
                }
            }
        }
        logical.sort_by_key(|(partition, ..)| partition.number);
        let mut sectors = Vec::new();
        if let Some(extended) = &self.extended {
            let whole = record(extended.kind, extended.active, extended.first_lba, extended.sectors)?;
            put(&mut first, usize::try_from(extended.number.checked_sub(1)?).ok()?, whole)?;
            for (index, (partition, kind, active, at)) in logical.iter().enumerate() {
                let mut sector = [0; LENGTH];
                let start = partition.first_lba.checked_sub(*at)?;
                put(&mut sector, 0, record(*kind, *active, start, partition.sectors)?)?;
                if let Some((next, _, _, next_at)) = logical.get(index + 1) {
                    let length = next.first_lba.checked_add(next.sectors)?.checked_sub(*next_at)?;
                    let link = record(EXTENDED[0], false, next_at.checked_sub(extended.first_lba)?, length)?;
                    put(&mut sector, 1, link)?;
                }
                sectors.push((*at, sector));
            }
            // The chain begins where the extended partition does.
            if logical.first().is_none_or(|(.., at)| *at != extended.first_lba) {
                return None;
            }
        } else if !logical.is_empty() {
            return None;
        }
        sectors.push((0, first));
        Some(sectors)
    }
}

fn record(kind: u8, active: bool, first: u64, sectors: u64) -> Option<[u8; 16]> {
    let number = |value: u64| u32::try_from(value).ok().filter(|_| value <= MOST_SECTORS).map(u32::to_le_bytes);
    let mut record = [0; 16];
    record[0] = if active { 0x80 } else { 0 };
    record[1..4].copy_from_slice(&BEYOND);
    record[4] = kind;
    record[5..8].copy_from_slice(&BEYOND);
    record[8..12].copy_from_slice(&number(first)?);
    record[12..16].copy_from_slice(&number(sectors)?);
    Some(record)
}

fn put(sector: &mut [u8; LENGTH], place: usize, record: [u8; 16]) -> Option<()> {
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let at = 446 + 16 * (place < 4).then_some(place)?;
    sector.get_mut(at..at + 16)?.copy_from_slice(&record);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn captured() -> BTreeMap<u64, [u8; LENGTH]> {
        let bytes = include_bytes!("../../fixtures/dos/logical.sectors");
        let piece = |piece: &[u8]| {
            (u64::from_le_bytes(piece[..8].try_into().unwrap()), <[u8; LENGTH]>::try_from(&piece[8..]).unwrap())
        };
        bytes.chunks_exact(8 + LENGTH).map(piece).collect()
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let sectors = captured();
        let read =
            |sectors: &BTreeMap<u64, [u8; LENGTH]>| DosTable::read(512, &mut |lba| sectors.get(&lba).copied()).unwrap();
        let (table, partitions) = read(&sectors);
        let written: BTreeMap<u64, [u8; LENGTH]> = table.sectors(&partitions).unwrap().into_iter().collect();
        assert_eq!(written.keys().collect::<Vec<_>>(), sectors.keys().collect::<Vec<_>>());
        assert_eq!(read(&written), (table, partitions));
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let sectors = captured();
        let (table, partitions) = DosTable::read(512, &mut |lba| sectors.get(&lba).copied()).unwrap();
        let mut large = partitions.clone();
        large[0].sectors = MOST_SECTORS + 1;
        assert!(table.sectors(&large).is_none());
        let mut bare = table.clone();
        bare.extended = None;
        assert!(bare.sectors(&partitions).is_none());
        let mut early = partitions;
        early[2].first_lba = 1;
        assert!(table.sectors(&early).is_none());
    }
}
