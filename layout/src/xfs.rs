//! XFS.

mod make;
pub mod superblock;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// An XFS filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xfs {
    /// UUID in lower case, as users see it.
    pub uuid: String,
    /// Label, empty where none is set.
    pub label: String,
    /// Bytes of a block.
    pub block_size: u32,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bytes of an inode.
    pub inode_size: u32,
    /// Bytes of a folder's blocks.
    pub folder_block_size: u32,
    /// Features that `mkfs.xfs` lets one choose, by its names (`crc`, `reflink`, `bigtime`), sorted.
    pub features: Vec<String>,
    /// Blocks in all.
    pub blocks: u64,
    /// Bytes in use, the journal's among them.
    pub used: Bytes,
    /// Number of allocation groups; 0 in older records.
    #[serde(default)]
    pub groups: u32,
    /// Blocks of the journal, where it lies inside; otherwise 0.
    #[serde(default)]
    pub journal_blocks: u32,
}
