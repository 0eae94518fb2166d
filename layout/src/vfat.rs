//! FAT filesystems.

mod make;
pub mod volume;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// A FAT filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vfat {
    /// Volume serial number as fstab writes it: `ABCD-1234`.
    pub serial: String,
    /// Volume label, empty where none is set.
    pub label: String,
    /// 12, 16 or 32.
    pub fat_bits: u8,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    /// Bytes of a cluster.
    pub cluster_size: u32,
    /// Bytes in use.
    pub used: Bytes,
}
