//! What opens the machine's encrypted containers when they are brought back.

use layout::crypttab::KeyFile;
use serde::{Deserialize, Serialize};

/// A LUKS container whose header is kept, sealed, beside the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its UUID.
    pub uuid: String,
    /// The name that it was opened by.
    pub name: String,
    /// The key file that crypttab names, where it was there when the machine was captured.
    pub key_file: Option<KeyFile>,
    /// Its volume key is kept too, sealed.
    pub volume_key: bool,
}

impl Container {
    /// Name of the sealed header among the snapshot's private parts.
    #[must_use]
    pub fn header_part(uuid: &str) -> String {
        format!("luks/{uuid}/header")
    }

    /// Name of the sealed volume key among the snapshot's private parts.
    #[must_use]
    pub fn volume_key_part(uuid: &str) -> String {
        format!("luks/{uuid}/volume-key")
    }

    /// Whether a restore can open it with nobody there.
    #[must_use]
    pub fn is_unattended(&self) -> bool {
        self.key_file.is_some() || self.volume_key
    }

    /// What opens it in a restore, for people.
    #[must_use]
    pub fn opened_by(&self) -> String {
        match (&self.key_file, self.volume_key) {
            (Some(file), _) => format!("opened by its key file {}, unattended too", file.path),
            (None, true) => "opened by its kept volume key, unattended too".to_owned(),
            (None, false) => "opened by a passphrase that is typed: no unattended restore".to_owned(),
        }
    }
}
