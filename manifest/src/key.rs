//! Ed25519 keys in OpenSSH's own file formats, so that `ssh-keygen` reads what Lifeboat writes.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{LineEnding, PrivateKey};

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key in OpenSSH's format.
    #[error("not an OpenSSH key: {0}")]
    Format(#[from] ssh_key::Error),
    /// A key of another kind.
    #[error("a key of kind {0}, where ssh-ed25519 is needed")]
    Kind(String),
    /// The private key is protected by a passphrase.
    #[error("the private key is protected by a passphrase; scheduled runs need one without")]
    Encrypted,
    /// The public half is no point of the curve.
    #[error("the public key is damaged")]
    Damaged,
    /// The kernel gave no random bytes.
    #[error("no random bytes from the kernel: {0}")]
    Random(getrandom::Error),
}

/// The key that a host signs with. Its secret half never appears in `Debug` output.
pub struct HostKey {
    signing: SigningKey,
    comment: String,
}

impl HostKey {
    /// A new key; `comment` is for people, as in `ssh-keygen -C`.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the kernel gives no random bytes.
    pub fn generate(comment: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self { signing: SigningKey::from_bytes(&seed), comment: comment.to_owned() })
    }

    /// Reads an OpenSSH private key file.
    ///
    /// # Errors
    /// [`KeyError`] when the text is no such file, is protected by a passphrase, or holds a key of another kind.
    pub fn from_openssh(text: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(text)?;
        if key.is_encrypted() {
            return Err(KeyError::Encrypted);
        }
        match key.key_data() {
            KeypairData::Ed25519(pair) => Ok(Self {
                signing: SigningKey::from_bytes(&pair.private.to_bytes()),
                comment: key.comment().to_owned(),
            }),
            _ => Err(KeyError::Kind(key.algorithm().to_string())),
        }
    }

    /// The text of an OpenSSH private key file.
    ///
    /// # Errors
    /// [`KeyError::Format`] when the key cannot be encoded.
    pub fn to_openssh(&self) -> Result<String, KeyError> {
        let pair = Ed25519Keypair::from_seed_bytes(&self.signing);
        let key = PrivateKey::new(KeypairData::Ed25519(pair), self.comment.clone())?;
        Ok(key.to_openssh(LineEnding::LF)?.to_string())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { key: self.signing.verifying_key() }
    }

    pub(crate) fn sign(&self, data: &[u8]) -> [u8; 64] {
        self.signing.sign(data).to_bytes()
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.public())
    }
}

trait FromSeed {
    fn from_seed_bytes(signing: &SigningKey) -> Self;
}

impl FromSeed for Ed25519Keypair {
    fn from_seed_bytes(signing: &SigningKey) -> Self {
        Self {
            public: Ed25519PublicKey(signing.verifying_key().to_bytes()),
            private: ssh_key::private::Ed25519PrivateKey::from_bytes(signing.as_bytes()),
        }
    }
}

/// The key that a host's signatures are checked against; as text, `ssh-ed25519 AAAA…`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    key: VerifyingKey,
}

impl PublicKey {
    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key_data().fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    pub(crate) fn key_data(&self) -> KeyData {
        KeyData::Ed25519(Ed25519PublicKey(self.key.to_bytes()))
    }

    pub(crate) fn from_key_data(data: &KeyData) -> Result<Self, KeyError> {
        let KeyData::Ed25519(public) = data else {
            return Err(KeyError::Kind(data.algorithm().to_string()));
        };
        let key = VerifyingKey::from_bytes(&public.0).map_err(|_| KeyError::Damaged)?;
        if key.is_weak() { Err(KeyError::Damaged) } else { Ok(Self { key }) }
    }

    pub(crate) fn accepts(&self, data: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(data, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_key_data(ssh_key::PublicKey::from_openssh(text)?.key_data())
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = ssh_key::PublicKey::new(self.key_data(), "");
        f.write_str(key.to_openssh().map_err(|_| fmt::Error)?.trim_end())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = HostKey::generate("host@example").unwrap();
        let read = HostKey::from_openssh(&key.to_openssh().unwrap()).unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(read.comment, "host@example");
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = HostKey::generate("x").unwrap();
        let secret: String = key.signing.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = format!("{key:?}");
        assert!(shown.contains("ssh-ed25519") && !shown.contains(&secret));
    }
}
