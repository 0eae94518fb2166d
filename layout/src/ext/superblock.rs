//! The superblock of ext2, ext3 and ext4, read from bytes: no tool is needed to describe a filesystem.
//!
//! Layout and names follow the kernel's "ext4 Data Structures and Algorithms" and mke2fs's feature names.

use super::{Details, Ext};
use crate::units::Bytes;

/// Where the superblock starts on the device.
pub const OFFSET: u64 = 1024;
/// Bytes of a superblock.
pub const LENGTH: usize = 1024;

/// Bytes that are not a superblock of ext2, ext3 or ext4.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Fewer than 1024 bytes.
    #[error("a superblock has 1024 bytes, these are {0}")]
    Short(usize),
    /// The magic number is not there.
    #[error("no ext superblock: the magic number is {0:#06x} and not 0xef53")]
    Magic(u16),
    /// A field has a value that no filesystem has.
    #[error("the superblock's {field} is {value}, which no ext filesystem has")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A journal device, which holds no files.
    #[error("this is a journal device of another filesystem")]
    JournalDevice,
}

const COMPAT: &[(u32, &str)] = &[
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x40, "lazy_bg"),
    (0x80, "snapshot_bitmap"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x800, "stable_inodes"),
    (0x1000, "orphan_file"),
];
const INCOMPAT: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];
const RO_COMPAT: &[(u32, &str)] = &[
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
];
/// State of a mounted filesystem and no property that mke2fs is told: the journal is to be replayed, orphans are listed.
const INCOMPAT_STATE: u32 = 0x4;
const RO_COMPAT_STATE: u32 = 0x1_0000;

const MOUNT_OPTIONS: &[(u32, &str)] = &[
    (0x1, "debug"),
    (0x2, "bsdgroups"),
    (0x4, "user_xattr"),
    (0x8, "acl"),
    (0x10, "uid16"),
    (0x100, "nobarrier"),
    (0x200, "block_validity"),
    (0x400, "discard"),
    (0x800, "nodelalloc"),
];

/// A superblock with enough bytes and the right magic number, read field by field.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// A count whose upper half counts only with the 64bit feature.
    fn wide(&self, low: usize, high: usize, wide: bool) -> u64 {
        u64::from(self.u32(low)) | if wide { u64::from(self.u32(high)) << 32 } else { 0 }
    }
}

impl Ext {
    /// Reads the 1024 bytes at [`OFFSET`] of a device.
    ///
    /// # Errors
    /// [`SuperblockError`] when they are no superblock.
    pub fn parse(superblock: &[u8]) -> Result<Self, SuperblockError> {
        if superblock.len() < LENGTH {
            return Err(SuperblockError::Short(superblock.len()));
        }
        let fields = Fields(superblock);
        if fields.u16(0x38) != 0xef53 {
            return Err(SuperblockError::Magic(fields.u16(0x38)));
        }
        let (compat, incompat, ro_compat) = (fields.u32(0x5c), fields.u32(0x60), fields.u32(0x64));
        if incompat & 0x8 != 0 {
            return Err(SuperblockError::JournalDevice);
        }
        let block_size = match fields.u32(0x18) {
            log @ 0..=6 => 1024 << log,
            log => return Err(SuperblockError::Field { field: "block size exponent", value: log.into() }),
        };
        let wide = incompat & 0x80 != 0;
        let blocks = fields.wide(0x4, 0x150, wide);
        let free = fields.wide(0xc, 0x158, wide);
        if blocks == 0 || free > blocks {
            return Err(SuperblockError::Field { field: "number of free blocks", value: free });
        }
        if blocks.checked_mul(u64::from(block_size)).is_none() {
            return Err(SuperblockError::Field { field: "number of blocks", value: blocks });
        }
        // Revision 0 has no field for it.
        let inode_size = if fields.u32(0x4c) == 0 { 128 } else { u32::from(fields.u16(0x58)) };
        if !inode_size.is_power_of_two() || !(128..=block_size).contains(&inode_size) {
            return Err(SuperblockError::Field { field: "inode size", value: inode_size.into() });
        }
        Ok(Self {
            fstype: fstype(compat, incompat, ro_compat).into(),
            uuid: uuid(&superblock[0x68..0x78]),
            label: label(&superblock[0x78..0x88]),
            features: features(compat, incompat, ro_compat),
            block_size,
            inode_size,
            inodes: fields.u32(0x0).into(),
            reserved_blocks: fields.wide(0x8, 0x154, wide),
            blocks,
            default_mount_options: mount_options(fields.u32(0x100)),
            used: Bytes((blocks - free) * u64::from(block_size)),
            details: Details::read(superblock, incompat, ro_compat),
        })
    }
}

/// ext4 where a feature is set that ext3 does not know, ext3 where there is a journal, as blkid decides it.
fn fstype(compat: u32, incompat: u32, ro_compat: u32) -> &'static str {
    let ext3_incompat = 0x2 | 0x4 | 0x10;
    let ext3_ro_compat = 0x1 | 0x2 | 0x4;
    if incompat & !ext3_incompat != 0 || ro_compat & !ext3_ro_compat != 0 {
        "ext4"
    } else if compat & 0x4 != 0 {
        "ext3"
    } else {
        "ext2"
    }
}

