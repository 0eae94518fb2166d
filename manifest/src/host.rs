//! The machine behind a snapshot: storage, boot chain, network, hardware, and what of it is covered.

use layout::fstab::FstabEntry;
use layout::{Bytes, Layout};
use serde::{Deserialize, Serialize};

mod boot;
mod containers;
mod coverage;
mod guests;
mod hardware;
mod identity;
mod network;
mod offline;

pub use boot::{BootChain, EfiBoot, EfiEntry, Firmware, Kernel, Loader, LoaderKind};
pub use containers::Container;
pub use coverage::{Coverage, Exclusion, Item, Verdict};
pub use guests::{Archive, Guest, GuestKind, Held, KEPT, Note, Platform, PlatformKind, Revival};
pub use hardware::{Hardware, PciDevice};
pub use identity::{Dmi, Identity, OsRelease};
pub use network::{Interface, Network, Route};
pub use offline::{OFFLINE, Offline, OfflineDisk, OfflineGuest};

/// A captured machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Which machine it is.
    pub identity: Identity,
    /// Its storage. What was left out by rule (the stick, loop devices) is not in it.
    pub layout: Layout,
    /// What of its storage comes back, and what does not.
    pub coverage: Coverage,
    /// How it starts.
    pub boot: BootChain,
    /// Its network.
    pub network: Network,
    /// What it is made of.
    pub hardware: Hardware,
    /// `/etc/fstab` as it was.
    pub fstab: Vec<FstabEntry>,
    /// Swap files: left out of the archive, to be made anew.
    pub swap_files: Vec<SwapFile>,
    /// Its encrypted containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Its hypervisors and their guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<Platform>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// A file that was used as swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapFile {
    /// Where it lies.
    pub path: String,
    /// How large it is.
    pub size: Bytes,
}

/// Something about the machine that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// What is missing.
    pub what: String,
    /// Why.
    pub why: String,
}
