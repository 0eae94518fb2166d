//! Recipients: public keys that runs are sealed to, as their text. What they need beyond this program (a plugin) is looked for when
//! something is sealed, and not before: a vault can be read without.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A public key that runs are sealed to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipient {
    text: String,
}

/// What a recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientKind {
    /// age's own kind: `age1…`.
    X25519,
    /// An SSH key: `ssh-ed25519 …` or `ssh-rsa …`.
    Ssh,
    /// A key that a program `age-plugin-NAME` knows how to use: `age1NAME1…`.
    Plugin(String),
}

impl fmt::Display for RecipientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecipientKind::X25519 => f.write_str("age"),
            RecipientKind::Ssh => f.write_str("ssh"),
            RecipientKind::Plugin(name) => write!(f, "plugin {name}"),
        }
    }
}

impl Recipient {
    /// What it is, by its text alone.
    pub fn kind(&self) -> RecipientKind {
        if self.text.starts_with("ssh-") {
            return RecipientKind::Ssh;
        }
        // Bech32: the last `1` ends the human-readable part, which is `age` for X25519 and `age1NAME` for plugins.
        let (prefix, _) = self.text.rsplit_once('1').unwrap_or((&self.text, ""));
        match prefix.strip_prefix("age1") {
            Some(name) => RecipientKind::Plugin(name.to_owned()),
            None => RecipientKind::X25519,
        }
    }

    /// Seals something to all of them and throws it away: whether the next run will find them usable.
    pub fn try_all(recipients: &[Recipient]) -> Result<()> {
        seal_to(recipients, b"").map(drop)
    }

    pub(crate) fn of(text: impl fmt::Display) -> Self {
        Recipient { text: text.to_string() }
    }
}

fn unusable(text: &str, why: impl fmt::Display) -> Error {
    Error::invalid("recipient", format!("{text:?} cannot be used ({why})"))
}

impl FromStr for Recipient {
    type Err = Error;

    /// Reads a recipient as somebody gives it; a comment after an SSH key is dropped.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let given = Recipient { text: text.to_owned() };
        match given.kind() {
            RecipientKind::X25519 => {
                let parsed: age::x25519::Recipient = text.parse().map_err(|why| unusable(text, why))?;
                Ok(Recipient::of(parsed))
            }
            RecipientKind::Ssh => ssh(text),
            RecipientKind::Plugin(_) => plugin(text),
        }
    }
}

#[cfg(feature = "ssh")]
fn ssh(text: &str) -> Result<Recipient> {
    use age::ssh::ParseRecipientKeyError as Why;
    let parsed: std::result::Result<age::ssh::Recipient, Why> = text.parse();
    parsed.map(Recipient::of).map_err(|why| match why {
        Why::RsaModulusTooSmall => unusable(text, "an RSA key of less than 2048 bits"),
        Why::RsaModulusTooLarge => unusable(text, "an RSA key that is too large"),
        Why::Unsupported(kind) => unusable(text, format!("{kind}: ssh-ed25519 and ssh-rsa can be sealed to")),
        _ => unusable(text, "no SSH public key"),
    })
}

#[cfg(not(feature = "ssh"))]
fn ssh(text: &str) -> Result<Recipient> {
    Err(unusable(text, "this program was built without SSH keys"))
}

#[cfg(feature = "plugin")]
fn plugin(text: &str) -> Result<Recipient> {
    text.parse::<age::plugin::Recipient>().map(Recipient::of).map_err(|why| unusable(text, why))
}

#[cfg(not(feature = "plugin"))]
fn plugin(text: &str) -> Result<Recipient> {
    Err(unusable(text, "this program was built without plugins"))
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Something that wraps a file key, as age sees it.
type Wrapper = Box<dyn age::Recipient>;

fn wrapper(recipient: &Recipient) -> Result<Wrapper> {
    let text = recipient.text.as_str();
    match recipient.kind() {
        RecipientKind::X25519 => {
            let parsed: age::x25519::Recipient = text.parse().map_err(|why| unusable(text, why))?;
            Ok(Box::new(parsed))
        }
        RecipientKind::Ssh => ssh_wrapper(text),
        RecipientKind::Plugin(name) => plugin_wrapper(&name, text),
    }
}

#[cfg(feature = "ssh")]
fn ssh_wrapper(text: &str) -> Result<Wrapper> {
    let parsed: age::ssh::Recipient = text.parse().map_err(|_| unusable(text, "no SSH public key"))?;
    Ok(Box::new(parsed))
}

#[cfg(not(feature = "ssh"))]
fn ssh_wrapper(text: &str) -> Result<Wrapper> {
    ssh(text).map(|_| unreachable!())
}

#[cfg(feature = "plugin")]
fn plugin_wrapper(name: &str, text: &str) -> Result<Wrapper> {
    super::plugin::wrapper(name, text)
}

#[cfg(not(feature = "plugin"))]
fn plugin_wrapper(_: &str, text: &str) -> Result<Wrapper> {
    plugin(text).map(|_| unreachable!())
}

/// Seals `plain` to all recipients as an age file.
pub(crate) fn seal_to(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>> {
    let wrappers = recipients.iter().map(wrapper).collect::<Result<Vec<_>>>()?;
    let all = wrappers.iter().map(|wrapper| wrapper.as_ref());
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
