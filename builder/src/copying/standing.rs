//! What the target holds of a host already, and how a snapshot stands to it.

use manifest::{HostName, Serial, Unverified, Verified};
use vault::Vault;

use anyhow::Context as _;

use super::Snapshot;
use crate::exit::{Exit, refusal};
use crate::location::Location;
use crate::reading::{Manifest, Opened};

/// Manifests are refused above this size.
const LARGEST: u64 = 256 << 20;

/// A manifest that is at the target.
pub struct Held {
    object: String,
    manifest: Verified<Manifest>,
}

impl Held {
    /// A manifest and the name of its object.
    pub fn new(object: String, manifest: Verified<Manifest>) -> Self {
        Self { object, manifest }
    }

    /// The snapshot's number.
    pub fn serial(&self) -> Serial {
        self.manifest.serial
    }
}

/// Every manifest of the host at the target, its signature checked; one that a cut left without its signature is not there yet.
pub fn read(other: Option<&Vault>, from: &Opened, to: &Location) -> anyhow::Result<Vec<Held>> {
    let Some(other) = other else { return Ok(Vec::new()) };
    let names = names(other, &from.host)?;
    let mut held = Vec::new();
    for (object, _) in names {
        let json = other.store().read(&object, LARGEST)?;
        let signature = other.store().read(&format!("{object}.sig"), LARGEST)?;
        let manifest: Verified<Manifest> = Unverified { json: &json, signature: &signature }
            .verify(from.trusted())
            .with_context(|| format!("{object} in {to}; nothing was copied"))?;
        held.push(Held { object, manifest });
    }
    Ok(held)
}

/// Marks what the target has of `snapshot`.
///
/// # Errors
/// Exit 22 when it holds another manifest under the same number.
pub fn compare(snapshot: &mut Snapshot, there: &[Held], to: &Location) -> anyhow::Result<()> {
    let serial = snapshot.manifest.serial;
    for held in there.iter().filter(|held| held.serial() == serial) {
        if held.manifest.digest() == snapshot.manifest.digest() {
            snapshot.present = true;
        } else if revision(&held.object) < revision(&snapshot.object) {
            snapshot.amends.push(held.object.clone());
        } else if revision(&held.object) > revision(&snapshot.object) {
            // The target has it amended already; the older manifest never comes back.
            snapshot.present = true;
            snapshot.manifest = held.manifest.clone();
        } else {
            return Err(refusal(
                Exit::RolledBack,
                format!(
                    "{to} holds another snapshot {} of {} than the one that is to be copied: one of the two vaults was rolled back and \
                     written to again; nothing was copied. Compare them with `lifeboat list`, and copy to an empty place",
                    serial, snapshot.host
                ),
            ));
        }
    }
    Ok(())
}

/// Manifests by number, the newest revision of each.
pub fn in_order(mut held: Vec<Held>) -> Vec<Verified<Manifest>> {
    held.sort_by_key(|held| (held.serial(), std::cmp::Reverse(revision(&held.object))));
    held.dedup_by_key(|held| held.serial());
    held.into_iter().map(|held| held.manifest).collect()
}

/// Name of the manifest's object: that of the newest revision.
pub fn object_of(vault: &Vault, host: &HostName, serial: Serial) -> anyhow::Result<String> {
    let newest = names(vault, host)?.into_iter().rev().find(|(_, found)| *found == serial).map(|(object, _)| object);
    newest.ok_or_else(|| refusal(Exit::NoVault, format!("the manifest of snapshot {serial} of {host} is gone")))
}

/// Objects of a host's manifests with their numbers, by number and revision: `<serial>.json`, or `<serial>.<revision>.json` once amended.
fn names(vault: &Vault, host: &HostName) -> anyhow::Result<Vec<(String, Serial)>> {
    let objects = vault.store().list(&format!("manifests/{host}"))?;
    let parse = |object: String| {
        let stem = object.rsplit_once('/')?.1.strip_suffix(".json")?;
        let serial = stem.split_once('.').map_or(stem, |(serial, _)| serial).parse().ok()?;
        Some((object, Serial(serial)))
    };
    let mut names: Vec<_> = objects.into_iter().filter_map(parse).collect();
    names.sort_by_key(|(object, serial)| (*serial, revision(object)));
    Ok(names)
}

/// 0 as first written, then counting up.
fn revision(object: &str) -> u32 {
    let stem = object.strip_suffix(".json").unwrap_or(object);
    let file = stem.rsplit_once('/').map_or(stem, |(_, file)| file);
    file.split_once('.').and_then(|(_, revision)| revision.parse().ok()).unwrap_or(0)
}
