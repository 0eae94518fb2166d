//! Guests of the machine's hypervisors, and what brings each of them back.
//!
//! The restored machine keeps these words of the signed manifest in [`KEPT`]; its first start follows them.

use serde::{Deserialize, Serialize};

use super::OfflineDisk;
use crate::ids::Digest;

/// Where the rescue leaves a platform's guests for the first start: [`Revival`] as JSON.
pub const KEPT: &str = "/var/lib/lifeboat/guests/revival.json";

/// Guests that are to come back at the first start after a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revival {
    /// 1.
    pub schema: u32,
    /// The snapshot that was restored.
    pub snapshot: u64,
    /// Each hypervisor with the guests that are to come back.
    pub platforms: Vec<Platform>,
}

/// A hypervisor or a container engine of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Which one.
    pub kind: PlatformKind,
    /// Its own name for this machine; empty where it has none.
    pub node: String,
    /// Names of all members of its cluster, this machine among them; empty for a machine on its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// Its guests on this machine.
    pub guests: Vec<Guest>,
    /// What holds for the platform as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// Kinds of hypervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformKind {
    /// Proxmox VE.
    Proxmox,
    /// libvirt.
    Libvirt,
    /// LXC without a manager above it.
    Lxc,
    /// Incus.
    Incus,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl std::fmt::Display for PlatformKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Proxmox => "Proxmox VE",
            Self::Libvirt => "libvirt",
            Self::Lxc => "LXC",
            Self::Incus => "Incus",
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// What its platform calls it: `100`, a UUID.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// Machine or container.
    pub kind: GuestKind,
    /// It starts with the host.
    pub starts: bool,
    /// Its place among those that start: the lowest first, those without one last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// What its data comes back from; none where nothing holds it, or where its files are in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// What does not come back, and what needs a hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// Kinds of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestKind {
    /// A virtual machine.
    Machine,
    /// A container.
    Container,
}

/// A backup of a guest, made by its platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Where it lay, absolute.
    pub path: String,
    /// The platform's storage that it lay on.
    pub storage: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The platform's own time of it, in the host's local time.
    pub made: String,
    /// Digest of the whole file, where one was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Whether the snapshot holds it.
    pub held: Held,
    /// Disks that the rescue brings back from it, all that the guest has; empty for a guest that comes back at the first start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<OfflineDisk>,
}

/// Whether a snapshot holds an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It is in the tree and comes back with it.
    Captured,
    /// It is not: it must still be where it lay.
    Referenced,
}

/// A word on a guest or a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Something does not come back; else something needs a hand, or is worth knowing.
    pub gap: bool,
    /// In words.
    pub text: String,
}
