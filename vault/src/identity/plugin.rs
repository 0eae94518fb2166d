//! Recipients and identities that live outside this program: age's plugin protocol, spoken with `age-plugin-NAME` from `PATH`. The `age`
//! crate starts that program itself; it is the one process that is not run by the `exec` crate.

use age::plugin::{Identity, IdentityPluginV1, Recipient, RecipientPluginV1};
use age::secrecy::SecretString;

use super::Identities;
use crate::error::{Error, Result};

/// A plugin may show a message (touch the token); questions are not answered: nobody may be there.
#[derive(Clone)]
struct Quiet;

impl age::Callbacks for Quiet {
    fn display_message(&self, message: &str) {
        eprintln!("{message}");
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        None
    }
}

fn missing(name: &str, why: impl std::fmt::Display) -> Error {
    let why = why.to_string();
    let why = why.lines().next().unwrap_or_default();
    Error::invalid(format!("age-plugin-{name}"), format!("{why}; install the plugin so that it is in PATH"))
}

/// What wraps a file key for a plugin's recipient.
pub(super) fn wrapper(name: &str, text: &str) -> Result<Box<dyn age::Recipient>> {
    let recipient: Recipient = text.parse().map_err(|why: &str| Error::invalid("recipient", why))?;
    let plugin = RecipientPluginV1::new(name, &[recipient], &[], Quiet).map_err(|why| missing(name, why))?;
    Ok(Box::new(plugin))
}

impl Identities {
    /// Reads an identity file as [`Identities::from_file_text`] does, and lines `AGE-PLUGIN-NAME-1…` as well. The plugin must be in `PATH`.
    pub fn from_file_text_with_plugins(text: &str) -> Result<Self> {
        let is_plugin = |line: &&str| line.trim_start().starts_with("AGE-PLUGIN-");
        let rest: Vec<&str> = text.lines().filter(|line| !is_plugin(line)).collect();
        let mut plugins = Vec::new();
        for line in text.lines().filter(is_plugin) {
            let identity: Identity = line
                .trim()
                .parse()
                .map_err(|why| Error::invalid("identity file", format!("AGE-PLUGIN line: {why}")))?;
            plugins.push(identity);
        }
        let own = rest.iter().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let mut found =
            if own || plugins.is_empty() { Self::from_file_text(&rest.join("\n"))? } else { Self::default() };
        for identity in &plugins {
            let name = identity.plugin();
            let plugin = IdentityPluginV1::new(name, std::slice::from_ref(identity), Quiet);
            found.add(plugin.map_err(|why| missing(name, why))?);
        }
        Ok(found)
    }
}
