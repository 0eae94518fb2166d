//! Trust: whose signatures count, for whom, for what and until when; and the trust root, what a stick's rescue system believes
//! before it has read anything else.
//!
//! The text form is OpenSSH's allowed signers file, one key a line, so that `ssh-keygen -Y verify` decides as this crate does:
//!
//! ```text
//! node1 namespaces="lifeboat-*",valid-before="20261121120000Z" ssh-ed25519 AAAA… comment
//! ```
//!
//! A time is compared with the time that the signed document itself states. Reading files is not for this module.

mod line;
mod pattern;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use layout::Guid;
use serde::{Deserialize, Serialize};

use crate::ids::{HostName, Serial, VaultId};
use crate::key::PublicKey;
use crate::slot::SlotName;

/// One key whose signatures count, within limits. As text a line of an allowed signers file; made from a bare [`PublicKey`] it has no limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signer {
    /// The key.
    pub key: PublicKey,
    /// Whose name it may sign in: patterns, separated by commas; `*` is everybody.
    pub principals: String,
    /// What kinds of document it may sign: patterns of SSHSIG namespaces; none is every kind.
    pub namespaces: Option<String>,
    /// Signatures before this second do not count.
    pub valid_after: Option<Timestamp>,
    /// Signatures after this second do not count.
    pub valid_before: Option<Timestamp>,
}

/// A line of an allowed signers file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// An option that this program does not know, or a malformed one. Passing over it could widen the trust.
    #[error("the option {0:?} is not known or not well-formed")]
    Option(String),
    /// A time that is none.
    #[error("{0:?} is no time (YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC)")]
    Time(String),
    /// No key in it.
    #[error("it names no key")]
    NoKey,
    /// A key that cannot be used.
    #[error("its key cannot be used: {0}")]
    Key(String),
}

impl Signer {
    /// Reads an allowed signers file. Keys of other kinds than Ed25519 and certificate authorities are passed over: this program makes and checks
    /// Ed25519 signatures only.
    ///
    /// # Errors
    /// The number of the first line that cannot be used, from 1, and why.
    pub fn read_all(text: &str) -> Result<Vec<Self>, (usize, TrustError)> {
        let mut signers = Vec::new();
        for (at, line) in text.lines().enumerate() {
            signers.extend(line::parse(line).map_err(|error| (at + 1, error))?);
        }
        Ok(signers)
    }

    /// Whether its signatures count for documents of `namespace` at all.
    #[must_use]
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespaces.as_deref().is_none_or(|patterns| pattern::matches_list(patterns, namespace))
    }

    /// Whether it may sign in the name of `host`.
    #[must_use]
    pub fn speaks_for(&self, host: &HostName) -> bool {
        pattern::matches_list(&self.principals, host.as_str())
    }

    /// Whether a signature made at `time` counts; to the second, as `ssh-keygen` compares.
    #[must_use]
    pub fn counts_at(&self, time: Timestamp) -> bool {
        let second = time.as_second();
        self.valid_after.is_none_or(|after| second >= after.as_second())
            && self.valid_before.is_none_or(|before| second <= before.as_second())
    }
}

impl From<PublicKey> for Signer {
    fn from(key: PublicKey) -> Self {
        Self { key, principals: "*".to_owned(), namespaces: None, valid_after: None, valid_before: None }
    }
}

impl From<&PublicKey> for Signer {
    fn from(key: &PublicKey) -> Self {
        key.clone().into()
    }
}

impl FromStr for Signer {
    type Err = TrustError;
    fn from_str(text: &str) -> Result<Self, TrustError> {
        line::parse(text)?.ok_or(TrustError::NoKey)
    }
}

impl TryFrom<String> for Signer {
    type Error = TrustError;
    fn try_from(text: String) -> Result<Self, TrustError> {
        text.parse()
    }
}

impl From<Signer> for String {
    fn from(signer: Signer) -> Self {
        signer.to_string()
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line::write(self, f)
    }
}

/// Baked into the initramfs as `/etc/lifeboat/trust.json`. Not signed: it is what signatures are checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// Format number, [`FORMAT`](crate::FORMAT).
    pub format: u32,
    /// The stick's disk GUID: the rescue finds its stick by it, never by a label.
    pub stick: Guid,
    /// The slot that this initramfs lies in.
    pub slot: SlotName,
    /// The vault on the stick.
    pub vault: VaultId,
    /// The host whose snapshots it holds.
    pub host_name: HostName,
    /// Whose signatures count: lines of an allowed signers file.
    pub signers: Vec<Signer>,
    /// The newest serial when the slot was written: a stick whose newest snapshot is older was rolled back. 0 when there was none.
    pub newest_serial: Serial,
    /// When the slot was written.
    pub created: Timestamp,
}

#[cfg(test)]
mod tests;
