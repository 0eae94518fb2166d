//! SSHSIG: detached signatures that `ssh-keygen -Y verify` reads. The wire format is OpenSSH's PROTOCOL.sshsig;
//! signing and checking is `ed25519-dalek`'s.

use ssh_key::{Algorithm, HashAlg, LineEnding, Signature, SshSig};

use crate::key::{HostKey, KeyError, PublicKey};

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

/// Checks that one of `trusted` signed `document` for `namespace`; gives that key.
///
/// # Errors
/// [`SignatureError`] with the reason.
pub(crate) fn check<'a>(
    trusted: &'a [PublicKey],
    namespace: &'static str,
    document: &[u8],
    signature: &[u8],
) -> Result<&'a PublicKey, SignatureError> {
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
    let Some(trusted) = trusted.iter().find(|key| **key == signer) else {
        return Err(SignatureError::Stranger(fingerprint));
    };
    let data = SshSig::signed_data(namespace, signature.hash_alg(), document)?;
    match signature.signature_bytes().try_into() {
        Ok(raw) if trusted.accepts(&data, raw) => Ok(trusted),
        _ => Err(SignatureError::Mismatch(fingerprint)),
    }
}
