//! Names of manifests: one for each snapshot, and a new one each time a snapshot is amended.
//!
//! Objects are written once, so an amended manifest does not take the place of the one before: it is stored beside it
//! with a revision in its name, and the older one is removed after that. While both are there an amendment was cut;
//! each is complete.

use crate::error::{Error, Result};
use crate::store::Store;
use crate::vault::{SIGNATURE, SMALL, Vault, check_host};

/// Name of one manifest: `manifests/<host>/<serial>.json`, or `<serial>.<revision>.json` when it was amended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestName {
    /// The host that was captured.
    pub host: String,
    /// The snapshot's number.
    pub serial: u64,
    /// 0 as it was first written, then counting up.
    pub revision: u32,
}

impl ManifestName {
    /// Name of the manifest's object.
    pub fn object(&self) -> String {
        let ManifestName { host, serial, revision } = self;
        match revision {
            0 => format!("manifests/{host}/{serial}.json"),
            _ => format!("manifests/{host}/{serial}.{revision}.json"),
        }
    }

    /// Name of its signature's object.
    pub fn signature(&self) -> String {
        self.object() + ".sig"
    }

    /// Name of the catalogue that belongs to it.
    pub(crate) fn catalogue(&self) -> String {
        let ManifestName { host, serial, revision } = self;
        match revision {
            0 => format!("catalogues/{host}/{serial}"),
            _ => format!("catalogues/{host}/{serial}.{revision}"),
        }
    }

    /// The name that an object's name spells, if it is that of a manifest.
    pub(crate) fn parse(object: &str) -> Option<Self> {
        let (host, file) = object.strip_prefix("manifests/")?.split_once('/')?;
        let stem = file.strip_suffix(".json")?;
        let (serial, revision) = stem.split_once('.').unwrap_or((stem, "0"));
        let name = ManifestName { host: host.into(), serial: serial.parse().ok()?, revision: revision.parse().ok()? };
        // What is spelled otherwise (leading zeroes) would be two names for one manifest.
        (name.object() == object).then_some(name)
    }
}

/// All manifests below `prefix`, sorted by host, serial and revision.
pub(crate) fn list(store: &dyn Store, prefix: &str) -> Result<Vec<ManifestName>> {
    let mut names: Vec<_> = store.list(prefix)?.iter().filter_map(|object| ManifestName::parse(object)).collect();
    names.sort();
    Ok(names)
}

impl Vault {
    /// Every manifest in the vault, sorted by host, serial and revision.
    pub fn manifest_names(&self) -> Result<Vec<ManifestName>> {
        list(self.store.as_ref(), "manifests")
    }

    /// One manifest and its signature, as stored. Nothing in them is verified here.
    pub fn manifest_named(&self, name: &ManifestName) -> Result<(Vec<u8>, Vec<u8>)> {
        check_host(&name.host)?;
        Ok((self.store.read(&name.object(), SMALL)?, self.store.read(&name.signature(), SIGNATURE)?))
    }

    /// The amended manifest of a snapshot that has none without a revision any more.
    pub(crate) fn amended_manifest(&self, host: &str, serial: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut names = list(self.store.as_ref(), &format!("manifests/{host}"))?;
        names.retain(|name| name.serial == serial);
        let missing = || Error::NotFound { object: ManifestName { host: host.into(), serial, revision: 0 }.object() };
        self.manifest_named(&names.pop().ok_or_else(missing)?)
    }

    /// Stores an amended manifest and its signature, in this order for the reason given at [`Vault::put_manifest`].
    pub fn put_amended(&self, name: &ManifestName, json: &[u8], signature: &[u8]) -> Result<()> {
        check_host(&name.host)?;
        self.store.write_new(&name.signature(), signature)?;
        self.store.write_new(&name.object(), json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_has_one_name_only() {
        for (object, serial, revision) in
            [("manifests/a/7.json", 7, 0), ("manifests/a/7.1.json", 7, 1), ("manifests/a/12.10.json", 12, 10)]
        {
            let name = ManifestName::parse(object).unwrap();
            assert_eq!((name.serial, name.revision, name.object()), (serial, revision, object.to_owned()));
        }
        for bad in ["manifests/a/7.json.sig", "manifests/a/07.json", "manifests/a/7.0.json", "manifests/a/x.json"] {
            assert_eq!(ManifestName::parse(bad), None, "{bad}");
        }
    }
}
