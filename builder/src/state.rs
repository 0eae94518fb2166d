//! What this host remembers: its signing key, the vaults and sticks it knows, and the newest serial of each.
//!
//! Lies in `/var/lib/lifeboat`, or where `LIFEBOAT_STATE` says. Losing it costs one full run and, for the key, new
//! sticks; it holds no secret that opens a backup.

mod keys;
mod memory;

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

pub use self::memory::KnownDescription;

use anyhow::Context as _;
use layout::Guid;
use manifest::{Digest, HostKey, HostName, Serial, Signer, VaultId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, refusal};
use crate::location::Location;

const DEFAULT_PATH: &str = "/var/lib/lifeboat";
const KEY_FILE: &str = "host_ed25519";

/// The state folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// The newest snapshot that this host knows of in a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    /// Its number.
    pub serial: Serial,
    /// SHA-256 of its manifest.
    pub digest: Digest,
}

/// A stick that this host made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownStick {
    /// Disk GUID.
    pub guid: Guid,
    /// Device or file it was made on.
    pub target: PathBuf,
    /// The vault on it.
    pub vault: VaultId,
}

impl State {
    /// The folder that the environment names, or the default one.
    pub fn here() -> Self {
        let folder = std::env::var_os("LIFEBOAT_STATE").map_or_else(|| DEFAULT_PATH.into(), PathBuf::from);
        Self::at(folder)
    }

    /// The state in `folder`.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the host's signing key lies.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join(KEY_FILE)
    }

    /// The host's signing key.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn host_key(&self) -> anyhow::Result<HostKey> {
        let path = self.folder.join(KEY_FILE);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refusal(
                Exit::Failed,
                format!(
                    "this host has no signing key ({}); make one with `lifeboat init` or `lifeboat create`",
                    path.display()
                ),
            ),
            _ => anyhow::Error::new(error).context(format!("reading {}", path.display())),
        })?;
        HostKey::from_openssh(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// The host's signing key, made now if there is none.
    ///
    /// # Errors
    /// When it cannot be read or made.
    pub fn host_key_or_new(&self, host: &HostName) -> anyhow::Result<HostKey> {
        if self.folder.join(KEY_FILE).try_exists()? {
            return self.host_key();
        }
        let key = HostKey::generate(&format!("lifeboat@{host}"))?;
        self.write(KEY_FILE, key.to_openssh()?.as_bytes())?;
        self.write("host_ed25519.pub", format!("{} lifeboat@{host}\n", key.public()).as_bytes())?;
        Ok(key)
    }

    /// The folder of the cache for `vault`; all caches lie in one folder, which is never captured.
    pub fn cache(&self, vault: &str) -> PathBuf {
        self.folder.join("cache").join(vault)
    }

    /// The newest snapshot known.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn newest(&self, vault: &str, host: &HostName) -> anyhow::Result<Option<Newest>> {
        self.read_json(&format!("vaults/{vault}/newest-{host}.json"))
    }

    /// Remembers the newest snapshot.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_newest(&self, vault: &str, host: &HostName, newest: &Newest) -> anyhow::Result<()> {
        self.write_json(&format!("vaults/{vault}/newest-{host}.json"), newest)
    }

    /// The newest snapshot that this host knows of at `place`: a copy may lag behind the vault that it was made from.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn newest_at(&self, vault: &str, host: &HostName, place: &Location) -> anyhow::Result<Option<Newest>> {
        match self.read_json(&copy_name(vault, host, place))? {
            Some(newest) => Ok(Some(newest)),
            None => self.newest(vault, host),
        }
    }

    /// Remembers what was copied to `place`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_copy(&self, vault: &str, host: &HostName, place: &Location, newest: &Newest) -> anyhow::Result<()> {
        self.write_json(&copy_name(vault, host, place), newest)
    }

    /// What lies at `place` is no copy any more: this host writes to it.
    ///
    /// # Errors
    /// When the note is there and cannot be removed.
    pub fn forget_copy(&self, vault: &str, host: &HostName, place: &Location) -> anyhow::Result<()> {
        let path = self.folder.join(copy_name(vault, host, place));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The stick made or used last.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn stick(&self) -> anyhow::Result<Option<KnownStick>> {
        self.read_json("stick.json")
    }

    /// Remembers the stick.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_stick(&self, stick: &KnownStick) -> anyhow::Result<()> {
        self.write_json("stick.json", stick)
    }

    /// A file of the state; none when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.folder.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_json::from_slice(&text).map(Some).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes a file of the state, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        self.write(name, &serde_json::to_vec_pretty(value)?)
    }

    /// Writes a file that only root reads, whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        write_secret(folder, &path, bytes).with_context(|| format!("writing {}", path.display()))
    }
}

/// File of what is known of a copy. Places are told apart by a digest: they hold bytes that no file's name may.
fn copy_name(vault: &str, host: &HostName, place: &Location) -> String {
    let path = place.path().and_then(|path| path.canonicalize().ok());
    let place = path.map_or_else(|| place.to_string(), |path| path.display().to_string());
    format!("vaults/{vault}/copy-{}-{host}.json", &Digest::of(place.as_bytes()).as_str()[..16])
}

fn write_secret(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(folder)?.sync_all()
}

/// The signers of an allowed signers file; keys of other kinds are passed over.
///
/// # Errors
/// When the file cannot be read, a line cannot be used, or it names no usable key (exit 2).
pub fn read_signers(path: &Path) -> anyhow::Result<Vec<Signer>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let signers = Signer::read_all(&text).map_err(|(line, error)| {
        refusal(Exit::Usage, format!("{}, line {line}: {error}; nothing was done", path.display()))
    })?;
    if signers.is_empty() {
        return Err(refusal(Exit::Usage, format!("{} names no ssh-ed25519 key", path.display())));
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = State { folder: folder.path().join("state") };
        let host = "node".parse().unwrap();
        assert_eq!(crate::exit::exit_of(&state.host_key().unwrap_err()), Exit::Failed);
        let made = state.host_key_or_new(&host).unwrap().public();
        assert_eq!(state.host_key_or_new(&host).unwrap().public(), made);
        let mode = fs::metadata(state.folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(state.trusted().unwrap(), vec![Signer::from(made)]);
    }

    #[test]
    fn signers_are_read_as_ssh_keygen_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signers");
        let key = HostKey::generate("x").unwrap().public();
        fs::write(&file, format!("# comment\nnode namespaces=\"lifeboat-manifest\" {key} node\n")).unwrap();
        assert_eq!(read_signers(&file).unwrap()[0].key, key);
        fs::write(&file, "nothing\n").unwrap();
        assert!(read_signers(&file).is_err());
    }
}
