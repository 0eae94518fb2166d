//! What every platform does to bring a guest back, and which platforms there are.

use std::path::Path;
use std::time::Duration;

use manifest::host::{Archive, Guest, Platform, PlatformKind};

use super::Run;
use super::engine::Engine;
use super::proxmox::Node;
use super::record::Record;

/// How a guest ended; each says why in words.
#[derive(Debug)]
pub enum Ended {
    /// It is back.
    Restored(String),
    /// It was left as it is, by rule.
    Skipped(String),
    /// It is not back.
    Failed(String),
}

/// A platform that brings guests back from archives of its own.
pub trait Reviver {
    /// Waits until guests can be restored, no longer than `limit`. Changes nothing.
    ///
    /// # Errors
    /// Why it is not ready, in words.
    fn ready(&self, limit: Duration) -> Result<(), String>;

    /// What would be done to a guest, in words. Changes nothing and starts no program.
    fn plan(&self, guest: &Guest, archive: &Archive) -> String;

    /// What became of a guest whose files came back with the host; none where only an archive brings guests back. `vouched`: somebody has seen
    /// to it since, and what its capture noted counts no more. Changes nothing.
    fn as_files(&self, _guest: &Guest, _vouched: bool) -> Option<Ended> {
        None
    }

    /// Brings a guest back, from where its record says that it stands.
    ///
    /// # Errors
    /// When its record cannot be written, or it runs (30). What happens to the guest itself is in [`Ended`].
    fn revive(&self, run: &Run, guest: &Guest, archive: &Archive, record: &mut Record) -> anyhow::Result<Ended>;
}

/// The platform's reviver, where there is one.
pub fn reviver(platform: &Platform, root: &Path) -> Option<Box<dyn Reviver>> {
    match platform.kind {
        PlatformKind::Proxmox => Some(Box::new(Node::new(platform, root))),
        PlatformKind::Incus | PlatformKind::Docker | PlatformKind::Podman => {
            Some(Box::new(Engine::new(platform.kind, root)))
        }
        // Looked at before they start: super::check.
        PlatformKind::Libvirt | PlatformKind::Lxc => None,
    }
}
