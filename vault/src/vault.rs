//! The vault itself: its description, manifests by host and serial, the audit log, the lock.
//! Manifests are bytes here; what they mean and whether they are signed by the right key is for others to judge.

use std::sync::Arc;

use crate::contents::RunRef;
use crate::description::{self, Described, Description, Holder};
use crate::error::{Error, Result};
use crate::identity::{Identities, Recipient};
use crate::seal::RunKey;
use crate::store::{Lock, Store, check_name};

/// Version of the format that this program writes.
pub const VERSION: u32 = 1;
const IDENTITIES: &str = "identities";
/// A sealed identity file is small.
const IDENTITY_LIMIT: u64 = 64 << 10;
/// Small objects (vault.json, manifests, keys, audit logs) are refused above this size.
pub(crate) const SMALL: u64 = 256 << 20;
/// An SSHSIG with the longest RSA key is below 4 KiB.
pub(crate) const SIGNATURE: u64 = 64 << 10;

/// What [`Vault::init`] needs.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Public keys that every run is sealed to; at least one.
    pub recipients: Vec<Recipient>,
    /// Bytes of tar stream per segment, and the size above which a file is kept in blocks. 64 MiB unless for tests.
    pub segment_size: u64,
    /// Fewest bytes per block of a large file; each has a size of its own. 32 KiB unless for tests.
    pub block_size: u64,
}

impl InitOptions {
    /// The usual sizes.
    pub fn new(recipients: Vec<Recipient>) -> Self {
        InitOptions { recipients, segment_size: 64 << 20, block_size: 32 << 10 }
    }
}

/// An open vault over any store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    pub(crate) store: Arc<dyn Store>,
    described: Arc<Described>,
    pub(crate) segment_size: u64,
    pub(crate) block_size: u64,
    recipients: Vec<Recipient>,
    place: Option<String>,
    /// Opened without a description.
    pub(crate) salvaged: bool,
}

impl Vault {
    /// Makes a vault in an empty store, with a description that nobody signed.
    pub fn init(store: Arc<dyn Store>, options: &InitOptions) -> Result<Self> {
        let holders = options.recipients.iter().cloned().map(Holder::from).collect();
        let description = Description::first(options, holders, String::new())?;
        Vault::init_described(store, &description, None)
    }

    /// Makes a vault in an empty store, with its description and the signature over it.
    pub fn init_described(store: Arc<dyn Store>, description: &Description, signature: Option<&[u8]>) -> Result<Self> {
        description::put(store.as_ref(), description, signature)?;
        Vault::open(store)
    }

