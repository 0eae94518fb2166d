//! Whose signatures count on this host, and the change to a new signing key.

use std::fs;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use manifest::{HostKey, HostName, Signer};

use super::{KEY_FILE, State, read_signers};

/// Other hosts' keys, and this host's own earlier ones: an allowed signers file, for people to edit as well.
const SIGNERS: &str = "signers";
/// What keys of hosts are exported for.
const NAMESPACES: &str = "lifeboat-*";

impl State {
    /// Whose signatures count on this host: those in `signers` with their limits, and its own key.
    ///
    /// # Errors
    /// When a key file cannot be read.
    pub fn trusted(&self) -> anyhow::Result<Vec<Signer>> {
        let mut trusted = self.listed()?;
        if self.folder.join(KEY_FILE).try_exists()? {
            trusted.insert(0, self.host_key()?.public().into());
        }
        Ok(trusted)
    }

    /// This host's keys, the present one first, for others to trust: limited to its name and to Lifeboat's documents.
    ///
    /// # Errors
    /// When there is no signing key, or a key file cannot be read.
    pub fn exported(&self, host: &HostName) -> anyhow::Result<Vec<Signer>> {
        let own = self.host_key()?.public();
        let mut listed = self.listed()?;
        listed.retain(|signer| signer.principals == host.as_str());
        let known = listed.iter().position(|signer| signer.key == own);
        let first = known.map_or_else(|| named(own.into(), host), |at| listed.remove(at));
        listed.insert(0, first);
        Ok(listed)
    }

    /// Adds lines to `signers`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_signers(&self, signers: &[Signer]) -> anyhow::Result<()> {
        let mut text = self.signers_text()?;
        for signer in signers {
            text += &format!("{signer}\n");
        }
        self.write(SIGNERS, text.as_bytes())
    }

    /// Makes `new` this host's signing key. What the present key signed until `until` stays accepted; both periods are written down before the
    /// key is replaced, so that a cut leaves either key usable.
    ///
    /// # Errors
    /// When there is no signing key, or the state cannot be written.
    pub fn rotate(&self, host: &HostName, new: &HostKey, until: Timestamp) -> anyhow::Result<()> {
        let old = self.host_key()?.public();
        let mut listed = self.signers_text()?;
        let former = self.listed()?.into_iter().find(|signer| signer.key == old);
        let mut retired = former.clone().unwrap_or_else(|| named(old.into(), host));
        if let Some(former) = former {
            let text = former.to_string();
            listed = listed.lines().filter(|line| line.trim() != text).map(|line| format!("{line}\n")).collect();
        }
        retired.valid_before = Some(until);
        let mut present = named(new.public().into(), host);
        // Clocks are set back a little now and then.
        present.valid_after = Some(Timestamp::now() - SignedDuration::from_hours(1));
        listed += &format!("{retired}\n{present}\n");
        self.write(SIGNERS, listed.as_bytes())?;
        self.write(KEY_FILE, new.to_openssh()?.as_bytes())?;
        self.write("host_ed25519.pub", format!("{} lifeboat@{host}\n", new.public()).as_bytes())
    }

    fn listed(&self) -> anyhow::Result<Vec<Signer>> {
        let path = self.folder.join(SIGNERS);
        if self.signers_text()?.trim().is_empty() { Ok(Vec::new()) } else { read_signers(&path) }
    }

    fn signers_text(&self) -> anyhow::Result<String> {
        let path = self.folder.join(SIGNERS);
        match fs::read_to_string(&path) {
            Ok(text) if text.is_empty() || text.ends_with('\n') => Ok(text),
            Ok(text) => Ok(text + "\n"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
}

fn named(signer: Signer, host: &HostName) -> Signer {
    Signer { principals: host.to_string(), namespaces: Some(NAMESPACES.to_owned()), ..signer }
}
