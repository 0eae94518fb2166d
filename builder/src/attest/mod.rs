//! Attestation: is a restored disk what the snapshot says? An image is opened through `gpt`, `ext4-view` and `fatfs`, nothing is
//! mounted, and every entry's content and metadata is compared with the catalogue, partition tables and filesystems with
//! the manifest. What is more than recorded is a difference too.
//!
//! Compared for each entry of an ext filesystem: type, permissions, owner, group, mtime, size, content (BLAKE3), symlink
//! target, hard-link group, device number, xattrs, inode flags, project id. Not compared: inode numbers, ctime and atime,
//! which no restore brings back, and sizes of folders. Of FAT: names (without their case), types and contents.
//!
//! [`Image`] serves others too: a vault inside a stick's image is read through it.

mod adapted;
mod compare;
mod ext;
mod fat;
mod found;
mod image;
mod storage;
mod walk;
mod window;

use std::path::PathBuf;

use manifest::Manifest;
use serde::Serialize;
use vault::{Contents, Identities, Vault};

pub use self::image::Image;
use crate::capture::content;

/// Version of [`Attestation`] in JSON.
const SCHEMA: u32 = 1;

/// What is compared with what.
pub struct Input<'a> {
    /// Images of the restored disks, or the disks themselves.
    pub images: &'a [PathBuf],
    /// The snapshot.
    pub manifest: &'a Manifest<Contents>,
    /// The vault that holds its catalogue.
    pub vault: &'a Vault,
    /// Keys that open the catalogue.
    pub identities: &'a Identities,
    /// Where progress is shown.
    pub progress: &'a dyn vault::Progress,
}

/// The result, as `lifeboat attest --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Attestation {
    /// Version of this form.
    pub schema: u32,
    /// The host that was captured.
    pub host: String,
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Entries of the catalogue that were looked for.
    pub entries: u64,
    /// Bytes of content that were read and hashed.
    pub bytes: u64,
    /// What differs and should not.
    pub differences: Vec<Difference>,
    /// What differs because the restore adapted it to the machine.
    pub adapted: Vec<Adapted>,
    /// What follows from it.
    pub verdict: Verdict,
}

/// What follows from a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing differs but what was adapted.
    Identical,
    /// Something differs.
    Different,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The entry's path in the snapshot, escaped as in the catalogue; or the storage object's name.
    pub path: String,
    /// Which of its properties.
    pub what: String,
    /// What was recorded.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// One difference that the restore declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adapted {
    /// The entry's path.
    pub path: String,
    /// Which of its properties.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Difference {
    fn new(
        path: impl Into<String>,
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), what: what.into(), expected: expected.into(), found: found.into() }
    }
}

/// Compares.
///
/// # Errors
/// When an image or the catalogue cannot be read. A difference is no error.
pub fn attest(input: &Input<'_>) -> anyhow::Result<Attestation> {
    let images: Vec<Image> = input.images.iter().map(|path| Image::open(path)).collect::<Result<_, _>>()?;
    let mut differences = input.manifest.host.as_ref().map(|host| storage::compare(host, &images)).unwrap_or_default();
    let walked = walk::compare(input, &images)?;
    differences.extend(walked.differences);
    Ok(Attestation {
        schema: SCHEMA,
        host: input.manifest.host_name.to_string(),
        snapshot: input.manifest.serial.0,
        entries: walked.entries,
        bytes: walked.bytes,
        verdict: if differences.is_empty() { Verdict::Identical } else { Verdict::Different },
        differences,
        adapted: walked.adapted,
    })
}

#[cfg(test)]
mod tests;
