//! Signed documents: from bytes to [`Verified`], from values to bytes and signature.

use std::ops::Deref;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FORMAT;
use crate::ids::{Digest, HostName};
use crate::key::{HostKey, PublicKey};
use crate::signature::{self, Claim, SignatureError};
use crate::trust::Signer;

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned {
    /// What people call it.
    const NAME: &'static str;
    /// The SSHSIG namespace that its signatures are for.
    const NAMESPACE: &'static str;

    /// The host that speaks in it: its signer must be trusted in that host's name.
    fn host_name(&self) -> &HostName;

    /// When it was signed, by its own word: its signer must be trusted at that time.
    fn signed_at(&self) -> Timestamp;
}

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Its signature does not count.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is of a later format.
    #[error("the {name} has format {found}; this version reads format {FORMAT}: use a newer lifeboat")]
    Format {
        /// What people call the document.
        name: &'static str,
        /// The format it says it has.
        found: u64,
    },
    /// It is not what its format says.
    #[error("the {name} cannot be read: {source}")]
    Content {
        /// What people call the document.
        name: &'static str,
        /// What the parser found.
        source: serde_json::Error,
    },
}

/// A document's bytes with its signature, not yet checked.
#[derive(Clone, Debug)]
pub struct Unverified<'a> {
    /// The bytes of the JSON file.
    pub json: &'a [u8],
    /// The bytes of the `.sig` file.
    pub signature: &'a [u8],
}

impl Unverified<'_> {
    /// Checks the signature against `trusted` (signers with their limits, or bare keys), then the format, then reads the document and holds it
    /// against the signer's limits.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing of the content is interpreted before the signature has been checked.
    pub fn verify<T: Document>(&self, trusted: &[impl Clone + Into<Signer>]) -> Result<Verified<T>, DocumentError> {
        let trusted: Vec<Signer> = trusted.iter().cloned().map(Into::into).collect();
        let signer = signature::check(&trusted, T::NAMESPACE, self.json, self.signature)?;
        let value: T = parse(self.json)?;
        let claim = Claim { host: Some(value.host_name()), time: value.signed_at() };
        signature::judge(&trusted, &signer, T::NAMESPACE, claim)?;
        Ok(Verified { value, digest: Digest::of(self.json), signer })
    }
}

/// A document whose signature has been checked. There is no other way to make one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    digest: Digest,
    signer: PublicKey,
}

impl<T> Verified<T> {
    /// SHA-256 of the document's bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Who signed it.
    #[must_use]
    pub fn signer(&self) -> &PublicKey {
        &self.signer
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Turns a document into the bytes of its file and of its `.sig` file.
///
/// # Errors
/// [`DocumentError`] when it cannot be encoded.
pub fn seal<T: Document>(document: &T, key: &HostKey) -> Result<(Vec<u8>, Vec<u8>), DocumentError> {
    let mut json =
        serde_json::to_vec_pretty(document).map_err(|source| DocumentError::Content { name: T::NAME, source })?;
    json.push(b'\n');
    let signature = signature::sign(key, T::NAMESPACE, &json)?;
    Ok((json, signature.into_bytes()))
}

/// Reads the format number first, so that a later format is named as such and not as a strange field.
fn parse<T: Document>(json: &[u8]) -> Result<T, DocumentError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u64,
    }
    let content = |source| DocumentError::Content { name: T::NAME, source };
    let Format { format } = serde_json::from_slice(json).map_err(content)?;
    if format != u64::from(FORMAT) {
        return Err(DocumentError::Format { name: T::NAME, found: format });
    }
    serde_json::from_slice(json).map_err(content)
}
