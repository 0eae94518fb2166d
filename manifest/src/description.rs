//! The signature of a vault's description (`vault.json` and what followed it): who may open the backups is signed as everything else is.
//! The description itself is the archive engine's; here it is bytes.

use jiff::Timestamp;

use crate::key::{HostKey, PublicKey};
use crate::signature::{self, Claim, SignatureError};
use crate::trust::Signer;

const NAMESPACE: &str = "lifeboat-vault";

/// Signs a description; the result is the text of its `.sig` file.
///
/// # Errors
/// [`SignatureError::Format`] when the signature cannot be encoded.
pub fn sign_description(key: &HostKey, description: &[u8]) -> Result<Vec<u8>, SignatureError> {
    Ok(signature::sign(key, NAMESPACE, description)?.into_bytes())
}

/// Checks that one of `trusted` signed a description and that its signatures count at `time`; gives the key. A vault may belong to several
/// hosts, so every host's signer may sign it.
///
/// # Errors
/// [`SignatureError`] with the reason.
pub fn check_description(
    trusted: &[Signer],
    description: &[u8],
    signature: &[u8],
    time: Timestamp,
) -> Result<PublicKey, SignatureError> {
    let signer = signature::check(trusted, NAMESPACE, description, signature)?;
    signature::judge(trusted, &signer, NAMESPACE, Claim { host: None, time })?;
    Ok(signer)
}
