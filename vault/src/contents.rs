//! What the signed manifest carries for the vault: which objects make up a snapshot, each with size and digest.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::private::{self, PrivateRef};
use crate::store::check_name;

/// A sealed catalogue is held in memory; this is that of some fifty million entries.
const CATALOGUE_LIMIT: u64 = 2 << 30;

/// 32 bytes of a digest, in text as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Digest(out))
    }

    /// The digits, lower-case.
    pub(crate) fn hex(&self) -> [u8; 64] {
        let mut out = [0; 64];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|n| b"0123456789abcdef"[usize::from(n)]));
        }
        out
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Digest::parse(&text).ok_or_else(|| format!("{text:?} is no digest (64 lower-case hexadecimal digits)"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// Identifier of a run: 32 lower-case hexadecimal digits, drawn at random.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A fresh identifier.
    pub(crate) fn random() -> crate::Result<Self> {
        let mut bytes = [0u8; 16];
        crate::seal::random(&mut bytes)?;
        Ok(RunId(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Name of this run's key in the vault.
    pub fn key_name(&self) -> String {
        format!("keys/{}.age", self.0)
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RunId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let sound = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if sound { Ok(RunId(text)) } else { Err(format!("{text:?} is no run (32 lower-case hexadecimal digits)")) }
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> String {
        run.0
    }
}

/// Everything of one snapshot that lies in the vault. The manifest signs it; nothing else is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Runs whose keys are needed, oldest first.
    pub runs: Vec<RunRef>,
    /// Segments in stream order: by run, then by number.
    pub segments: Vec<SegmentRef>,
    /// The catalogue of this snapshot.
    pub catalogue: CatalogueRef,
    /// Secrets beside the tree, by name; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<PrivateRef>,
    /// Sums over the snapshot and over this run.
    pub totals: Totals,
}

impl Contents {
    /// What no writer makes, though it is signed: objects under names that are not theirs, numbers that would use a key stream
    /// twice, a catalogue larger than this program holds in memory.
    pub(crate) fn check(&self) -> crate::Result<()> {
        let refuse = |what: String| Err(Error::corrupt("the list of objects in the manifest", what));
        let object = &self.catalogue.object;
        if !object.starts_with("catalogues/") || check_name(object).is_err() {
            return refuse(format!("{object:?} is no name of a catalogue"));
        }
        if self.catalogue.size > CATALOGUE_LIMIT {
            return refuse(format!("a catalogue of {} bytes; at most {CATALOGUE_LIMIT} are read", self.catalogue.size));
        }
        let mut runs = HashSet::new();
        if let Some(run) = self.runs.iter().find(|run| !runs.insert(&run.id)) {
            return refuse(format!("run {} is listed twice", run.id));
        }
        match self.segments.iter().find(|segment| !(1..1 << 63).contains(&segment.number)) {
            Some(segment) => {
                refuse(format!("{} is number {} in its run, which no segment is", segment.object(), segment.number))
            }
            None => private::check(&self.private),
        }
    }
}

/// A run and its key file `keys/<id>.age`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRef {
    /// The run.
    pub id: RunId,
    /// SHA-256 of the key file.
    pub key_sha256: Digest,
    /// Size of the key file in bytes.
    pub key_size: u64,
}

/// One segment, stored as `segments/<first two digits>/<sha256>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// The run that sealed it.
    pub run: RunId,
    /// Its number in that run; makes the IV.
    pub number: u64,
    /// SHA-256 of the file, and its name.
    pub sha256: Digest,
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of tar stream in it, once opened.
    pub opened: u64,
}

impl SegmentRef {
    /// Name of the object in the vault.
    pub fn object(&self) -> String {
        segment_object(&self.sha256)
    }
}

/// Name of the segment with this digest.
pub(crate) fn segment_object(sha256: &Digest) -> String {
    let hex = sha256.to_string();
    format!("segments/{}/{hex}", &hex[..2])
}

/// The catalogue, stored as `catalogues/<host>/<serial>`, sealed with number 0 of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueRef {
    /// Name of the object in the vault.
    pub object: String,
    /// The run that sealed it.
    pub run: RunId,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of the catalogue, once opened.
    pub opened: u64,
}

/// Sums: of the snapshot first, of what this run added after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Entries of any type, the root included.
    pub entries: u64,
    /// Regular files (a hard-link group counts once).
    pub files: u64,
    /// Sum of the sizes of regular files, in bytes (a hard-link group counts once).
    pub bytes: u64,
    /// Bytes of segment files in the vault that the snapshot needs.
    pub sealed: u64,
    /// Entries whose extents are from an earlier run.
    pub unchanged: u64,
    /// Bytes of tar stream that this run stored.
    pub added: u64,
    /// Bytes of segment files and private parts that this run wrote.
    pub added_sealed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_runs_are_read_strictly() {
        let good = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        assert_eq!(Digest::parse(good).unwrap().to_string(), good);
        assert_eq!(Digest::parse(&good.to_uppercase()), None);
        assert_eq!(Digest::parse(&good[1..]), None);
        assert!(serde_json::from_str::<RunId>("\"../../../etc/passwd0000000000000000\"").is_err());
        assert!(serde_json::from_str::<RunId>("\"00112233445566778899aabbccddeeff\"").is_ok());
    }
}
