//! What became of a guest: one file for each, from which a run that was cut goes on.
//!
//! A record belongs to one [`manifest::host::Revival`], named by its digest: a tree that comes back may hold the records of an earlier
//! restore, and these say nothing of the guests of this one. It holds no value that may be a password.

use manifest::Digest;
use manifest::host::{Guest, Platform, PlatformKind};
use serde::{Deserialize, Serialize};

/// How far a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was done yet.
    Waiting,
    /// Its archive is being read; nothing was changed.
    Checking,
    /// Its configuration is being put aside.
    Aside,
    /// Its platform's own program is at work.
    Restoring,
    /// It is back, and its configuration is being compared.
    Comparing,
    /// It is back.
    Restored,
    /// It is not; what it had is where it was, and its configuration does not start it with the host.
    Failed,
    /// Nothing holds it.
    NoArchive,
    /// By rule it is left as it is.
    Skipped,
}

impl Phase {
    /// A run has nothing left to do.
    #[must_use]
    pub fn is_decided(self) -> bool {
        matches!(self, Self::Restored | Self::Failed | Self::NoArchive | Self::Skipped)
    }

    /// The guest is there, or was left alone by rule.
    #[must_use]
    pub fn is_well(self) -> bool {
        matches!(self, Self::Restored | Self::Skipped)
    }

    /// As it is told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Checking => "checking",
            Self::Aside => "aside",
            Self::Restoring => "restoring",
            Self::Comparing => "comparing",
            Self::Restored => "restored",
            Self::Failed => "FAILED",
            Self::NoArchive => "NO ARCHIVE",
            Self::Skipped => "skipped",
        }
    }
}

/// An option that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Its name; `[NAME]` for a snapshot.
    pub option: String,
    /// What the host had; none where it had nothing.
    pub host: Option<String>,
    /// What came back; none where nothing did.
    pub restored: Option<String>,
}

/// A guest's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 1.
    pub schema: u32,
    /// SHA-256 of the revival that it belongs to.
    pub revival: Digest,
    /// Its platform.
    pub platform: PlatformKind,
    /// What the platform calls it.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// How far it is.
    pub phase: Phase,
    /// When its first step was taken; UTC.
    pub begun: Option<jiff::Timestamp>,
    /// When its phase changed last; UTC.
    pub changed: Option<jiff::Timestamp>,
    /// The archive's path.
    pub archive: Option<String>,
    /// Why it is as it is, in words.
    pub detail: String,
    /// What needs a hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is not as it was on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What lies aside belongs to this attempt, and is what the guest had before it.
    pub kept_aside: bool,
}

impl Record {
    /// A guest for which nothing was done.
    pub fn waiting(revival: &Digest, platform: &Platform, guest: &Guest) -> Self {
        Self {
            schema: 1,
            revival: revival.clone(),
            platform: platform.kind,
            id: guest.id.clone(),
            name: guest.name.clone(),
            phase: Phase::Waiting,
            begun: None,
            changed: None,
            archive: guest.archive.as_ref().map(|archive| archive.path.clone()),
            detail: String::new(),
            notes: Vec::new(),
            differences: Vec::new(),
            kept_aside: false,
        }
    }

    /// Enters a phase.
    pub fn enter(&mut self, phase: Phase, detail: impl Into<String>) {
        let now = jiff::Timestamp::now();
        self.begun.get_or_insert(now);
        (self.phase, self.changed, self.detail) = (phase, Some(now), detail.into());
    }

    /// A platform's name in names of files.
    #[must_use]
    pub fn platform_word(kind: PlatformKind) -> &'static str {
        match kind {
            PlatformKind::Proxmox => "proxmox",
            PlatformKind::Libvirt => "libvirt",
            PlatformKind::Lxc => "lxc",
            PlatformKind::Incus => "incus",
            PlatformKind::Docker => "docker",
            PlatformKind::Podman => "podman",
        }
    }
}
