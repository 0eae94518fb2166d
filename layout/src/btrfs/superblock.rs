//! The superblock of btrfs, read from bytes. Numbers are little-endian.

use super::Btrfs;
use crate::ext::superblock::{label, uuid};
use crate::units::Bytes;

/// First byte of the superblock on a device.
pub const OFFSET: u64 = 64 << 10;
/// Bytes of a superblock.
pub const LENGTH: usize = 4096;

const CHECKSUMS: [&str; 4] = ["crc32c", "xxhash", "sha256", "blake2"];
/// Bits of `incompat_flags` and `mkfs.btrfs`'s names for them.
const INCOMPATIBLE: &[(u64, &str)] = &[
    (0x4, "mixed-bg"),
    (0x40, "extref"),
    (0x80, "raid56"),
    (0x100, "skinny-metadata"),
    (0x200, "no-holes"),
    (0x800, "raid1c34"),
    (0x1000, "zoned"),
    (0x4000, "raid-stripe-tree"),
    (0x1_0000, "squota"),
];
/// Bits of `compat_ro_flags`.
const READ_ONLY: &[(u64, &str)] = &[(0x1, "free-space-tree"), (0x4, "verity"), (0x8, "block-group-tree")];

impl Btrfs {
    /// Reads the bytes at [`OFFSET`] of a device: the filesystem, without what only a mounted one tells (profiles and subvolumes), and
    /// the device's number in it. `None` when they are no superblock.
    #[must_use]
    pub fn parse(superblock: &[u8]) -> Option<(Self, u64)> {
        let word = |at: usize| Some(u32::from_le_bytes(superblock.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(superblock.get(at..at + 8)?.try_into().ok()?));
        if superblock.get(64..72)? != b"_BHRfS_M" {
            return None;
        }
        let checksum = CHECKSUMS.get(usize::from(u16::from_le_bytes(superblock.get(196..198)?.try_into().ok()?)))?;
        let (sector_size, node_size) = (word(144)?, word(148)?);
        if !sector_size.is_power_of_two() || !node_size.is_power_of_two() || node_size > 64 << 10 {
            return None;
        }
        let named = |bits: u64, names: &'static [(u64, &str)]| names.iter().filter(move |(bit, _)| bits & bit != 0);
        let features = named(long(188)?, INCOMPATIBLE).chain(named(long(180)?, READ_ONLY));
        let mut features: Vec<String> = features.map(|(_, name)| (*name).to_owned()).collect();
        features.sort_unstable();
        let filesystem = Self {
            uuid: uuid(superblock.get(32..48)?),
            label: label(superblock.get(299..555)?),
            sector_size,
            node_size,
            checksum: (*checksum).to_owned(),
            features,
            devices: long(136)?,
            data: String::new(),
            metadata: String::new(),
            used: Bytes(long(120)?),
            subvolumes: Vec::new(),
            default: String::new(),
        };
        Some((filesystem, long(201)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a line of `btrfs inspect-internal dump-super`.
    fn dumped<'a>(text: &'a str, name: &str) -> &'a str {
        let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name}"))[name.len()..].trim()
    }

    #[test]
    fn what_is_read_is_what_dump_super_says() {
        macro_rules! fixture {
            ($name:literal) => {
                (
                    &include_bytes!(concat!("../../fixtures/btrfs/", $name, ".superblock"))[..],
                    include_str!(concat!("../../fixtures/btrfs/", $name, ".dump")),
                )
            };
        }
        for (bytes, text) in [fixture!("plain"), fixture!("second")] {
            let (found, device) = Btrfs::parse(bytes).unwrap();
            assert_eq!(found.uuid, dumped(text, "fsid"));
            assert_eq!(found.label, dumped(text, "label"));
            let numbers = [u64::from(found.sector_size), found.node_size.into(), found.devices, found.used.0, device];
            for (number, name) in
                numbers.into_iter().zip(["sectorsize", "nodesize", "num_devices", "bytes_used", "dev_item.devid"])
            {
                assert_eq!(number.to_string(), dumped(text, name), "{name}");
            }
            assert!(dumped(text, "csum_type").contains(&found.checksum), "{}", found.checksum);
            for feature in found.features.iter().filter(|name| !["extref", "mixed-bg"].contains(&name.as_str())) {
                assert!(text.contains(&feature.to_uppercase().replace('-', "_")), "{feature}\n{text}");
            }
        }
    }

    #[test]
    fn features_bear_the_names_that_mkfs_takes() {
        let (plain, _) = Btrfs::parse(include_bytes!("../../fixtures/btrfs/plain.superblock")).unwrap();
        assert_eq!(plain.features.join(" "), "extref free-space-tree no-holes skinny-metadata");
        let (second, _) = Btrfs::parse(include_bytes!("../../fixtures/btrfs/second.superblock")).unwrap();
        assert_eq!(second.features.join(" "), "extref skinny-metadata");
    }

    #[test]
    fn other_and_cut_bytes_are_no_btrfs() {
        assert_eq!(Btrfs::parse(&[]), None);
        assert_eq!(Btrfs::parse(&[0; LENGTH]), None);
        let bytes = include_bytes!("../../fixtures/btrfs/plain.superblock");
        for length in [100, 200, 300, 500] {
            assert_eq!(Btrfs::parse(&bytes[..length]), None);
        }
        let mut later = bytes.to_vec();
        later[196] = 9;
        assert_eq!(Btrfs::parse(&later), None);
    }
}
