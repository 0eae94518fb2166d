//! What this host remembers of vaults it worked with, so that taking something back is noticed: the description in force, and the head of
//! its audit log in each place.

use std::collections::BTreeMap;

use manifest::{Digest, HostName};
use serde::{Deserialize, Serialize};

use super::State;

/// A vault's description, as it was accepted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDescription {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// Heads of one host's log by place: copies of a vault have logs of their own length.
type Heads = BTreeMap<String, Digest>;

impl State {
    /// The description of `vault` that was accepted last.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn description(&self, vault: &str) -> anyhow::Result<Option<KnownDescription>> {
        self.read_json(&description_file(vault))
    }

    /// Remembers the description.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_description(&self, vault: &str, description: &KnownDescription) -> anyhow::Result<()> {
        self.write_json(&description_file(vault), description)
    }

    /// Hash of the last line that this host wrote into its log of `vault` in `place`.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn audit_head(&self, vault: &str, host: &HostName, place: &str) -> anyhow::Result<Option<Digest>> {
        let heads: Option<Heads> = self.read_json(&heads_file(vault, host))?;
        Ok(heads.unwrap_or_default().remove(place))
    }

    /// Remembers that line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_audit_head(&self, vault: &str, host: &HostName, place: &str, head: &Digest) -> anyhow::Result<()> {
        let mut heads: Heads = self.read_json(&heads_file(vault, host))?.unwrap_or_default();
        heads.insert(place.to_owned(), head.clone());
        self.write_json(&heads_file(vault, host), &heads)
    }
}

fn description_file(vault: &str) -> String {
    format!("vaults/{vault}/description.json")
}

fn heads_file(vault: &str, host: &HostName) -> String {
    format!("vaults/{vault}/audit-{host}.json")
}
