//! SSHSIG: detached signatures that `ssh-keygen -Y verify` reads. The wire format is OpenSSH's PROTOCOL.sshsig;
//! signing and checking is `ed25519-dalek`'s.

use jiff::Timestamp;
use ssh_key::{Algorithm, HashAlg, LineEnding, Signature, SshSig};

use crate::ids::HostName;
use crate::key::{HostKey, KeyError, PublicKey};
use crate::trust::Signer;

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Not an SSHSIG file.
    #[error("the signature is not an SSH signature: {0}")]
    Format(#[from] ssh_key::Error),
    /// Readable, but not byte for byte as such a file is written: one of its lengths was changed, for example.
    #[error("the signature file is not written as SSH signatures are: it was changed")]
    Changed,
    /// Made for another kind of document.
    #[error("the signature is for {found:?}, not for {wanted:?}")]
    Namespace {
        /// What it was made for.
        found: String,
        /// What it should be for.
        wanted: &'static str,
    },
    /// The key in the signature cannot be used.
    #[error("the signature's key: {0}")]
    Key(#[from] KeyError),
    /// Signed by somebody who is not trusted.
    #[error("signed by {0}, which is not trusted here")]
    Stranger(String),
    /// Signed by somebody whose signature counts, but not for this.
    #[error("signed by {fingerprint}, whose signatures count only {limit}")]
    Limit {
        /// The key.
        fingerprint: String,
        /// For whom, for what or when they do.
        limit: String,
    },
    /// The document is not the one that was signed.
    #[error("the signature by {0} does not fit the document: one of the two was changed")]
    Mismatch(String),
}

/// Signs `document` for `namespace`; the result is the text of a `.sig` file.
///
/// # Errors
/// [`SignatureError::Format`] when the signature cannot be encoded.
pub(crate) fn sign(key: &HostKey, namespace: &str, document: &[u8]) -> Result<String, SignatureError> {
    let data = SshSig::signed_data(namespace, HashAlg::Sha512, document)?;
    let raw = Signature::new(Algorithm::Ed25519, key.sign(&data))?;
    let signature = SshSig::new(key.public().key_data(), namespace, HashAlg::Sha512, raw)?;
    Ok(signature.to_pem(LineEnding::LF)?)
}

/// Signs a list of digests as `sha256sum` writes it; the result is the text of a `.sig` file.
///
/// # Errors
/// [`SignatureError::Format`] when the signature cannot be encoded.
pub fn sign_sums(key: &HostKey, list: &[u8]) -> Result<String, SignatureError> {
    sign(key, SUMS, list)
}

/// Namespace of signed lists of digests.
const SUMS: &str = "lifeboat-sums";

/// What a document says of itself, as far as trust has limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// The host in whose name it speaks; none where every trusted host may.
    pub host: Option<&'a HostName>,
    /// When it was signed.
    pub time: Timestamp,
}

/// Checks that the key of one of `trusted` signed `document` for `namespace`; gives that key. Whether the signature counts for what
/// the document claims is [`judge`]'s to say, once the document has been read.
///
/// # Errors
/// [`SignatureError`] with the reason.
pub(crate) fn check(
    trusted: &[Signer],
    namespace: &'static str,
    document: &[u8],
    signature: &[u8],
) -> Result<PublicKey, SignatureError> {
    let file = signature;
    let signature = SshSig::from_pem(file)?;
    // The parser takes version 0 and passes over some lengths; whoever looks for damage must not.
    if signature.version() != SshSig::VERSION || signature.to_pem(LineEnding::LF)?.as_bytes() != file {
        return Err(SignatureError::Changed);
    }
    if signature.namespace() != namespace {
        return Err(SignatureError::Namespace { found: signature.namespace().to_owned(), wanted: namespace });
    }
    let signer = PublicKey::from_key_data(signature.public_key())?;
    let fingerprint = signer.fingerprint();
    if !trusted.iter().any(|trusted| trusted.key == signer) {
        return Err(SignatureError::Stranger(fingerprint));
    }
    let data = SshSig::signed_data(namespace, signature.hash_alg(), document)?;
    match signature.signature_bytes().try_into() {
        Ok(raw) if signer.accepts(&data, raw) => Ok(signer),
        _ => Err(SignatureError::Mismatch(fingerprint)),
    }
}

/// Decides whether a signature by `key` counts for `namespace` and for what the document claims: one of `trusted` must allow all of it.
///
/// # Errors
/// [`SignatureError::Limit`] with the limits of the key that come nearest.
pub(crate) fn judge(
    trusted: &[Signer],
    key: &PublicKey,
    namespace: &'static str,
    claim: Claim,
) -> Result<(), SignatureError> {
    let mut limit = String::new();
    for signer in trusted.iter().filter(|signer| signer.key == *key) {
        limit = if !signer.serves(namespace) {
            format!("for {}, and this is for {namespace}", signer.namespaces.as_deref().unwrap_or_default())
        } else if let Some(host) = claim.host.filter(|host| !signer.speaks_for(host)) {
            format!("for {}, and this is in the name of {host}", signer.principals)
        } else if !signer.counts_at(claim.time) {
            format!("{}, and this was signed at {}", period(signer), claim.time)
        } else {
            return Ok(());
        };
    }
    Err(SignatureError::Limit { fingerprint: key.fingerprint(), limit })
}

fn period(signer: &Signer) -> String {
    let after = signer.valid_after.map(|after| format!("from {after}"));
    let before = signer.valid_before.map(|before| format!("until {before}"));
    after.into_iter().chain(before).collect::<Vec<_>>().join(" ")
}
