//! Guests as every platform describes them: their volumes, what is attached to them, their snapshots.
//!
//! A platform's module fills these types from its own configuration; what backups hold is judged from them in [`crate::coverage`].

use serde::Serialize;

/// What kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A virtual machine.
    Machine,
    /// A container.
    Container,
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guest {
    /// What its platform calls it, `100`.
    pub id: String,
    /// Machine or container.
    pub kind: Kind,
    /// Its name; empty where it has none.
    pub name: String,
    /// The node on which it is.
    pub node: String,
    /// It starts with the host.
    pub starts: bool,
    /// Its place among those that start, the lowest first.
    pub order: Option<u32>,
    /// It must not be removed or overwritten.
    pub protected: bool,
    /// Others are made from it.
    pub template: bool,
    /// Something is being done to it, or was cut: `backup`, `snapshot`.
    pub lock: Option<String>,
    /// Where its data lies.
    pub volumes: Vec<Volume>,
    /// What it uses of the host that no backup of the guest holds.
    pub attached: Vec<Attached>,
    /// Its snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Options that are changed at its next start.
    pub pending: Vec<String>,
}

/// What a volume is to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A disk.
    Disk,
    /// Firmware variables, or the state of a TPM.
    Firmware,
    /// A container's root.
    Root,
    /// A volume that a container mounts.
    MountPoint,
    /// A folder of the host that a container mounts.
    Bind,
    /// A device of the host that a container mounts.
    DeviceMount,
    /// A CD in a drive, or an empty drive.
    Removable,
    /// Made anew at each start.
    Generated,
    /// Kept, and used by nothing.
    Unused,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Where it is attached: `scsi0`, `rootfs`, `mp1`.
    pub slot: String,
    /// What it is.
    pub role: Role,
    /// Where it lies; none for an empty drive.
    pub place: Option<Place>,
    /// Bytes, where they are recorded.
    pub size: Option<u64>,
    /// Where a container mounts it.
    pub target: Option<String>,
    /// The platform's own backup of the guest holds it.
    pub in_backup: bool,
}

/// Where a volume lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On a storage of the platform.
    Storage {
        /// Its name.
        storage: String,
        /// Name of the volume on it.
        volume: String,
    },
    /// At a path of the host.
    Path(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Storage { storage, volume } => write!(f, "{storage}:{volume}"),
            Place::Path(path) => f.write_str(path),
        }
    }
}

/// Something of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Where: `hostpci0`, `usb1`, `lxc.mount.entry`.
    pub slot: String,
    /// What.
    pub what: String,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Seconds since 1970, where they are recorded.
    pub time: Option<i64>,
    /// It has the guest's memory too.
    pub memory: bool,
}
