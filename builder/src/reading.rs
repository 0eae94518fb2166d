//! Opening a vault to read: which one, whose signatures count, and its snapshots as verified manifests.

use anyhow::Context as _;
use manifest::{HostName, Serial, Signer, Unverified, VaultId, Verified};
use vault::Vault;

use crate::cli::Reading;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::location::Location;
use crate::naming::SnapshotName;
use crate::state::read_signers;
use crate::{description, medium};

/// A manifest with what our archive engine recorded.
pub type Manifest = manifest::Manifest<vault::Contents>;

/// A vault that is open for reading.
pub struct Opened {
    /// The vault.
    pub vault: Vault,
    /// The host whose snapshots are read.
    pub host: HostName,
    /// Why the vault's description was passed over, where [`Opened::open_what_is_left`] had to.
    pub wreck: Option<anyhow::Error>,
    trusted: Vec<Signer>,
    place: Location,
}

impl Opened {
    /// Opens what the arguments, the configuration or the state name.
    ///
    /// # Errors
    /// When there is no vault (10), nobody's signature counts (20), or the host is not clear (2).
    pub fn open(context: &Context, args: &Reading) -> anyhow::Result<Self> {
        Self::begin(context, args)?.whole()
    }

    /// Opens it though its description is damaged, gone or not signed: the vault's id is then what the newest manifest that holds says.
    ///
    /// # Errors
    /// As [`open`](Self::open); a damaged `vault.json` only when no manifest holds either (21).
    pub fn open_what_is_left(context: &Context, args: &Reading) -> anyhow::Result<Self> {
        let mut opened = Self::begin(context, args)?;
        let Some(id) = opened.signed_id()? else { return opened.whole() };
        if opened.wreck.is_some() && id.as_str() != opened.vault.id() {
            opened.vault = Vault::salvage(opened.vault.store().clone(), id.as_str());
        }
        Ok(opened)
    }

    fn begin(context: &Context, args: &Reading) -> anyhow::Result<Self> {
        let place = match &args.vault {
            Some(place) => place.clone(),
            None => default_place(context)?,
        };
        let (store, name) = place.store(context)?;
        let (vault, wreck) = match Vault::open(store.clone()) {
            Err(error) if error.kind() == vault::Kind::Corrupt => (Vault::salvage(store, ""), Some(error.into())),
            other => (other.with_context(|| format!("opening the vault in {place}"))?, None),
        };
        Self::judge(context, vault.named(name), wreck, place, args)
    }

