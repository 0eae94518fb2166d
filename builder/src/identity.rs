//! Recovery identities: the age key files that open backups. Made here, read here, never kept here.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use vault::{Identities, Recipient};

/// Reads an identity file.
///
/// # Errors
/// When it cannot be read or holds no identity.
pub fn read(path: &Path) -> anyhow::Result<Identities> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the identity {}", path.display()))?;
    Identities::from_file_text(&text).with_context(|| format!("reading the identity {}", path.display()))
}

/// The recipients of the identity in `path`; a new identity is written there when the file does not exist.
/// The second value says whether it is new.
///
/// # Errors
/// When the file cannot be read or written.
pub fn recipients_or_new(path: &Path) -> anyhow::Result<(Vec<Recipient>, bool)> {
    if path.try_exists()? {
        return Ok((read(path)?.recipients(), false));
    }
    let identities = Identities::generate();
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(identities.to_file_text().as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("writing the identity {}", path.display()))?;
    Ok((identities.recipients(), true))
}

/// What a person must know about a new identity.
pub fn notice(path: &Path) -> String {
    format!(
        "The recovery identity is in {}.\n\
         It is the only key to the backups. Take it off this machine and keep it apart from the stick, twice:\n\
         on paper, and as lifeboat-identity.txt on another medium. Without it nothing can be restored.",
        path.display()
    )
}
