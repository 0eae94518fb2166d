//! The superblock of XFS, read from a device's first bytes. Numbers are big-endian.

use super::Xfs;
use crate::ext::superblock::{label, uuid};
use crate::units::Bytes;

/// Bytes of a superblock that are read.
pub const LENGTH: usize = 512;

/// Bits of `sb_features_ro_compat` and `mkfs.xfs`'s names for them.
const READ_ONLY: &[(u32, &str)] = &[(0x1, "finobt"), (0x2, "rmapbt"), (0x4, "reflink"), (0x8, "inobtcount")];
/// Bits of `sb_features_incompat`.
const INCOMPATIBLE: &[(u32, &str)] = &[(0x1, "ftype"), (0x2, "sparse"), (0x8, "bigtime"), (0x20, "nrext64")];
/// `sb_versionnum` holds the version in its low bits.
const VERSION: u16 = 0xf;

impl Xfs {
    /// Reads a device's first bytes; `None` when they are no XFS superblock of version 4 or 5.
    #[must_use]
    pub fn parse(start: &[u8]) -> Option<Self> {
        let bytes = |range: std::ops::Range<usize>| start.get(range);
        let short = |at: usize| Some(u16::from_be_bytes(bytes(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_be_bytes(bytes(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_be_bytes(bytes(at..at + 8)?.try_into().ok()?));
        if bytes(0..4)? != b"XFSB" {
            return None;
        }
        let (block_size, version) = (word(4)?, short(100)? & VERSION);
        if !block_size.is_power_of_two() || !(512..=65536).contains(&block_size) || !(4..=5).contains(&version) {
            return None;
        }
        let mut features = Vec::new();
        if version == 5 {
            features.push("crc".to_owned());
            let named = |bits: u32, names: &[(u32, &str)]| -> Vec<String> {
                names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
            };
            features.extend(named(word(212)?, READ_ONLY));
            features.extend(named(word(216)?, INCOMPATIBLE));
            features.sort_unstable();
        }
        let (blocks, free) = (long(8)?, long(144)?);
        Some(Self {
            uuid: uuid(bytes(32..48)?),
            label: label(bytes(108..120)?),
            block_size,
            sector_size: u32::from(short(102)?),
            inode_size: u32::from(short(104)?),
            folder_block_size: block_size.checked_shl(u32::from(*start.get(192)?)).unwrap_or(block_size),
            features,
            blocks,
            used: Bytes(blocks.saturating_sub(free).saturating_mul(u64::from(block_size))),
            groups: word(88)?,
            journal_blocks: if long(48)? == 0 { 0 } else { word(96)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_filesystem_is_described_as_mkfs_made_it() {
        let xfs = Xfs::parse(include_bytes!("../../fixtures/xfs.superblock")).unwrap();
        assert_eq!((xfs.uuid.as_str(), xfs.label.as_str()), ("55555555-5555-4555-8555-555555555555", "files"));
        assert_eq!((xfs.block_size, xfs.sector_size, xfs.inode_size), (4096, 4096, 1024));
        assert_eq!((xfs.folder_block_size, xfs.blocks), (8192, 512 * 256));
        assert_eq!((xfs.groups, xfs.journal_blocks), (4, 16384));
        assert_eq!(xfs.features.join(" "), "bigtime crc finobt ftype inobtcount reflink rmapbt sparse");
        // The journal counts.
        assert!(xfs.used.0 > 0 && xfs.used < Bytes(128 << 20), "{:?}", xfs.used);
    }

    #[test]
    fn a_version_4_filesystem_has_none_of_the_later_features() {
        let old = Xfs::parse(include_bytes!("../../fixtures/xfs-4.superblock")).unwrap();
        assert!(old.features.is_empty(), "{:?}", old.features);
    }

    #[test]
    fn other_and_cut_bytes_are_no_xfs() {
        assert_eq!(Xfs::parse(&[]), None);
        assert_eq!(Xfs::parse(&[0; LENGTH]), None);
        let bytes = include_bytes!("../../fixtures/xfs.superblock");
        assert_eq!(Xfs::parse(&bytes[..200]), None);
        let mut later = *bytes;
        later[101] = 0xf6;
        assert_eq!(Xfs::parse(&later), None);
    }
}