    /// The same as [`open`](Self::open) for a vault that is open already, at `place`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(context: &Context, vault: Vault, place: Location, args: &Reading) -> anyhow::Result<Self> {
        Self::judge(context, vault, None, place, args)?.whole()
    }

    fn judge(
        context: &Context,
        vault: Vault,
        mut wreck: Option<anyhow::Error>,
        place: Location,
        args: &Reading,
    ) -> anyhow::Result<Self> {
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
        if wreck.is_none() {
            wreck = description::check_for_reading(context, &vault, &trusted).err();
        }
        let host = choose_host(&vault, args.host.as_deref(), context)?;
        if vault.is_erase_marked() {
            eprintln!("lifeboat: an erase in {place} was cut; what was to be erased may still be there: run it again");
        }
        Ok(Self { vault, host, wreck, trusted, place })
    }

    /// The newest manifest that holds, and the id of the vault that it was written for.
    fn signed_id(&self) -> anyhow::Result<Option<VaultId>> {
        let signed = |serial: &Serial| {
            let manifest = read_signed(&self.vault, &self.host, *serial, &self.trusted).ok()?;
            Some(manifest.vault.clone())
        };
        Ok(self.serials()?.iter().rev().find_map(signed))
    }

    /// Itself, unless the description had to be passed over.
    fn whole(self) -> anyhow::Result<Self> {
        match self.wreck {
            None => Ok(self),
            Some(error) => Err(error.context({
                format!(
                    "opening the vault in {}; its snapshots do not need that file: `lifeboat verify` checks them, \
                     `lifeboat extract --keep-going` gives what they hold",
                    self.place
                )
            })),
        }
    }

    /// Whose signatures count.
    pub fn trusted(&self) -> &[Signer] {
        &self.trusted
    }

    /// A vault that is open already.
    #[cfg(test)]
    pub fn with(vault: Vault, host: HostName, trusted: Vec<Signer>, place: Location) -> Self {
        Self { vault, host, wreck: None, trusted, place }
    }

    /// The hosts that have snapshots here.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn hosts(&self) -> anyhow::Result<Vec<HostName>> {
        let parse = |name: String| {
            name.parse().map_err(|error| refusal(Exit::Corrupt, format!("the vault's host folder: {error}")))
        };
        self.vault.hosts()?.into_iter().map(parse).collect()
    }

    /// The same vault, with the snapshots of another host.
    pub fn for_host(&self, host: HostName) -> Self {
        let (vault, trusted, place) = (self.vault.clone(), self.trusted.clone(), self.place.clone());
        Self { vault, host, wreck: None, trusted, place }
    }

    /// Where the vault is.
    pub fn place(&self) -> &Location {
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

    /// The manifest that `choice` names, see [`SnapshotName`].
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); a snapshot that is not there is exit 10.
    pub fn choose(&self, choice: &str) -> anyhow::Result<Verified<Manifest>> {
        let name: SnapshotName = choice.parse().map_err(|error: String| refusal(Exit::Usage, error))?;
        let serial = name.among(&self.serials()?).ok_or_else(|| {
            refusal(Exit::NoVault, format!("there is no snapshot {choice} of {} in {}", self.host, self.place))
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
            let known = context.state.newest_at(self.vault.id(), &self.host, &self.place)?;
            refuse_rollback(known.as_ref(), Some(&manifest), &self.place.to_string())?;
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
        let known = context.state.newest_at(self.vault.id(), &self.host, &self.place)?;
        refuse_rollback(known.as_ref(), manifests.last(), &self.place.to_string())?;
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
    trusted: &[Signer],
) -> anyhow::Result<Verified<Manifest>> {
    let manifest = read_signed(vault, host, serial, trusted)?;
    in_place(vault, host, serial, manifest)
}

/// Checks the signature of a manifest that was read already, and that it belongs where it was read.
///
/// # Errors
/// When it is refused (20) or not what its place says (21).
pub fn check_manifest(
    vault: &Vault,
    host: &HostName,
    serial: Serial,
    unverified: &Unverified<'_>,
    trusted: &[Signer],
) -> anyhow::Result<Verified<Manifest>> {
    let manifest = unverified.verify(trusted).with_context(|| place_of(host, serial))?;
    in_place(vault, host, serial, manifest)
}

fn in_place(
    vault: &Vault,
    host: &HostName,
    serial: Serial,
    manifest: Verified<Manifest>,
) -> anyhow::Result<Verified<Manifest>> {
    let fits = manifest.serial == serial && manifest.host_name == *host && manifest.vault.as_str() == vault.id();
    if fits {
        return Ok(manifest);
    }
    Err(refusal(
        Exit::Corrupt,
        format!(
            "{} is that of snapshot {} of {} in vault {}: it was moved",
            place_of(host, serial),
            manifest.serial,
            manifest.host_name,
            manifest.vault
        ),
    ))
}

/// Reads one manifest and checks its signature, and nothing else.
fn read_signed(
    vault: &Vault,
    host: &HostName,
    serial: Serial,
    trusted: &[Signer],
) -> anyhow::Result<Verified<Manifest>> {
    let (json, signature) = vault.manifest(host.as_str(), serial.0).map_err(|error| match error.kind() {
        // Of the two files only the signature can be missing without the snapshot being unknown.
        vault::Kind::Corrupt => refusal(Exit::Signature, format!("{error}: a manifest counts only with its signature")),
        _ => error.into(),
    })?;
    Unverified { json: &json, signature: &signature }.verify(trusted).with_context(|| place_of(host, serial))
}

/// How a manifest is named in messages: the object, and what it is.
fn place_of(host: &HostName, serial: Serial) -> String {
    format!("manifests/{host}/{serial}.json (snapshot {serial} of {host})")
}

/// Checks that each manifest names the one before it. A gap (what was pruned) is no break; a wrong digest is.
pub fn check_chain(manifests: &[Verified<Manifest>]) -> anyhow::Result<()> {
    for pair in manifests.windows(2) {
        let [earlier, later] = pair else { continue };
        let follows = later.serial.0 == earlier.serial.0 + 1;
        if follows && !later.previous.as_ref().is_some_and(|digest| earlier.stands_for(digest)) {
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
    let same = newest.is_some_and(|newest| newest.serial == known.serial && newest.stands_for(&known.digest));
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
fn default_place(context: &Context) -> anyhow::Result<Location> {
    match (&context.config.vault, &context.config.stick) {
        (Some(place), _) => Ok(place.clone()),
        (None, Some(stick)) => Ok(stick.clone().into()),
        (None, None) => Ok(medium::find_known(context)?.into()),
    }
}
