//! ZFS: pools over their devices, and the datasets in them, which are filesystems and volumes.
//!
//! A pool is made anew with the same name, shape, features and properties, and with new GUIDs. Its node lies on its devices in the order of its vdevs; its
//! datasets lie on the pool, however deep their names are, parents before children.

mod make;
pub mod report;
mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

pub use make::Setting;

/// What a volume is said to hold that has a partition table of its own.
pub const GUEST: &str = "guest's disk";

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its GUID in decimal digits. A pool that is made again gets a new one.
    pub guid: String,
    /// Its name.
    pub name: String,
    /// Sectors of its devices as a power of two; 0 where it could not be read, so that the new devices decide.
    pub ashift: u32,
    /// Features that are on, sorted.
    pub features: Vec<String>,
    /// Properties that were set on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The dataset that the system starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootfs: Option<String>,
    /// What it consists of; the pool's devices are in this order.
    pub vdevs: Vec<Vdev>,
    /// Bytes in use on its devices, copies and parity among them.
    pub used: Bytes,
    /// Why it cannot be made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
}

/// A part of a pool: one device, or several that stand for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vdev {
    /// What it is for.
    pub role: Role,
    /// How its devices stand for each other.
    pub form: Form,
    /// Number of its devices that are here.
    pub devices: usize,
    /// Number of those that were missing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: usize,
}

/// What a vdev is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Data.
    Data,
    /// The log of synchronous writes.
    Log,
    /// A cache for reading.
    Cache,
    /// A device that waits for another one to fail.
    Spare,
    /// Metadata and small blocks.
    Special,
    /// Tables of deduplication.
    Dedup,
}

/// How the devices of a vdev stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "form")]
pub enum Form {
    /// One device alone.
    Disk,
    /// Each holds the same.
    Mirror,
    /// Some of them may fail.
    Raidz {
        /// How many.
        parity: u32,
    },
}

/// A filesystem or a volume in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its whole name: `rpool/ROOT/pve-1`.
    pub name: String,
    /// What a volume has; none for a filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Properties that were set on it or received with it, and those that are chosen when it is made; no inherited ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// It is encrypted by ZFS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// The snapshot that it is a clone of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Snapshots of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub snapshots: usize,
    /// The name of the newest one, behind the `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_snapshot: Option<String>,
    /// Bytes that it refers to.
    pub used: Bytes,
}

/// What a volume has beside its properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its size.
    pub size: Bytes,
    /// Bytes of a block.
    pub block: Bytes,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Pool {
    /// Number of its devices.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.vdevs.iter().fold(0, |sum, vdev| sum.saturating_add(vdev.devices))
    }

    /// Devices that were missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.vdevs.iter().fold(0, |sum, vdev| sum.saturating_add(vdev.missing))
    }
}

impl Dataset {
    /// The name of its pool.
    #[must_use]
    pub fn pool(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }

    /// Whether it is the pool's own dataset, which is made with the pool.
    #[must_use]
    pub fn is_root(&self) -> bool {
        !self.name.contains('/')
    }

    /// What mounts and tools call it: a volume by its device.
    #[must_use]
    pub fn path(&self) -> String {
        match self.volume {
            Some(_) => format!("/dev/zvol/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The value that `property` has on the dataset `name`: its own, or that of the nearest one above it.
#[must_use]
pub fn inherited<'a>(datasets: impl Iterator<Item = &'a Dataset>, name: &str, property: &str) -> Option<&'a str> {
    let above = |dataset: &&Dataset| {
        name.strip_prefix(dataset.name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let set =
        datasets.filter(above).filter_map(|dataset| Some((dataset.name.len(), dataset.properties.get(property)?)));
    set.max_by_key(|(length, _)| *length).map(|(_, value)| value.as_str())
}
