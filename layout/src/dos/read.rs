//! Reading a DOS table: the first sector, and the chain of sectors that describe logical partitions.

use super::{DosEntry, DosTable, EXTENDED, Extended, FIRST_LOGICAL, LENGTH, partition};
use crate::gpt::{GptTable, Partition};

/// Longer chains are circles, or nothing that anybody made.
const MOST_LOGICAL: u32 = 128;

/// A table that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DosError {
    /// A sector of the chain is not there, or has no table.
    #[error("the logical partition {number} should be described at sector {lba}, and is not")]
    Chain {
        /// The partition's number.
        number: u32,
        /// Where.
        lba: u64,
    },
    /// The chain does not end.
    #[error("the chain of logical partitions does not end")]
    Endless,
    /// Two extended partitions.
    #[error("there are two extended partitions")]
    TwoExtended,
}

/// One record of 16 bytes.
struct Record {
    active: bool,
    kind: u8,
    first: u64,
    sectors: u64,
}

impl Record {
    fn all(sector: &[u8; LENGTH]) -> [Self; 4] {
        [446, 462, 478, 494].map(|at| {
            let word =
                |at: usize| u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]));
            Self { active: sector[at] & 0x80 != 0, kind: sector[at + 4], first: word(at + 8), sectors: word(at + 12) }
        })
    }

    fn is_used(&self) -> bool {
        self.kind != 0 && self.sectors != 0
    }
}

impl DosTable {
    /// Reads the table of a disk with sectors of `sector_size` bytes. `read` gives the first bytes of a sector. Gives the table and its
    /// partitions in the order of their numbers; an extended partition without logical ones is left out.
    ///
    /// # Errors
    /// [`DosError`].
    pub fn read(
        sector_size: u32,
        read: &mut dyn FnMut(u64) -> Option<[u8; LENGTH]>,
    ) -> Result<(Self, Vec<Partition>), DosError> {
        let Some(first) = read(0) else { return Err(DosError::Chain { number: 1, lba: 0 }) };
        let signature = u32::from_le_bytes([first[440], first[441], first[442], first[443]]);
        let (mut entries, mut partitions, mut extended) = (Vec::new(), Vec::new(), None);
        for (number, record) in (1..).zip(Record::all(&first)).filter(|(_, record)| record.is_used()) {
            let (kind, active) = (record.kind, record.active);
            if EXTENDED.contains(&kind) {
                let found = Extended { number, kind, active, first_lba: record.first, sectors: record.sectors };
                if extended.replace(found).is_some() {
                    return Err(DosError::TwoExtended);
                }
                continue;
            }
            entries.push(DosEntry { number, kind, active, described_at: None });
            partitions.push(partition(signature, number, kind, record.first, record.sectors));
        }
        if let Some(container) = &extended {
            let logical = logical(container, read)?;
            if logical.is_empty() {
                extended = None;
            }
            for (entry, first_lba, sectors) in logical {
                partitions.push(partition(signature, entry.number, entry.kind, first_lba, sectors));
                entries.push(entry);
            }
        }
        let starts = partitions.iter().map(|partition| partition.first_lba);
        let alignment = GptTable::alignment_of(starts, sector_size);
        let boot_code = GptTable::has_boot_code(&first);
        Ok((Self { signature, alignment, boot_code, entries, extended }, partitions))
    }
}

type Logical = (DosEntry, u64, u64);

/// The logical partitions, in the order of the chain, which numbers them. A partition's start counts from the sector that describes it,
/// that of the next such sector from the start of the extended partition.
fn logical(container: &Extended, read: &mut dyn FnMut(u64) -> Option<[u8; LENGTH]>) -> Result<Vec<Logical>, DosError> {
    let mut found = Vec::new();
    let mut at = container.first_lba;
    for _ in 0..MOST_LOGICAL {
        let number = FIRST_LOGICAL + found.len() as u32;
        let sector = read(at).filter(|sector| sector[510..] == [0x55, 0xaa]);
        let sector = sector.ok_or(DosError::Chain { number, lba: at })?;
        let records = Record::all(&sector);
        if let Some(own) = records.iter().find(|record| record.is_used() && !EXTENDED.contains(&record.kind)) {
            let entry = DosEntry { number, kind: own.kind, active: own.active, described_at: Some(at) };
            found.push((entry, at + own.first, own.sectors));
        }
        match records.iter().find(|record| record.is_used() && EXTENDED.contains(&record.kind)) {
            Some(next) => at = container.first_lba + next.first,
            None => return Ok(found),
        }
    }
    Err(DosError::Endless)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The captured sectors of fixtures/dos/: eight bytes of LBA, then the sector's first 512 bytes.
    fn captured(bytes: &'static [u8]) -> impl FnMut(u64) -> Option<[u8; LENGTH]> {
        move |wanted| {
            let mut pieces = bytes.chunks_exact(8 + LENGTH);
            let piece = pieces.find(|piece| piece[..8] == wanted.to_le_bytes())?;
            piece[8..].try_into().ok()
        }
    }

    #[test]
    fn primary_and_logical_partitions_are_as_sfdisk_made_them() {
        let (table, partitions) =
            DosTable::read(512, &mut captured(include_bytes!("../../fixtures/dos/logical.sectors"))).unwrap();
        let dump = include_str!("../../fixtures/dos/logical.sfdisk");
        assert!(dump.contains(&format!("label-id: {:#010x}", table.signature)), "{dump}");
        for partition in &partitions {
            let entry = table.entry(partition.number).unwrap();
            let line = dump.lines().find(|line| line.starts_with(&format!("disk{} ", partition.number))).unwrap();
            let words = line.replace(' ', "");
            let wanted = format!("start={},size={},type={:x}", partition.first_lba, partition.sectors, entry.kind);
            assert!(words.contains(&wanted), "{wanted} in {line}");
            assert_eq!(line.contains("bootable"), entry.active, "{line}");
        }
        let numbers: Vec<u32> = partitions.iter().map(|partition| partition.number).collect();
        assert_eq!(numbers, [1, 2, 5, 6, 7]);
        assert_eq!(table.extended.as_ref().map(|extended| (extended.number, extended.kind)), Some((4, 5)));
        assert_eq!((table.alignment, table.boot_code), (2048, false));
        assert_eq!(table.part_uuid(5), "1a2b3c4d-05");
    }

    #[test]
    fn a_chain_that_breaks_or_runs_in_a_circle_is_refused() {
        let mut good = captured(include_bytes!("../../fixtures/dos/logical.sectors"));
        let broken = DosTable::read(512, &mut |lba| (lba == 0).then(|| good(0)).flatten());
        assert!(matches!(broken, Err(DosError::Chain { number: 5, .. })), "{broken:?}");
        let mut circle = captured(include_bytes!("../../fixtures/dos/logical.sectors"));
        let circle = DosTable::read(512, &mut |lba| {
            let mut sector = circle(lba)?;
            if lba > 0 {
                sector[462 + 8..462 + 12].fill(0);
                (sector[462 + 4], sector[462 + 12]) = (5, 1);
            }
            Some(sector)
        });
        assert_eq!(circle, Err(DosError::Endless));
    }

    #[test]
    fn types_keep_their_meaning_and_stay_apart() {
        assert_eq!(super::super::type_of(0xef).as_str(), crate::gpt::ESP);
        assert_ne!(super::super::type_of(0x70), super::super::type_of(0x71));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8.., LENGTH)) {
            let mut sector: [u8; LENGTH] = bytes.try_into().unwrap();
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            let _ = DosTable::read(512, &mut |_| Some(sector));
        }
    }
}
