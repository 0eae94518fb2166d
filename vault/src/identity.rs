//! Who can open a vault: recipients (public) and identities (secret), in age's own text forms.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// A public key that runs are sealed to (`age1…`).
#[derive(Clone)]
pub struct Recipient(age::x25519::Recipient);

impl FromStr for Recipient {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.trim().parse().map(Recipient);
        parsed.map_err(|why| Error::invalid("recipient", format!("{text:?} is no age X25519 recipient ({why})")))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Secret keys that open runs. Never shown, not even by `Debug`.
#[derive(Clone, Default)]
pub struct Identities(Vec<age::x25519::Identity>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} keys)", self.0.len())
    }
}

/// Why text or bytes are no identity file; without repeating what was in them.
fn not_identities(what: impl Into<String>) -> Error {
    Error::invalid("identity file", what)
}

impl Identities {
    /// A fresh identity.
    pub fn generate() -> Self {
        Identities(vec![age::x25519::Identity::generate()])
    }

    /// Reads an age identity file: lines `AGE-SECRET-KEY-1…`, comments with `#`, blank lines.
    pub fn from_file_text(text: &str) -> Result<Self> {
        let mut found = Vec::new();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let identity = age::x25519::Identity::from_str(line);
            found.push(identity.map_err(|why| not_identities(format!("line {} is no AGE-SECRET-KEY: {why}", at + 1)))?);
        }
        if found.is_empty() { Err(not_identities("it holds no AGE-SECRET-KEY line")) } else { Ok(Identities(found)) }
    }

    /// Opens an identity file that age sealed by a passphrase (scrypt). A wrong passphrase is [`crate::Kind::WrongKey`].
    pub fn from_passphrase_file(bytes: &[u8], passphrase: &str) -> Result<Self> {
        let key = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
        let decryptor =
            age::Decryptor::new(bytes).map_err(|why| not_identities(format!("it is no age file: {why}")))?;
        let opened = decryptor.decrypt(std::iter::once(&key as &dyn age::Identity));
        let mut opened = opened.map_err(|_| Error::WrongKey { object: "identity file".into() })?;
        let mut text = String::new();
        opened.read_to_string(&mut text).map_err(|_| not_identities("what the passphrase opens is no text"))?;
        let identities = Identities::from_file_text(&text);
        crate::seal::wipe(text.into_bytes().as_mut_slice());
        identities
    }

    /// The identity file as text, with each public key in a comment. Secret: for a 0600 file or paper only.
    pub fn to_file_text(&self) -> String {
        let mut text = String::new();
        for identity in &self.0 {
            let secret = identity.to_string();
            text.push_str(&format!("# public key: {}\n{}\n", identity.to_public(), secret.expose_secret()));
        }
        text
    }

    /// The identity file sealed by a passphrase, as `age -d` opens it.
    pub fn to_passphrase_file(&self, passphrase: &str) -> Result<Vec<u8>> {
        let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
        age::encrypt(&recipient, self.to_file_text().as_bytes()).map_err(|why| not_identities(why.to_string()))
    }

    /// The public keys.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.0.iter().map(|identity| Recipient(identity.to_public())).collect()
    }

    /// Opens an age file; `object` names it in errors.
    pub(crate) fn open(&self, object: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let decryptor =
            age::Decryptor::new(sealed).map_err(|why| Error::corrupt(object, format!("no age file: {why}")))?;
        let mut opened =
            decryptor.decrypt(self.0.iter().map(|i| i as &dyn age::Identity)).map_err(|why| match why {
                age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
                    Error::WrongKey { object: object.into() }
                }
                other => Error::corrupt(object, other.to_string()),
            })?;
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(|why| Error::corrupt(object, why.to_string()))?;
        Ok(bytes)
    }
}

/// Seals `plain` to all recipients as an age file.
pub(crate) fn seal_to(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let all = recipients.iter().map(|r| &r.0 as &dyn age::Recipient);
    let encryptor =
        age::Encryptor::with_recipients(all).map_err(|why| Error::invalid("recipients", why.to_string()))?;
    let mut sealed = Vec::new();
    let seal = || {
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(plain)?;
        writer.finish().map(drop)
    };
    seal().map_err(|why: std::io::Error| Error::io("sealing", "run key", why))?;
    Ok(sealed)
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
