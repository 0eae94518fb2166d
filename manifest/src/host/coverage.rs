//! What of a machine's storage comes back: a word on every block device and every mounted filesystem.

use std::collections::BTreeSet;

use layout::{Layout, NodeId};
use serde::{Deserialize, Serialize};

/// The words on all of a machine's storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// One for each block device that holds something of its own, and each mounted filesystem.
    pub items: Vec<Item>,
    /// What was left out of the archive inside covered filesystems.
    pub exclusions: Vec<Exclusion>,
    /// Waivers of the configuration that name nothing on this machine: a spelling mistake, or a device that is not attached.
    pub unused_waivers: Vec<String>,
}

/// The word on one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its node; left-out ones are not in the recorded layout.
    pub node: NodeId,
    /// The kernel's name for it, or the source of a mount.
    pub path: String,
    /// What it is: `ext4`, `partition`, `LVM2_member`.
    pub what: String,
    /// Where it was mounted.
    pub mount: Option<String>,
    /// The word.
    pub verdict: Verdict,
}

/// Whether an object comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It comes back.
    Captured {
        /// In what way: `files`, `made anew`.
        how: String,
    },
    /// The configuration says that it may be missing.
    Waived {
        /// The waiver.
        pattern: String,
        /// Why, in the words of the configuration.
        reason: String,
    },
    /// A default rule leaves it out.
    LeftOut {
        /// Why.
        reason: String,
    },
    /// It does not come back, and nobody said that it may be missing.
    Uncovered {
        /// Why.
        reason: String,
        /// The system does not start without it.
        system: bool,
    },
}

/// Something that is left out of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// An absolute path or a pattern. A folder is kept, what it holds is not.
    pub pattern: String,
    /// Why.
    pub reason: String,
}

impl Coverage {
    /// What does not come back without anybody having said so.
    pub fn uncovered(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| matches!(item.verdict, Verdict::Uncovered { .. }))
    }

    /// Whether something that the system needs is uncovered.
    #[must_use]
    pub fn lacks_system(&self) -> bool {
        self.items.iter().any(|item| matches!(item.verdict, Verdict::Uncovered { system: true, .. }))
    }

    /// Whether this node comes back.
    #[must_use]
    pub fn restores(&self, node: &NodeId) -> bool {
        self.items.iter().any(|item| item.node == *node && matches!(item.verdict, Verdict::Captured { .. }))
    }

    /// The disks that hold something that comes back: the only ones that a restore may write to.
    #[must_use]
    pub fn disks<'a>(&self, layout: &'a Layout) -> BTreeSet<&'a NodeId> {
        let captured = layout.nodes.iter().filter(|node| self.restores(&node.id));
        captured.flat_map(|node| layout.disks_below(&node.id)).collect()
    }
}
