//! GUID partition tables: the table's own facts and its partitions. Reading and writing sectors is the callers' work.

use serde::{Deserialize, Serialize};

use crate::units::Guid;

/// The ESP's partition type.
pub const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// The partition type for GRUB's core image on BIOS machines.
pub const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";

/// A table without its partitions, which are nodes of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptTable {
    /// The disk's GUID.
    pub guid: Guid,
    /// First LBA that partitions may use.
    pub first_usable: u64,
    /// Last LBA that partitions may use.
    pub last_usable: u64,
    /// Number of entries the table has room for (128 nearly always).
    pub capacity: u32,
    /// Largest power of two in sectors that all partitions start on, at most 1 MiB worth.
    pub alignment: u64,
    /// First 440 bytes of LBA 0 hold boot code.
    pub boot_code: bool,
    /// The protective record of LBA 0 is marked active: some firmware starts no disk by BIOS that has no such mark.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
}

impl GptTable {
    /// The largest power of two in sectors that every one of `starts` is a multiple of, at most 1 MiB worth; 1 MiB worth
    /// where there is no partition.
    #[must_use]
    pub fn alignment_of(starts: impl IntoIterator<Item = u64>, sector_size: u32) -> u64 {
        let most = (1u64 << 20) / u64::from(sector_size.max(1));
        let zeros = starts.into_iter().map(u64::trailing_zeros).min().unwrap_or(u64::BITS);
        most.min(1u64.checked_shl(zeros).unwrap_or(most))
    }

    /// Whether the protective record of LBA 0 is marked active.
    #[must_use]
    pub fn is_active(lba0: &[u8]) -> bool {
        let records = lba0.get(446..510).unwrap_or_default();
        records.chunks_exact(16).any(|record| record[0] == 0x80 && record[4] == 0xee)
    }

    /// Whether LBA 0 begins with boot code.
    #[must_use]
    pub fn has_boot_code(lba0: &[u8]) -> bool {
        lba0.iter().take(440).any(|byte| *byte != 0)
    }
}

/// What the first sector says of a disk's partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSector {
    /// A protective MBR and nothing else: the table is a GPT.
    Protective,
    /// A protective record beside others: a GPT whose partitions a DOS table repeats.
    Hybrid,
    /// A DOS partition table.
    Dos,
    /// No partition table.
    None,
}

impl FirstSector {
    /// Reads the records of LBA 0. A FAT boot sector has the same signature at its end and no valid records.
    #[must_use]
    pub fn read(lba0: &[u8]) -> Self {
        let Some(records) = lba0.get(446..510) else { return Self::None };
        if lba0.get(510..512) != Some(&[0x55, 0xaa]) {
            return Self::None;
        }
        let records: Vec<&[u8]> = records.chunks_exact(16).collect();
        if !records.iter().all(|record| matches!(record[0], 0 | 0x80)) {
            return Self::None;
        }
        let used = |record: &&&[u8]| record[4] != 0 && record[12..16] != [0; 4];
        let kinds: Vec<u8> = records.iter().filter(used).map(|record| record[4]).collect();
        match (kinds.contains(&0xee), kinds.len()) {
            (_, 0) => Self::None,
            (true, 1) => Self::Protective,
            (true, _) => Self::Hybrid,
            (false, _) => Self::Dos,
        }
    }
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its number, from 1: the `2` in `/dev/vda2`.
    pub number: u32,
    /// What it is for.
    pub type_guid: Guid,
    /// Its own GUID (PARTUUID).
    pub guid: Guid,
    /// Its name, up to 36 UTF-16 units.
    pub name: String,
    /// The 64 attribute bits.
    pub attributes: u64,
    /// First LBA.
    pub first_lba: u64,
    /// Length in logical sectors.
    pub sectors: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_is_what_all_starts_share() {
        assert_eq!(GptTable::alignment_of([2048, 4096, 1_050_624], 512), 2048);
        assert_eq!(GptTable::alignment_of([34, 2048], 512), 2);
        assert_eq!(GptTable::alignment_of([63], 512), 1);
        assert_eq!(GptTable::alignment_of([], 512), 2048);
        assert_eq!(GptTable::alignment_of([256, 512], 4096), 256);
        assert_eq!(GptTable::alignment_of([0], 512), 2048);
    }

    #[test]
    fn the_first_sector_tells_the_kinds_of_table_apart() {
        let sector = |records: &[(u8, u8)]| {
            let mut bytes = vec![0; 512];
            bytes[510..].copy_from_slice(&[0x55, 0xaa]);
            for (index, (flag, kind)) in records.iter().enumerate() {
                let record = &mut bytes[446 + 16 * index..][..16];
                (record[0], record[4], record[12]) = (*flag, *kind, 1);
            }
            bytes
        };
        assert_eq!(FirstSector::read(&sector(&[(0, 0xee)])), FirstSector::Protective);
        assert_eq!(FirstSector::read(&sector(&[(0, 0xee), (0x80, 0x83)])), FirstSector::Hybrid);
        assert_eq!(FirstSector::read(&sector(&[(0x80, 0x83), (0, 5)])), FirstSector::Dos);
        assert_eq!(FirstSector::read(&sector(&[])), FirstSector::None);
        assert_eq!(FirstSector::read(&sector(&[(0x41, 0x83)])), FirstSector::None);
        assert_eq!(FirstSector::read(include_bytes!("../fixtures/fat16.parts")), FirstSector::None);
        assert_eq!(FirstSector::read(&[0; 512]), FirstSector::None);
        assert_eq!(FirstSector::read(&[]), FirstSector::None);
    }
}
