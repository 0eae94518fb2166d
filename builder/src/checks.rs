//! What this host knows about the soundness of each snapshot: when it was verified, how deep, and when it was drilled.
//!
//! Prune never removes the newest snapshot of each kind. A snapshot that was amended since is another one: its checks
//! no longer count.

use jiff::Timestamp;
use manifest::{Digest, HostName, Serial, Verified};
use serde::{Deserialize, Serialize};

use crate::cli::Level;
use crate::reading::Manifest;
use crate::state::State;

/// One snapshot's checks, each with the time when it last passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    serial: Serial,
    /// SHA-256 of the manifest that was checked.
    digest: Digest,
    /// Every object was compared with its signed digest.
    pub sealed: Option<Timestamp>,
    /// Every object was opened, and every file hashed.
    pub data: Option<Timestamp>,
    /// It was restored in a drill.
    pub drilled: Option<Timestamp>,
}

/// The checks of all snapshots of one host in one vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    snapshots: Vec<Check>,
}

fn file(vault: &str, host: &HostName) -> String {
    format!("vaults/{vault}/checks-{host}.json")
}

impl Checks {
    /// What is known; nothing where nothing was ever checked.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(state: &State, vault: &str, host: &HostName) -> anyhow::Result<Self> {
        Ok(state.read_json(&file(vault, host))?.unwrap_or_default())
    }

    /// Those of one snapshot, as it is now.
    pub fn of(&self, manifest: &Verified<Manifest>) -> Option<&Check> {
        self.snapshots.iter().find(|check| check.serial == manifest.serial && check.digest == *manifest.digest())
    }

    /// The newest of `manifests` for which `passed` gives a time.
    pub fn newest<'a>(
        &self,
        manifests: impl DoubleEndedIterator<Item = &'a Verified<Manifest>>,
        passed: impl Fn(&Check) -> Option<Timestamp>,
    ) -> Option<Serial> {
        let mut sound = manifests.rev().filter(|manifest| self.of(manifest).and_then(&passed).is_some());
        sound.next().map(|manifest| manifest.serial)
    }

    /// Notes that each of `manifests` passed `level`, or did not.
    fn note(&mut self, level: Level, manifests: &[(&Verified<Manifest>, bool)], time: Timestamp) {
        let mut known = std::mem::take(&mut self.snapshots);
        for (manifest, passed) in manifests {
            let place = known.iter().position(|check| check.serial == manifest.serial);
            let mut check = place.map(|place| known.swap_remove(place)).unwrap_or_else(|| Check::unknown(manifest));
            if check.digest != *manifest.digest() {
                check = Check::unknown(manifest);
            }
            let slot = if level == Level::Data { &mut check.data } else { &mut check.sealed };
            *slot = passed.then_some(time);
            self.snapshots.push(check);
        }
    }
}

impl Check {
    fn unknown(manifest: &Verified<Manifest>) -> Self {
        Self { serial: manifest.serial, digest: manifest.digest().clone(), sealed: None, data: None, drilled: None }
    }
}

/// Remembers a verification of all snapshots of a host. A machine that has no state, or may not write it, still
/// verifies: it is told, and remembers nothing.
pub fn remember(state: &State, vault: &str, host: &HostName, level: Level, found: &[(&Verified<Manifest>, bool)]) {
    if !state.folder().is_dir() {
        return;
    }
    let write = || -> anyhow::Result<()> {
        let mut checks = Checks::read(state, vault, host)?;
        checks.note(level, found, Timestamp::now());
        state.write_json(&file(vault, host), &checks)
    };
    if let Err(error) = write() {
        eprintln!("lifeboat: that this was verified could not be noted: {error:#}");
    }
}
