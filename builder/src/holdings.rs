//! Every manifest of a vault, of all hosts, verified: what prune and erase decide on. One that does not verify ends
//! it, for what it names cannot be known.

use std::collections::BTreeSet;

use anyhow::Context as _;
use manifest::{HostName, Serial, Unverified, Verified};
use vault::{ManifestName, Named};

use crate::exit::{Exit, refusal};
use crate::reading::{Manifest, Opened, check_manifest};

/// One manifest and where it lies.
pub struct Held {
    /// Its name in the vault.
    pub name: ManifestName,
    /// What it says.
    pub manifest: Verified<Manifest>,
}

impl Held {
    /// For the archive engine.
    pub fn named(&self) -> Named<'_> {
        Named { name: self.name.clone(), contents: &self.manifest.contents }
    }
}

/// All manifests, sorted by host, serial and revision.
///
/// # Errors
/// 20 where a signature is missing or refused, 21 where a manifest cannot be read or is not what its place says.
pub fn read(opened: &Opened) -> anyhow::Result<Vec<Held>> {
    let names = opened.vault.manifest_names()?;
    let signed: BTreeSet<String> = opened.vault.store().list("manifests")?.into_iter().collect();
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        if !signed.contains(&name.signature()) {
            let message = format!("{} has no signature; nothing was changed", name.object());
            return Err(refusal(Exit::Signature, message));
        }
        let host: HostName = name.host.parse().map_err(|error| {
            refusal(Exit::Corrupt, format!("the folder manifests/{}: {error}; nothing was changed", name.host))
        })?;
        let (json, signature) = opened.vault.manifest_named(&name)?;
        let unverified = Unverified { json: &json, signature: &signature };
        let manifest = check_manifest(&opened.vault, &host, Serial(name.serial), &unverified, opened.trusted())
            .with_context(|| format!("{}; nothing was changed", name.object()))?;
        all.push(Held { name, manifest });
    }
    Ok(all)
}

/// Refuses a vault in which an erase was cut: what it took the place of is still there.
///
/// # Errors
/// Exit 30.
pub fn refuse_half_amended(all: &[Held]) -> anyhow::Result<()> {
    let twice = all
        .windows(2)
        .find(|pair| (&pair[0].name.host, pair[0].name.serial) == (&pair[1].name.host, pair[1].name.serial));
    let Some([older, _]) = twice else { return Ok(()) };
    let message = format!(
        "an erase was cut: snapshot {} of {} is there as it was and as it was amended; run the erase again, nothing was changed",
        older.name.serial, older.name.host
    );
    Err(refusal(Exit::Guard, message))
}
