//! Guests that the rescue itself brings back, before the machine's first start: what the signed words say of their disks, and what the
//! rescue leaves for the first start.

use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Where the rescue leaves word on them: [`Offline`] as JSON.
pub const OFFLINE: &str = "/var/lib/lifeboat/guests/offline.json";

/// A disk in an archive, and the volume of the machine that it belongs on. The rescue makes the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineDisk {
    /// Its name in the archive: `drive-scsi0`.
    pub device: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of it that the archive stores; the rest is zero.
    pub stored: u64,
    /// Volume group of LVM.
    pub group: String,
    /// Thin pool in that group; none for a volume that is not thin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Name of the volume in the group: `vm-100-disk-0`.
    pub volume: String,
}

/// What became of the guests that the rescue was to bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offline {
    /// 1.
    pub schema: u32,
    /// SHA-256 of the [`Revival`](super::Revival) that lies beside it: word on any other says nothing.
    pub revival: Digest,
    /// The guests.
    pub guests: Vec<OfflineGuest>,
}

/// A guest that the rescue was to bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineGuest {
    /// What its platform calls it.
    pub id: String,
    /// Volumes that hold its disks, as `group/name`; of a guest that is not back those that are half written and could not be removed.
    pub volumes: Vec<String>,
    /// Why it is not back; none where its disks were written and read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}
