//! LVM: physical volumes, volume groups and the logical volumes in them, thin pools included.

mod make;
pub mod report;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// A physical volume: what a device holds that is given to a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhysicalVolume {
    /// UUID as LVM writes it.
    pub uuid: String,
    /// First byte that holds extents.
    pub data_start: Bytes,
    /// Extents that it has.
    pub extents: u64,
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeGroup {
    /// UUID as LVM writes it. A group that is made again gets a new one.
    pub uuid: String,
    /// Name, by which volumes are found.
    pub name: String,
    /// Bytes of an extent.
    pub extent: Bytes,
    /// Extents that no volume uses.
    pub free: u64,
    /// Tags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A logical volume that people see; what LVM keeps inside one (a pool's metadata, the legs of a mirror) is no node of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogicalVolume {
    /// UUID as LVM writes it. A volume that is made again gets a new one.
    pub uuid: String,
    /// Name of its group.
    pub group: String,
    /// Name in its group.
    pub name: String,
    /// How its bytes are laid out.
    pub form: Form,
    /// May be written to.
    pub writable: bool,
    /// Tags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// How a logical volume's bytes are laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "form")]
pub enum Form {
    /// One stretch after the other.
    Linear,
    /// Over several physical volumes in stripes.
    Striped {
        /// Number of physical volumes.
        stripes: u32,
        /// Bytes of a stripe.
        stripe_size: Bytes,
    },
    /// The same bytes on several physical volumes (`raid1`, or the older `mirror`, which comes back as `raid1`).
    Mirrored {
        /// Number of copies.
        copies: u32,
    },
    /// Room that thin volumes share. Its metadata is made anew, never restored.
    ThinPool {
        /// Bytes of a chunk.
        chunk: Bytes,
        /// Bytes of its metadata volume.
        metadata: Bytes,
        /// New chunks are zeroed before use.
        zero: bool,
        /// What discards do: `passdown`, `nopassdown` or `ignore`.
        discards: String,
    },
    /// A volume in a thin pool.
    Thin {
        /// Name of the pool, in the same group.
        pool: String,
    },
    /// A snapshot of another volume: named in coverage, not made again.
    Snapshot {
        /// Name of the volume that it shows as it was.
        origin: String,
    },
    /// A form that this version names and makes again as a linear volume.
    Other {
        /// LVM's name of the segment type: `raid5`, `cache`, `vdo`.
        what: String,
    },
}

impl LogicalVolume {
    /// The path of its node: names joined by `-`, with each `-` in a name doubled.
    #[must_use]
    pub fn path(&self) -> String {
        let doubled = |name: &str| name.replace('-', "--");
        format!("/dev/mapper/{}-{}", doubled(&self.group), doubled(&self.name))
    }
}

impl VolumeGroup {
    /// Whole extents in `size` bytes, rounded up.
    #[must_use]
    pub fn extents_for(&self, size: Bytes) -> u64 {
        size.0.div_ceil(self.extent.0.max(1))
    }
}
