//! Who can open a vault: recipients (public) and identities (secret), in the text forms of age and OpenSSH.
//!
//! An identity file holds X25519 identities (`AGE-SECRET-KEY-1…`), or an SSH private key, or, for programs built with plugins, `AGE-PLUGIN-…`
//! lines; it may be sealed by a passphrase, as `age -p` does. What opens a file is kept as trait objects, so that a program which
//! never reads plugin identities does not carry their code.

#[cfg(feature = "plugin")]
mod plugin;
mod recipient;

use std::fmt;
use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};

pub(crate) use self::recipient::seal_to;
pub use self::recipient::{Recipient, RecipientKind};
use crate::error::{Error, Result};

/// log₂ of scrypt's work for identities that are sealed here: 128 MiB and about half a second on today's machines. Fixed, and not
/// measured on the machine that seals, because the machine that opens may be slower and smaller.
const WORK: u8 = 17;
/// The most that is spent on a file from elsewhere: 1 GiB. `age -p` uses 18.
const MOST_WORK: u8 = 20;

/// Secret keys that open runs. Never shown, not even by `Debug`.
#[derive(Clone, Default)]
pub struct Identities {
    /// Kept beside `openers`, for their text.
    own: Vec<age::x25519::Identity>,
    recipients: Vec<Recipient>,
    openers: Vec<Arc<dyn age::Identity + Send + Sync>>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} keys)", self.openers.len())
    }
}

/// Why text or bytes are no identity file; without repeating what was in them.
fn not_identities(what: impl Into<String>) -> Error {
    Error::invalid("identity file", what)
}

fn wrong_passphrase() -> Error {
    Error::WrongKey { object: "identity file".into() }
}

impl Identities {
    /// A fresh identity.
    pub fn generate() -> Self {
        let mut identities = Self::default();
        identities.add_own(age::x25519::Identity::generate());
        identities
    }

    fn add(&mut self, opener: impl age::Identity + Send + Sync + 'static) {
        self.openers.push(Arc::new(opener));
    }

    fn add_own(&mut self, identity: age::x25519::Identity) {
        self.recipients.push(Recipient::of(identity.to_public()));
        self.own.push(identity.clone());
        self.add(identity);
    }

