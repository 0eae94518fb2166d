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
