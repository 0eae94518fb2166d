//! A FAT volume's boot sector, allocation table and root directory, read from bytes.
//!
//! [`Volume::parse`] reads the boot sector and says where the rest lies; [`Volume::describe`] takes those bytes. The
//! rules are the kernel's: FAT32 is what has no 16-bit table length, and not what has many clusters.

use std::ops::Range;

use super::Vfat;
use crate::units::Bytes;

/// Bytes that are not a FAT boot sector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no FAT boot sector: {0}")]
pub struct VolumeError(&'static str);

/// Where the parts of a FAT volume lie, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The first allocation table.
    pub table: Range<u64>,
    /// The root directory; of FAT32 its first cluster.
    pub root: Range<u64>,
    fat_bits: u8,
    sector_size: u32,
    cluster_size: u32,
    clusters: u32,
    serial: u32,
    label: [u8; 11],
}

impl Volume {
    /// Reads the first 512 bytes of a volume.
    ///
    /// # Errors
    /// [`VolumeError`] when they are no FAT boot sector.
    pub fn parse(sector: &[u8]) -> Result<Self, VolumeError> {
        let sector: &[u8; 512] = sector.first_chunk().ok_or(VolumeError("fewer than 512 bytes"))?;
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
        if sector[510..] != [0x55, 0xaa] || !matches!(sector[0], 0xeb | 0xe9) {
            return Err(VolumeError("no boot signature"));
        }
        let (sector_size, per_cluster, reserved) = (u16_at(11), u32::from(sector[13]), u16_at(14));
        if !matches!(sector_size, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() || reserved == 0 {
            return Err(VolumeError("impossible sector or cluster size"));
        }
        let tables = u32::from(sector[16]);
        let root_sectors = (u16_at(17) * 32).div_ceil(sector_size);
        let total = if u16_at(19) == 0 { u32_at(32) } else { u16_at(19) };
        let (wide, table_sectors) = if u16_at(22) == 0 { (true, u32_at(36)) } else { (false, u16_at(22)) };
        if tables == 0 || table_sectors == 0 || !matches!(sector[21], 0xf0 | 0xf8..=0xff) {
            return Err(VolumeError("no allocation table"));
        }
        let data = u64::from(reserved) + u64::from(tables) * u64::from(table_sectors) + u64::from(root_sectors);
        let Some(data_sectors) = u64::from(total).checked_sub(data) else {
            return Err(VolumeError("more tables than sectors"));
        };
        let clusters = (data_sectors / u64::from(per_cluster)) as u32;
        let bytes = u64::from(sector_size);
        let cluster_size = per_cluster * sector_size;
        let root = if wide {
            let first = u64::from(u32_at(44).max(2)) - 2;
            let start = data * bytes + first * u64::from(cluster_size);
            start..start + u64::from(cluster_size)
        } else {
            (data - u64::from(root_sectors)) * bytes..data * bytes
        };
        let extended = if wide { 66 } else { 38 };
        let has_fields = matches!(sector[extended], 0x28 | 0x29);
        let mut label = [b' '; 11];
        if sector[extended] == 0x29 {
            label.copy_from_slice(&sector[extended + 5..extended + 16]);
        }
        Ok(Self {
            table: u64::from(reserved) * bytes..(u64::from(reserved) + u64::from(table_sectors)) * bytes,
            root,
            fat_bits: if wide {
                32
            } else if clusters < 4085 {
                12
            } else {
                16
            },
            sector_size,
            cluster_size,
            clusters,
            serial: if has_fields { u32_at(extended + 1) } else { 0 },
            label,
        })
    }

    /// Describes the volume, given the bytes of its [`table`](Self::table) and [`root`](Self::root).
    #[must_use]
    pub fn describe(&self, table: &[u8], root: &[u8]) -> Vfat {
        // The root directory's label is the one that systems show and change; the boot sector's is the older copy.
        let label = root_label(root).unwrap_or(self.label);
        let label = String::from_utf8_lossy(&label).trim_end().to_owned();
        // The table given bounds the count: a boot sector may claim any number of clusters.
        let entries = (table.len() as u64 * 8 / u64::from(self.fat_bits)).min(u64::from(self.clusters) + 2);
        let used = (2..entries).filter(|cluster| self.entry(table, *cluster) != 0).count() as u64;
        Vfat {
            serial: format!("{:04X}-{:04X}", self.serial >> 16, self.serial & 0xffff),
            label: if label == "NO NAME" { String::new() } else { label },
            fat_bits: self.fat_bits,
            sector_size: self.sector_size,
            cluster_size: self.cluster_size,
            used: Bytes(used * u64::from(self.cluster_size)),
        }
    }

    /// A cluster's entry in the table, 0 where it is free or beyond the bytes given.
    fn entry(&self, table: &[u8], cluster: u64) -> u32 {
        let at = (cluster * u64::from(self.fat_bits) / 8) as usize;
        let byte = |index: usize| u32::from(table.get(at + index).copied().unwrap_or(0));
        match self.fat_bits {
            12 => (byte(0) | byte(1) << 8) >> (4 * (cluster % 2)) & 0xfff,
            16 => byte(0) | byte(1) << 8,
            _ => (byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24) & 0x0fff_ffff,
        }
    }
}

/// The volume label's entry: attribute 8 alone (with 0x0f it is a piece of a long name), not deleted.
fn root_label(root: &[u8]) -> Option<[u8; 11]> {
    let entries = root.chunks_exact(32).take_while(|entry| entry[0] != 0);
    let entry = entries
        .filter(|entry| entry[0] != 0xe5)
        .find(|entry| entry[11] & 0x3f & 0x18 == 0x8 && entry[11] & 0x0f != 0x0f)?;
    entry.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixture file: boot sector, root directory, and the table without the zeroes at its end.
    fn describe(bytes: &[u8]) -> Vfat {
        let volume = Volume::parse(bytes).unwrap();
        let (root, table) = bytes[512..].split_at((volume.root.end - volume.root.start) as usize);
        volume.describe(table, root)
    }

    #[test]
    fn each_width_is_read_as_mkfs_made_it() {
        let fat12 = describe(include_bytes!("../../fixtures/fat12.parts"));
        let fat16 = describe(include_bytes!("../../fixtures/fat16.parts"));
        let fat32 = describe(include_bytes!("../../fixtures/fat32.parts"));
        assert_eq!((fat12.fat_bits, fat12.serial.as_str(), fat12.label.as_str()), (12, "0012-ABCD", ""));
        assert_eq!((fat16.fat_bits, fat16.serial.as_str(), fat16.label.as_str()), (16, "0016-ABCD", "SIXTEEN"));
        assert_eq!((fat32.fat_bits, fat32.serial.as_str(), fat32.label.as_str()), (32, "0032-ABCD", "NEW NAME"));
        for volume in [&fat12, &fat16, &fat32] {
            assert_eq!(volume.sector_size, 512);
        }
    }

    #[test]
    fn used_bytes_are_the_clusters_of_files() {
        // Each fixture holds one file of 10,000 bytes; FAT32's root directory takes a cluster too.
        for (bytes, root) in [
            (&include_bytes!("../../fixtures/fat12.parts")[..], 0),
            (&include_bytes!("../../fixtures/fat16.parts")[..], 0),
            (&include_bytes!("../../fixtures/fat32.parts")[..], 1),
        ] {
            let volume = describe(bytes);
            let cluster = u64::from(volume.cluster_size);
            assert_eq!(volume.used, Bytes((10_000u64.div_ceil(cluster) + root) * cluster), "FAT{}", volume.fat_bits);
        }
    }

    #[test]
    fn other_sectors_are_refused() {
        assert!(Volume::parse(&[0; 512]).is_err());
        assert!(Volume::parse(&[]).is_err());
        let mut protective = [0; 512];
        protective[510..].copy_from_slice(&[0x55, 0xaa]);
        protective[450] = 0xee;
        assert!(Volume::parse(&protective).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8.., 512), rest in proptest::collection::vec(0u8.., 0..200)) {
            let mut bytes = bytes;
            bytes[0] = 0xeb;
            bytes[11..14].copy_from_slice(&[0, 2, 8]);
            bytes[21] = 0xf8;
            bytes[510..].copy_from_slice(&[0x55, 0xaa]);
            if let Ok(volume) = Volume::parse(&bytes) {
                let _ = volume.describe(&rest, &rest);
            }
        }
    }
}