    /// Opens a vault. A later version is [`crate::Kind::Unsupported`], by name. Whether the description is signed, and by whom, is not judged here.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let described = Described::read(store.as_ref())?;
        let Description { segment_size, block_size, .. } = described.description;
        let recipients = described.description.recipients.iter().map(|holder| holder.recipient.clone()).collect();
        let described = Arc::new(described);
        Ok(Vault { store, described, segment_size, block_size, recipients, place: None, salvaged: false })
    }

    /// A vault whose description is damaged or gone, to read what is left: no snapshot needs it. `id` is what a verified manifest says. It
    /// has no recipients, so nothing can be backed up into it.
    pub fn salvage(store: Arc<dyn Store>, id: &str) -> Self {
        let described = Arc::new(Described::salvaged(id));
        let Description { segment_size, block_size, .. } = described.description;
        Vault { store, described, segment_size, block_size, recipients: Vec::new(), place: None, salvaged: true }
    }

    /// Puts a new description into force; it must follow the present one ([`Described::next`]). The caller holds the lock.
    pub fn describe(&self, description: &Description, signature: &[u8]) -> Result<Self> {
        if description.number != self.described.description.number + 1 {
            return Err(Error::invalid(description.object(), "does not follow the description in force"));
        }
        description::put(self.store.as_ref(), description, Some(signature))?;
        Ok(Vault { place: self.place.clone(), ..Vault::open(self.store.clone())? })
    }

    /// The description in force, with the bytes that it was read from.
    pub fn described(&self) -> &Described {
        &self.described
    }

    /// The signature over the description in force; none where there is no such file.
    pub fn description_signature(&self) -> Result<Option<Vec<u8>>> {
        match self.store.read(&format!("{}.sig", self.described.description.object()), SIGNATURE) {
            Err(Error::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Gives the vault's place a name that stays the same between runs: a path, a stick's GUID. For memories of what was seen there.
    #[must_use]
    pub fn named(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The name of the vault's place, where somebody gave it one.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Recovery identities that are kept in the vault, sealed by a passphrase: name and age file.
    pub fn sealed_identities(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let names = self.store.list(IDENTITIES)?.into_iter().filter(|name| name.ends_with(".age"));
        names.map(|name| self.store.read(&name, IDENTITY_LIMIT).map(|file| (name, file))).collect()
    }

    /// Keeps a recovery identity that is sealed by a passphrase, as `identities/<name>.age`.
    pub fn put_sealed_identity(&self, name: &str, file: &[u8]) -> Result<()> {
        self.store.write_new(&format!("{IDENTITIES}/{name}.age"), file)
    }

    /// Whether `identities` open the key of a run; [`crate::Kind::WrongKey`] when they do not.
    pub fn opens(&self, run: &RunRef, identities: &Identities) -> Result<()> {
        RunKey::open(run, self.store.as_ref(), identities).map(drop)
    }

    /// The vault's identifier, 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.described.description.id
    }

    /// The public keys that runs are sealed to.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Takes the exclusive lock: one writer at a time. [`crate::Kind::Locked`] when another process has it.
    /// [`Vault::backup`] expects its caller to hold it, so that backup, manifest and audit line are one step.
    pub fn lock(&self) -> Result<Lock> {
        self.store.lock()
    }

    /// Stores a manifest and its signature; both must be new. The signature goes first, so a manifest is never without.
    pub fn put_manifest(&self, host: &str, serial: u64, json: &[u8], signature: &[u8]) -> Result<()> {
        let name = manifest_object(host, serial)?;
        self.store.write_new(&format!("{name}.sig"), signature)?;
        self.store.write_new(&name, json)
    }

    /// Refuses a serial that has a manifest, and removes what a cut run left under one that has none: its catalogue, its
    /// signature. Without a manifest nothing refers to them.
    pub(crate) fn free_serial(&self, host: &str, serial: u64, catalogue: &str) -> Result<()> {
        let there = |name: &str| match self.store.size(name) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        let manifest = manifest_object(host, serial)?;
        if there(&manifest)? {
            return Err(Error::invalid(manifest, "exists already; a snapshot needs a new serial"));
        }
        for left in [catalogue.to_owned(), format!("{manifest}.sig")] {
            if there(&left)? {
                self.store.remove(&left)?;
            }
        }
        Ok(())
    }

    /// Hosts with at least one manifest, sorted.
    pub fn hosts(&self) -> Result<Vec<String>> {
        let mut hosts: Vec<String> = self.manifest_names()?.into_iter().map(|name| name.host).collect();
        hosts.dedup();
        Ok(hosts)
    }

    /// Serials of a host's manifests, ascending.
    pub fn serials(&self, host: &str) -> Result<Vec<u64>> {
        check_host(host)?;
        let names = crate::manifests::list(self.store.as_ref(), &format!("manifests/{host}"))?;
        let mut serials: Vec<u64> = names.into_iter().map(|name| name.serial).collect();
        serials.dedup();
        Ok(serials)
    }

    /// The manifest of a snapshot and its signature, as stored; the amended one where it has taken the place of the first.
    /// Nothing in them is verified here.
    pub fn manifest(&self, host: &str, serial: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let name = manifest_object(host, serial)?;
        match self.store.read(&name, SMALL) {
            Err(Error::NotFound { .. }) => self.amended_manifest(host, serial),
            json => Ok((json?, self.store.read(&format!("{name}.sig"), SIGNATURE).map_err(Error::listed)?)),
        }
    }

    /// Appends one line to a host's audit log.
    pub fn audit_append(&self, host: &str, line: &str) -> Result<()> {
        check_host(host)?;
        let name = format!("audit/{host}.log");
        if line.contains('\n') {
            return Err(Error::invalid(name, "an audit line must not contain a newline"));
        }
        self.store.append(&name, format!("{line}\n").as_bytes())
    }

    /// Ends a line that a cut write left without its newline.
    pub fn audit_end_line(&self, host: &str) -> Result<()> {
        check_host(host)?;
        self.store.append(&format!("audit/{host}.log"), b"\n")
    }

    /// A host's audit log; empty when there is none.
    pub fn audit(&self, host: &str) -> Result<Vec<u8>> {
        check_host(host)?;
        match self.store.read(&format!("audit/{host}.log"), SMALL) {
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// A host is named by letters, digits, `.`, `_` and `-`, not starting with a dot.
pub(crate) fn check_host(host: &str) -> Result<()> {
    if host.contains('/') || host.len() > 200 {
        return Err(Error::invalid(host, "not usable as the name of a host"));
    }
    check_name(host)
}

fn manifest_object(host: &str, serial: u64) -> Result<String> {
    check_host(host)?;
    Ok(format!("manifests/{host}/{serial}.json"))
}
