//! Private parts of a snapshot: small secrets that are no files of the tree, such as the headers of encrypted containers.
//!
//! Each is an object like a segment, named by its digest, sealed under the run's key with a number of its own from [`FIRST`] up, and listed in
//! [`Contents::private`] under the signature. What it means is not known here.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::contents::{Contents, Digest, RunId, RunRef, segment_object};
use crate::error::{Error, Result};
use crate::identity::Identities;
use crate::seal::{RunKey, SealWriter, Sealed, open_sealed, read_checked, wipe};
use crate::store::check_name;
use crate::vault::Vault;

/// First number of private parts in a run.
pub(crate) const FIRST: u64 = 1 << 63;
/// A private part is held in memory, and is no larger than this: the largest header that LUKS allows.
const LARGEST: u64 = 128 << 20;
/// Sealed bytes that are more than the plain ones: what does not compress, and frame headers.
const OVERHEAD: u64 = 1 << 20;
/// More than any host has containers, twice.
const MOST: usize = 4096;

/// A secret on its way into or out of a vault; its bytes are wiped when it is dropped.
pub struct Private {
    /// What it is, for whoever asks for it later: `luks/<UUID>/header`.
    pub name: String,
    /// The secret.
    pub bytes: Vec<u8>,
}

impl Drop for Private {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Private({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// A private part, stored as `segments/<first two digits>/<sha256>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateRef {
    /// What it is.
    pub name: String,
    /// The run that sealed it.
    pub run: RunId,
    /// Its number in that run, from 2⁶³; makes the IV.
    pub number: u64,
    /// SHA-256 of the file, and its name.
    pub sha256: Digest,
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of the secret.
    pub opened: u64,
}

impl PrivateRef {
    /// Name of the object in the vault.
    pub fn object(&self) -> String {
        segment_object(&self.sha256)
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::corrupt("the list of private parts in the manifest", what));
        if self.number < FIRST {
            return refuse("a number that is a segment's");
        }
        if check_name(&self.name).is_err() {
            return refuse("a name with other letters than an object's");
        }
        if self.opened > LARGEST || self.size > self.opened.saturating_add(OVERHEAD) {
            return refuse("a part larger than any is");
        }
        Ok(())
    }
}

/// What no writer makes: names or numbers twice, numbers of segments, sizes without a bound.
pub(crate) fn check(parts: &[PrivateRef]) -> Result<()> {
    parts.iter().try_for_each(PrivateRef::check)?;
    let twice = parts.len() > MOST
        || parts.iter().enumerate().any(|(index, part)| {
            let same =
                |other: &PrivateRef| other.name == part.name || (&other.run, other.number) == (&part.run, part.number);
            parts[..index].iter().any(same)
        });
    if twice {
        return Err(Error::corrupt("the list of private parts in the manifest", "a name or a number twice"));
    }
    Ok(())
}

/// Seals `parts` under a run's key and gives them their names, durably once the store is synced.
pub(crate) fn store(
    vault: &Vault,
    run: &RunId,
    key: &RunKey,
    parts: &[Private],
    level: i32,
) -> Result<Vec<PrivateRef>> {
    let mut stored = Vec::with_capacity(parts.len());
    for (part, number) in parts.iter().zip(FIRST..) {
        check_name(&part.name)?;
        if part.bytes.len() as u64 > LARGEST {
            return Err(Error::invalid(&part.name, format!("a private part holds at most {LARGEST} bytes")));
        }
        let failed = |error| Error::io("writing", part.name.clone(), error);
        let mut writer = SealWriter::new(vault.store.as_ref(), key, number, level)?;
        writer.write_all(&part.bytes).map_err(failed)?;
        let Sealed { object, sha256, size, opened } = writer.finish().map_err(failed)?;
        object.commit(&segment_object(&sha256))?;
        stored.push(PrivateRef { name: part.name.clone(), run: run.clone(), number, sha256, size, opened });
    }
    check(&stored)?;
    Ok(stored)
}

impl Vault {
    /// Opens the private part `name` of a snapshot; none where the snapshot has no such part.
    ///
    /// # Errors
    /// When it is missing, is not as signed, or no identity opens its run.
    pub fn private(&self, contents: &Contents, identities: &Identities, name: &str) -> Result<Option<Private>> {
        contents.check()?;
        let Some(part) = contents.private.iter().find(|part| part.name == name) else { return Ok(None) };
        let run = contents.runs.iter().find(|run| run.id == part.run);
        let run = run.ok_or_else(|| Error::corrupt(part.object(), "the manifest does not name its run"))?;
        open(self, part, run, identities).map(Some)
    }
}

pub(crate) fn open(vault: &Vault, part: &PrivateRef, run: &RunRef, identities: &Identities) -> Result<Private> {
    let object = part.object();
    let key = RunKey::open(run, vault.store.as_ref(), identities)?;
    let sealed = read_checked(vault.store.as_ref(), &object, part.size, &part.sha256)?;
    let mut secret = Private { name: part.name.clone(), bytes: Vec::with_capacity(part.opened as usize) };
    let mut plain = open_sealed(&sealed[..], &key, part.number, part.opened.saturating_add(1))?;
    plain.read_to_end(&mut secret.bytes).map_err(|error| Error::corrupt(&object, format!("does not open: {error}")))?;
    if secret.bytes.len() as u64 != part.opened {
        return Err(Error::corrupt(object, "does not open to the signed size"));
    }
    Ok(secret)
}