    /// Reads an identity file: lines `AGE-SECRET-KEY-1…`, comments with `#`, blank lines; or an SSH private key without a passphrase.
    pub fn from_file_text(text: &str) -> Result<Self> {
        if is_ssh(text) {
            return Self::from_ssh(text, None);
        }
        let mut found = Self::default();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let identity = age::x25519::Identity::from_str(line);
            let what = |why| not_identities(format!("line {} is no AGE-SECRET-KEY: {why}", at + 1));
            found.add_own(identity.map_err(what)?);
        }
        if found.openers.is_empty() { Err(not_identities("it holds no AGE-SECRET-KEY line")) } else { Ok(found) }
    }

    /// Whether a passphrase is needed to read an identity file: age sealed it by one, or it is an SSH key that has one.
    pub fn needs_passphrase(bytes: &[u8]) -> bool {
        is_sealed(bytes) || std::str::from_utf8(bytes).is_ok_and(|text| is_ssh(text) && ssh_is_encrypted(text))
    }

    /// Opens an identity file for which [`Identities::needs_passphrase`] holds. A wrong passphrase is [`crate::Kind::WrongKey`].
    pub fn from_passphrase_file(bytes: &[u8], passphrase: &str) -> Result<Self> {
        if !is_sealed(bytes) {
            let text = std::str::from_utf8(bytes).map_err(|_| not_identities("it is no text"))?;
            return Self::from_ssh(text, Some(passphrase));
        }
        let mut key = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
        key.set_max_work_factor(MOST_WORK);
        let decryptor = age::Decryptor::new(age::armor::ArmoredReader::new(bytes))
            .map_err(|why| not_identities(format!("it is no age file: {why}")))?;
        let opened = decryptor.decrypt(std::iter::once(&key as &dyn age::Identity));
        let mut opened = opened.map_err(|why| match why {
            age::DecryptError::ExcessiveWork { required, .. } => {
                not_identities(format!("its passphrase was made to cost 2^{required} work; 2^{MOST_WORK} is the most"))
            }
            _ => wrong_passphrase(),
        })?;
        let mut text = String::new();
        opened.read_to_string(&mut text).map_err(|_| not_identities("what the passphrase opens is no text"))?;
        let identities = Identities::from_file_text(&text);
        crate::seal::wipe(text.into_bytes().as_mut_slice());
        identities
    }

    #[cfg(feature = "ssh")]
    fn from_ssh(text: &str, passphrase: Option<&str>) -> Result<Self> {
        use age::ssh::Identity;
        let read = Identity::from_buffer(text.as_bytes(), None);
        let mut key = read.map_err(|why| not_identities(format!("it is no SSH private key: {why}")))?;
        if let (Identity::Encrypted(sealed), Some(passphrase)) = (&key, passphrase) {
            let opened = sealed.decrypt(SecretString::from(passphrase.to_owned()));
            key = opened.map_err(|_| wrong_passphrase())?.into();
        }
        match &key {
            Identity::Unencrypted(_) => {}
            Identity::Encrypted(_) => return Err(not_identities("the SSH key has a passphrase")),
            Identity::Unsupported(_) => {
                return Err(not_identities(
                    "an SSH key of this kind cannot open anything: ssh-ed25519 and ssh-rsa can",
                ));
            }
        }
        let public =
            age::ssh::Recipient::try_from(key.clone()).map_err(|_| not_identities("its public half is damaged"))?;
        let mut identities = Self { recipients: vec![Recipient::of(public)], ..Self::default() };
        identities.add(key);
        Ok(identities)
    }

    #[cfg(not(feature = "ssh"))]
    fn from_ssh(_: &str, _: Option<&str>) -> Result<Self> {
        Err(not_identities("this program was built without SSH keys"))
    }

    /// The identity file as text, with each public key in a comment. Secret: for a 0600 file or paper only. SSH keys and plugins
    /// are not in it: they have files of their own.
    pub fn to_file_text(&self) -> String {
        let mut text = String::new();
        for identity in &self.own {
            let secret = identity.to_string();
            text.push_str(&format!("# public key: {}\n{}\n", identity.to_public(), secret.expose_secret()));
        }
        text
    }

    /// The identity file sealed by a passphrase, as `age -d` opens it.
    pub fn to_passphrase_file(&self, passphrase: &str) -> Result<Vec<u8>> {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
        recipient.set_work_factor(WORK);
        age::encrypt(&recipient, self.to_file_text().as_bytes()).map_err(|why| not_identities(why.to_string()))
    }

    /// The public keys, except those of plugins, which only the plugin knows.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.recipients.clone()
    }

    /// Opens an age file; `object` names it in errors.
    pub(crate) fn open(&self, object: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let decryptor =
            age::Decryptor::new(sealed).map_err(|why| Error::corrupt(object, format!("no age file: {why}")))?;
        let openers = self.openers.iter().map(|opener| opener.as_ref() as &dyn age::Identity);
        let mut opened = decryptor.decrypt(openers).map_err(|why| refusal(object, &why))?;
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(|why| Error::corrupt(object, why.to_string()))?;
        Ok(bytes)
    }
}

fn refusal(object: &str, why: &age::DecryptError) -> Error {
    match why {
        age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
            Error::WrongKey { object: object.into() }
        }
        #[cfg(feature = "plugin")]
        age::DecryptError::Plugin(_) | age::DecryptError::PluginResolve(_) => Error::WrongKey { object: object.into() },
        other => Error::corrupt(object, other.to_string()),
    }
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

fn is_ssh(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") || text.starts_with("-----BEGIN RSA PRIVATE KEY-----")
}

#[cfg(feature = "ssh")]
fn ssh_is_encrypted(text: &str) -> bool {
    matches!(age::ssh::Identity::from_buffer(text.as_bytes(), None), Ok(age::ssh::Identity::Encrypted(_)))
}

#[cfg(not(feature = "ssh"))]
fn ssh_is_encrypted(_: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_text_and_passphrase_file_come_back() {
        let identities = Identities::generate();
        let again = Identities::from_file_text(&identities.to_file_text()).unwrap();
        assert_eq!(again.recipients(), identities.recipients());
        let sealed = identities.to_passphrase_file("correct horse").unwrap();
        let opened = Identities::from_passphrase_file(&sealed, "correct horse").unwrap();
        assert_eq!(opened.recipients(), identities.recipients());
        let wrong = Identities::from_passphrase_file(&sealed, "wrong").unwrap_err();
        assert_eq!(wrong.kind(), crate::Kind::WrongKey);
    }

    #[test]
    fn secrets_stay_out_of_debug_output_and_errors() {
        let identities = Identities::generate();
        assert_eq!(format!("{identities:?}"), "Identities(1 keys)");
        let mut text = identities.to_file_text();
        text.insert(text.len() - 2, 'x');
        let secret = text.lines().last().unwrap().to_owned();
        let error = Identities::from_file_text(&text).unwrap_err().to_string();
        assert!(!error.contains(&secret), "{error}");
    }
}
