//! Boot slots: which files a stick boots with, and their digests.

use std::fmt;

use jiff::Timestamp;
use layout::Guid;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::ids::{Digest, HostName};

/// One of the two boot slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotName {
    /// The first.
    A,
    /// The second.
    B,
}

impl SlotName {
    /// The slot that a refresh writes while this one is in use.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A file that a stick boots with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFile {
    /// Path on the ESP without a leading slash.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: Digest,
}

/// What a boot slot holds: `lifeboat/<slot>/slot.json` on the ESP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSlot {
    /// Format number, [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// Which slot.
    pub slot: SlotName,
    /// The stick's disk GUID.
    pub stick: Guid,
    /// The host that wrote it.
    pub host_name: HostName,
    /// When it was written.
    pub created: Timestamp,
    /// Version of `lifeboat` that wrote it.
    pub tool: String,
    /// Release of the kernel in it.
    pub kernel: String,
    /// Digest over what it was built from (kernel, modules, tools, rescue): a refresh is due when it differs.
    pub inputs: Digest,
    /// Every file that takes part in booting this slot, the other slot's excepted.
    pub files: Vec<BootFile>,
}

impl Document for BootSlot {
    const NAME: &'static str = "boot slot";
    const NAMESPACE: &'static str = "lifeboat-slot";

    fn host_name(&self) -> &HostName {
        &self.host_name
    }

    fn signed_at(&self) -> Timestamp {
        self.created
    }
}
