//! btrfs: a filesystem on one or several devices, and the subvolumes in it.
//!
//! Paths of subvolumes count from the top of the filesystem and have no slash in front; the empty path is the top itself.

pub mod listing;
mod make;
mod reach;
pub mod superblock;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

pub use reach::{Place, Reach};

/// A btrfs filesystem. Its node lies on its devices, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Btrfs {
    /// UUID in lower case.
    pub uuid: String,
    /// Label, empty where none is set.
    pub label: String,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bytes of a node of its trees.
    pub node_size: u32,
    /// Kind of checksum by `mkfs.btrfs`'s name.
    pub checksum: String,
    /// Features by `mkfs.btrfs`'s names, sorted.
    pub features: Vec<String>,
    /// Number of devices.
    pub devices: u64,
    /// Profile of data (`single`, `raid1`), in lower case; empty where it could not be asked.
    pub data: String,
    /// Profile of metadata.
    pub metadata: String,
    /// Bytes in use.
    pub used: Bytes,
    /// Subvolumes, parents before children.
    pub subvolumes: Vec<Subvolume>,
    /// The subvolume that is mounted where none is named: its path.
    pub default: String,
}

/// A subvolume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subvolume {
    /// Path from the top of the filesystem.
    pub path: String,
    /// UUID. A subvolume that is made again gets a new one.
    pub uuid: String,
    /// UUID of the subvolume that it is a snapshot of.
    pub origin: Option<String>,
    /// Nothing in it can be changed.
    pub read_only: bool,
    /// It was looked into, and holds nothing but folders and other subvolumes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
}

impl Btrfs {
    /// Whether `subvolume` is a read-only snapshot of something that is still there: a second copy, which is not archived.
    #[must_use]
    pub fn is_copy(&self, subvolume: &Subvolume) -> bool {
        let origin = subvolume.origin.as_ref();
        subvolume.read_only && origin.is_some_and(|uuid| self.subvolumes.iter().any(|other| other.uuid == *uuid))
    }
}
