//! ext2, ext3 and ext4.

mod details;
mod make;
pub mod superblock;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

pub use details::Details;

/// An ext2, ext3 or ext4 filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ext {
    /// `ext2`, `ext3` or `ext4`.
    pub fstype: String,
    /// UUID in lower case.
    pub uuid: String,
    /// Volume label, empty where none is set.
    pub label: String,
    /// Features by mke2fs's names, sorted.
    pub features: Vec<String>,
    /// Bytes of a block.
    pub block_size: u32,
    /// Bytes of an inode.
    pub inode_size: u32,
    /// Number of inodes.
    pub inodes: u64,
    /// Blocks kept back for root.
    pub reserved_blocks: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Default mount options by tune2fs's names.
    pub default_mount_options: Vec<String>,
    /// Bytes in use.
    pub used: Bytes,
    /// Settings that are neither feature nor size.
    #[serde(default)]
    pub details: Details,
}
