//! Opening a vault to read: which one, whose signatures count, and its snapshots as verified manifests.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use manifest::{HostName, PublicKey, Serial, Unverified, Verified};
use vault::Vault;

use crate::cli::Reading;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::medium;
use crate::state::read_signers;

/// A manifest with what our archive engine recorded.
pub type Manifest = manifest::Manifest<vault::Contents>;

/// A vault that is open for reading.
pub struct Opened {
    /// The vault.
    pub vault: Vault,
    /// The host whose snapshots are read.
    pub host: HostName,
    trusted: Vec<PublicKey>,
    place: PathBuf,
}

impl Opened {
    /// Opens what the arguments, the configuration or the state name.
    ///
    /// # Errors
    /// When there is no vault (10), nobody's signature counts (20), or the host is not clear (2).
    pub fn open(context: &Context, args: &Reading) -> anyhow::Result<Self> {
        let place = match &args.vault {
            Some(place) => place.clone(),
            None => default_place(context)?,
        };
        let vault = medium::open(&place)?;
        let trusted = match &args.signers {
            Some(file) => read_signers(file)?,
            None => context.state.trusted()?,
        };
        if trusted.is_empty() {
            return Err(refusal(
                Exit::Signature,
                "nobody's signature counts here: this host has no key of its own. Name the keys that you trust with --signers FILE; \
                 the stick's own list proves nothing",
            ));
        }
        let host = choose_host(&vault, args.host.as_deref(), context)?;
        Ok(Self { vault, host, trusted, place })
    }

    /// Where the vault is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Every snapshot's number, oldest first.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn serials(&self) -> anyhow::Result<Vec<Serial>> {
        let mut serials: Vec<Serial> = self.vault.serials(self.host.as_str())?.into_iter().map(Serial).collect();
        serials.sort();
        Ok(serials)
    }

    /// One manifest, its signature checked and its place confirmed.
    ///
    /// # Errors
    /// When it is not there (10), refused (20) or not what its place says (21).
    pub fn manifest(&self, serial: Serial) -> anyhow::Result<Verified<Manifest>> {
        read_manifest(&self.vault, &self.host, serial, &self.trusted)
    }

    /// The manifest that `choice` names: `latest` or a number.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); a number that is not there is exit 10.
    pub fn choose(&self, choice: &str) -> anyhow::Result<Verified<Manifest>> {
        let serials = self.serials()?;
        let serial = match choice {
            "latest" => serials.last().copied(),
            number => {
                let wanted: u64 = number.parse().map_err(|_| {
                    refusal(Exit::Usage, format!("the snapshot {number:?}: `latest` or a number is wanted"))
                })?;
                serials.into_iter().find(|serial| serial.0 == wanted)
            }
        };
        let serial = serial.ok_or_else(|| {
            refusal(
                Exit::NoVault,
                format!("there is no snapshot {choice} of {} in {}", self.host, self.place.display()),
            )
        })?;
        self.manifest(serial)
    }

    /// What [`choose`](Self::choose) gave for `choice`; refused when it is the latest here and this host knows of a later one.
    ///
    /// # Errors
    /// Exit 22 when the vault is older than what this host knows.
    pub fn unless_rolled_back(
        &self,
        context: &Context,
        choice: &str,
        manifest: Verified<Manifest>,
    ) -> anyhow::Result<Verified<Manifest>> {
        if choice == "latest" {
            let known = context.state.newest(self.vault.id(), &self.host)?;
            refuse_rollback(known.as_ref(), Some(&manifest), &self.place.to_string_lossy())?;
        }
        Ok(manifest)
    }

    /// Snapshots other than `refused` of which something can be restored: manifest, catalogue and its key hold.
    pub fn others_that_hold(&self, refused: Option<Serial>) -> Vec<Serial> {
        let serials = self.serials().unwrap_or_default();
        let holds = |serial: &Serial| {
            let manifest = self.manifest(*serial).ok();
            manifest.is_some_and(|manifest| self.vault.check_index(&manifest.contents).is_ok())
        };
        serials.into_iter().filter(|serial| Some(*serial) != refused).filter(holds).collect()
    }

    /// Every manifest, oldest first; each must follow the one before it, and none that this host knows may be missing.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest), and 22 when the vault is older than what this host knows.
    pub fn chain(&self, context: &Context) -> anyhow::Result<Vec<Verified<Manifest>>> {
        let manifests: Vec<_> =
            self.serials()?.into_iter().map(|serial| self.manifest(serial)).collect::<anyhow::Result<_>>()?;
        check_chain(&manifests)?;
        let known = context.state.newest(self.vault.id(), &self.host)?;
        refuse_rollback(known.as_ref(), manifests.last(), &self.place.to_string_lossy())?;
        Ok(manifests)
    }
}

