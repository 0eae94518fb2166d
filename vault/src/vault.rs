//! The vault itself: `vault.json`, manifests by host and serial, the audit log, the lock.
//! Manifests are bytes here; what they mean and whether they are signed by the right key is for others to judge.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::content::ContentHasher;
use crate::error::{Error, Result};
use crate::identity::Recipient;
use crate::store::{Lock, Store, check_name};

/// Version of the format that this program writes.
pub const VERSION: u32 = 1;
const VAULT_JSON: &str = "vault.json";
/// Small objects (vault.json, manifests, keys, audit logs) are refused above this size.
pub(crate) const SMALL: u64 = 256 << 20;

/// What [`Vault::init`] needs.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Public keys that every run is sealed to; at least one.
    pub recipients: Vec<Recipient>,
    /// Bytes of tar stream per segment, and the size above which a file is kept in blocks. 64 MiB unless for tests.
    pub segment_size: u64,
    /// Bytes per block of a large file. 4 MiB unless for tests.
    pub block_size: u64,
}

impl InitOptions {
    /// The usual sizes.
    pub fn new(recipients: Vec<Recipient>) -> Self {
        InitOptions { recipients, segment_size: 64 << 20, block_size: 4 << 20 }
    }
}

/// `vault.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VaultFile {
    format: String,
    version: u32,
    id: String,
    segment_size: u64,
    block_size: u64,
    recipients: Vec<String>,
}

/// An open vault over any store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    pub(crate) store: Arc<dyn Store>,
    id: String,
    pub(crate) segment_size: u64,
    pub(crate) block_size: u64,
    recipients: Vec<Recipient>,
}

impl Vault {
    /// Makes a vault in an empty store.
    pub fn init(store: Arc<dyn Store>, options: &InitOptions) -> Result<Self> {
        if options.recipients.is_empty() {
            return Err(Error::invalid(VAULT_JSON, "a vault needs at least one recipient"));
        }
        check_sizes(options.segment_size, options.block_size)?;
        let mut id = [0; 16];
        crate::seal::random(&mut id)?;
        let file = VaultFile {
            format: "lifeboat-vault".into(),
            version: VERSION,
            id: id.iter().map(|b| format!("{b:02x}")).collect(),
            segment_size: options.segment_size,
            block_size: options.block_size,
            recipients: options.recipients.iter().map(ToString::to_string).collect(),
        };
        let mut text = serde_json::to_vec_pretty(&file).map_err(|e| Error::invalid(VAULT_JSON, e.to_string()))?;
        text.push(b'\n');
        store.write_new(VAULT_JSON, &text)?;
        Vault::open(store)
    }

    /// Opens a vault. A later version is [`crate::Kind::Unsupported`], by name.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: String,
            version: u32,
        }
        let text = store.read(VAULT_JSON, SMALL)?;
        let bad = |e: serde_json::Error| Error::corrupt(VAULT_JSON, e.to_string());
        let head: Version = serde_json::from_slice(&text).map_err(bad)?;
        if head.format != "lifeboat-vault" {
            return Err(Error::corrupt(VAULT_JSON, format!("format {:?} is no vault", head.format)));
        }
        if head.version != VERSION {
            return Err(Error::Unsupported { object: VAULT_JSON.into(), what: format!("version {}", head.version) });
        }
        let file: VaultFile = serde_json::from_slice(&text).map_err(bad)?;
        check_sizes(file.segment_size, file.block_size)?;
        if file.id.len() != 32 || !file.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::corrupt(VAULT_JSON, "malformed id"));
        }
        let recipients = file.recipients.iter().map(|r| r.parse()).collect::<Result<Vec<_>>>()?;
        let VaultFile { id, segment_size, block_size, .. } = file;
        Ok(Vault { store, id, segment_size, block_size, recipients })
    }

    /// The vault's identifier, 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
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

    /// Computes what [`crate::Entry::content`] holds for a file of `size` bytes.
    pub fn content_hasher(&self, size: u64) -> ContentHasher {
        ContentHasher::new(size, self.segment_size, self.block_size)
    }

    /// Stores a manifest and its signature; both must be new. The signature goes first, so a manifest is never without.
    pub fn put_manifest(&self, host: &str, serial: u64, json: &[u8], signature: &[u8]) -> Result<()> {
        let name = manifest_object(host, serial)?;
        self.store.write_new(&format!("{name}.sig"), signature)?;
        self.store.write_new(&name, json)
    }

    /// Hosts with at least one manifest, sorted.
    pub fn hosts(&self) -> Result<Vec<String>> {
        let mut hosts: Vec<String> = self.manifests("manifests")?.into_iter().map(|(host, _)| host).collect();
        hosts.dedup();
        Ok(hosts)
    }

    /// Serials of a host's manifests, ascending.
    pub fn serials(&self, host: &str) -> Result<Vec<u64>> {
        check_host(host)?;
        let mut serials: Vec<u64> =
            self.manifests(&format!("manifests/{host}"))?.into_iter().map(|(_, serial)| serial).collect();
        serials.sort_unstable();
        Ok(serials)
    }

    fn manifests(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let split = |name: String| {
            let (host, file) = name.strip_prefix("manifests/")?.split_once('/')?;
            Some((host.to_owned(), file.strip_suffix(".json")?.parse().ok()?))
        };
        Ok(self.store.list(prefix)?.into_iter().filter_map(split).collect())
    }

    /// A manifest and its signature, as stored. Nothing in them is verified here.
    pub fn manifest(&self, host: &str, serial: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let name = manifest_object(host, serial)?;
        Ok((self.store.read(&name, SMALL)?, self.store.read(&format!("{name}.sig"), SMALL)?))
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

    /// A host's audit log; empty when there is none.
    pub fn audit(&self, host: &str) -> Result<Vec<u8>> {
        check_host(host)?;
        match self.store.read(&format!("audit/{host}.log"), SMALL) {
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}

fn check_sizes(segment_size: u64, block_size: u64) -> Result<()> {
    let fits = (4096..=1 << 30).contains(&segment_size) && (4096..=64 << 20).contains(&block_size);
    if fits && block_size <= segment_size {
        return Ok(());
    }
    Err(Error::invalid(VAULT_JSON, format!("segments of {segment_size} and blocks of {block_size} bytes")))
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
