//! The manifest: everything that is known of one snapshot, under one signature.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::{Document, Verified};
use crate::host::Host;
use crate::ids::{Digest, HostName, Serial, VaultId};
use crate::slot::BootFile;

/// One snapshot. `C` is what the archive engine recorded: keys, segments, catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest<C> {
    /// Format number, [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// The vault that it belongs to.
    pub vault: VaultId,
    /// The host that was captured.
    pub host_name: HostName,
    /// The snapshot's number.
    pub serial: Serial,
    /// SHA-256 of the manifest before this one; none for the first.
    pub previous: Option<Digest>,
    /// Version of `lifeboat` that wrote it.
    pub tool: String,
    /// When the capture began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// After this the snapshot is stale: the rescue says so in its plan.
    pub stale_after: Option<Timestamp>,
    /// A whole host or a tree.
    pub scope: Scope,
    /// The trees that were captured.
    pub sources: Vec<Source>,
    /// The machine; none when a tree was captured.
    pub host: Option<Host>,
    /// What was not captured as it should have been, by name.
    pub problems: Vec<Problem>,
    /// The stick's boot files when this was written; empty for a vault that is not on a stick.
    pub boot_files: Vec<BootFile>,
    /// What the archive engine recorded.
    pub contents: C,
    /// What was erased from the snapshot after it was taken, oldest first; left out when nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amended: Vec<Amendment>,
}

/// One erasure from a snapshot. It does not say what was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// When.
    pub time: Timestamp,
    /// SHA-256 of the manifest that this one takes the place of.
    pub replaces: Digest,
    /// How many entries were erased.
    pub erased: u64,
}

impl<C> Verified<Manifest<C>> {
    /// Whether this is the manifest with `digest`, or took the place of it.
    #[must_use]
    pub fn stands_for(&self, digest: &Digest) -> bool {
        self.digest() == digest || self.amended.iter().any(|amendment| amendment.replaces == *digest)
    }
}

impl<C: Serialize + DeserializeOwned> Document for Manifest<C> {
    const NAME: &'static str = "manifest";
    const NAMESPACE: &'static str = "lifeboat-manifest";

    fn host_name(&self) -> &HostName {
        &self.host_name
    }

    fn signed_at(&self) -> Timestamp {
        self.finished
    }
}

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// A whole host, which can be restored onto bare metal.
    Host,
    /// A tree of files.
    Tree,
}

/// One captured tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where it lay.
    pub path: String,
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Whether it could change while it was read.
    pub consistency: Consistency,
}

/// Whether a source could change while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Read from the running system.
    Live,
    /// Read from a snapshot of the storage.
    Snapshot,
}

/// Something that was not captured as it should have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The object: a path, a device.
    pub object: String,
    /// What happened.
    pub what: String,
}