/// Reads one manifest from its place in a vault and checks its signature and that it belongs there.
///
/// # Errors
/// When it is not there (10), refused (20) or not what its place says (21).
pub fn read_manifest(
    vault: &Vault,
    host: &HostName,
    serial: Serial,
    trusted: &[PublicKey],
) -> anyhow::Result<Verified<Manifest>> {
    let (json, signature) = vault.manifest(host.as_str(), serial.0)?;
    let manifest: Verified<Manifest> = Unverified { json: &json, signature: &signature }
        .verify(trusted)
        .with_context(|| format!("the manifest of snapshot {serial} of {host}"))?;
    let fits = manifest.serial == serial && manifest.host_name == *host && manifest.vault.as_str() == vault.id();
    if fits {
        return Ok(manifest);
    }
    Err(refusal(
        Exit::Corrupt,
        format!(
            "the manifest of snapshot {serial} of {host} is that of snapshot {} of {} in vault {}: it was moved",
            manifest.serial, manifest.host_name, manifest.vault
        ),
    ))
}

/// Checks that each manifest names the one before it. A gap (what was pruned) is no break; a wrong digest is.
fn check_chain(manifests: &[Verified<Manifest>]) -> anyhow::Result<()> {
    for pair in manifests.windows(2) {
        let [earlier, later] = pair else { continue };
        let follows = later.serial.0 == earlier.serial.0 + 1;
        if follows && later.previous.as_ref() != Some(earlier.digest()) {
            return Err(refusal(
                Exit::Corrupt,
                format!(
                    "snapshot {} does not follow snapshot {}: one of the two was replaced",
                    later.serial, earlier.serial
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses a vault whose newest snapshot is older than the newest that this host knows of.
pub fn refuse_rollback(
    known: Option<&crate::state::Newest>,
    newest: Option<&Verified<Manifest>>,
    place: &str,
) -> anyhow::Result<()> {
    let Some(known) = known else { return Ok(()) };
    let found = newest.map_or(Serial(0), |newest| newest.serial);
    let same = newest.is_some_and(|newest| newest.serial == known.serial && *newest.digest() == known.digest);
    if found > known.serial || same {
        return Ok(());
    }
    Err(refusal(
        Exit::RolledBack,
        format!(
            "{place} holds snapshot {found} as its newest, and this host knows of snapshot {} there: the vault was rolled back or replaced",
            known.serial
        ),
    ))
}

fn choose_host(vault: &Vault, named: Option<&str>, context: &Context) -> anyhow::Result<HostName> {
    if let Some(name) = named {
        return name.parse().map_err(|error| refusal(Exit::Usage, format!("{error}")));
    }
    let hosts = vault.hosts()?;
    let own = context.config.host_name()?;
    match hosts.as_slice() {
        [] => Ok(own),
        [only] => only.parse().map_err(|error| refusal(Exit::Corrupt, format!("the vault's host folder: {error}"))),
        several if several.iter().any(|name| name == own.as_str()) => Ok(own),
        several => Err(refusal(
            Exit::Usage,
            format!("the vault holds several hosts, name one with --host: {}", several.join(", ")),
        )),
    }
}

/// The configured vault or stick, else the stick made last, wherever it is plugged in now.
fn default_place(context: &Context) -> anyhow::Result<PathBuf> {
    match context.config.vault.as_ref().or(context.config.stick.as_ref()) {
        Some(place) => Ok(place.clone()),
        None => medium::find_known(context),
    }
}