fn features(compat: u32, incompat: u32, ro_compat: u32) -> Vec<String> {
    let mut names = Vec::new();
    for (bits, table, letter) in [
        (compat, COMPAT, 'C'),
        (incompat & !INCOMPAT_STATE, INCOMPAT, 'I'),
        (ro_compat & !RO_COMPAT_STATE, RO_COMPAT, 'R'),
    ] {
        for index in 0..32 {
            let bit = 1u32 << index;
            if bits & bit != 0 {
                let known = table.iter().find(|(mask, _)| *mask == bit).map(|(_, name)| (*name).to_owned());
                names.push(known.unwrap_or_else(|| format!("FEATURE_{letter}{index}")));
            }
        }
    }
    names.sort();
    names
}

fn mount_options(bits: u32) -> Vec<String> {
    let mut names: Vec<String> =
        MOUNT_OPTIONS.iter().filter(|(mask, _)| bits & mask != 0).map(|(_, name)| (*name).to_owned()).collect();
    // Two bits that are one value.
    match bits & 0x60 {
        0x20 => names.push("journal_data".into()),
        0x40 => names.push("journal_data_ordered".into()),
        0x60 => names.push("journal_data_writeback".into()),
        _ => {}
    }
    names
}

/// Sixteen bytes as a UUID in lower case.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}

/// A label that ends at its first zero byte.
pub(crate) fn label(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `Name:` in dumpe2fs -h's output.
    fn dumpe2fs<'a>(text: &'a str, name: &str) -> &'a str {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.split_once(':').unwrap().1.trim()
    }

    fn compare(superblock: &[u8], text: &str, fstype: &str) {
        let ext = Ext::parse(superblock).unwrap();
        assert_eq!(ext.fstype, fstype);
        assert_eq!(ext.uuid, dumpe2fs(text, "Filesystem UUID"));
        let label = dumpe2fs(text, "Filesystem volume name");
        assert_eq!(ext.label, if label == "<none>" { "" } else { label });
        let mut features: Vec<&str> = dumpe2fs(text, "Filesystem features").split_ascii_whitespace().collect();
        features.sort_unstable();
        assert_eq!(ext.features, features);
        for (value, name) in [
            (u64::from(ext.block_size), "Block size"),
            (u64::from(ext.inode_size), "Inode size"),
            (ext.inodes, "Inode count"),
            (ext.reserved_blocks, "Reserved block count"),
            (ext.blocks, "Block count"),
        ] {
            assert_eq!(value.to_string(), dumpe2fs(text, name), "{name}");
        }
        let free: u64 = dumpe2fs(text, "Free blocks").parse().unwrap();
        assert_eq!(ext.used, Bytes((ext.blocks - free) * u64::from(ext.block_size)));
        let mut options: Vec<&str> = dumpe2fs(text, "Default mount options").split_ascii_whitespace().collect();
        options.retain(|option| *option != "(none)");
        let mut ours = ext.default_mount_options.clone();
        ours.sort();
        options.sort_unstable();
        assert_eq!(ours, options);
    }

    #[test]
    fn what_is_read_is_what_dumpe2fs_says() {
        macro_rules! fixture {
            ($name:literal, $fstype:literal) => {
                compare(
                    include_bytes!(concat!("../../fixtures/", $name, ".superblock")),
                    include_str!(concat!("../../fixtures/", $name, ".dumpe2fs")),
                    $fstype,
                );
            };
        }
        fixture!("ext2", "ext2");
        fixture!("ext3", "ext3");
        fixture!("ext4", "ext4");
        fixture!("ext4-options", "ext4");
        fixture!("ext4-1k", "ext4");
    }

    #[test]
    fn a_mounted_filesystem_s_state_is_no_feature() {
        let mut bytes = include_bytes!("../../fixtures/ext4.superblock").to_vec();
        let clean = Ext::parse(&bytes).unwrap();
        bytes[0x60] |= 0x4;
        bytes[0x66] |= 0x1;
        assert_eq!(Ext::parse(&bytes).unwrap(), clean);
    }

    #[test]
    fn unknown_features_are_named_by_their_bit() {
        let mut bytes = include_bytes!("../../fixtures/ext4.superblock").to_vec();
        bytes[0x63] |= 0x80;
        assert!(Ext::parse(&bytes).unwrap().features.contains(&"FEATURE_I31".to_owned()));
    }

    #[test]
    fn other_bytes_are_refused_with_what_is_wrong() {
        assert_eq!(Ext::parse(&[0; 100]), Err(SuperblockError::Short(100)));
        assert_eq!(Ext::parse(&[0; 1024]), Err(SuperblockError::Magic(0)));
        let good = include_bytes!("../../fixtures/ext4.superblock");
        for (at, value, field) in [(0x18, 200, "block size"), (0x58, 3, "inode size"), (0x15b, 255, "free blocks")] {
            let mut bytes = good.to_vec();
            bytes[at] = value;
            let text = Ext::parse(&bytes).unwrap_err().to_string();
            assert!(text.contains(field), "{text}");
        }
        let mut journal = good.to_vec();
        journal[0x60] |= 0x8;
        assert_eq!(Ext::parse(&journal), Err(SuperblockError::JournalDevice));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8.., 1024), magic in proptest::bool::ANY) {
            let mut bytes = bytes;
            if magic {
                bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
            }
            let _ = Ext::parse(&bytes);
        }
    }
}
