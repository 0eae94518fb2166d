//! Trust: nothing on the stick is believed before its signature has been checked against the trust root in this initramfs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use manifest::{
    BootFile, BootSlot, Digest, DocumentError, Manifest, Serial, Signer, TrustRoot, Unverified, Verified,
    check_description,
};
use sha2::{Digest as _, Sha256};
use vault::{Contents, FolderStore, Vault};

use crate::screen::{Screen, Stage};
use crate::stick::Stick;
use crate::stop::{Code, OrStop, Result, Stop};

/// A snapshot whose manifest has been checked.
pub type Snapshot = Verified<Manifest<Contents>>;

/// What the stick holds, once checked.
pub struct Trusted {
    /// The vault.
    pub vault: Vault,
    /// Its snapshots of this host, oldest first; never empty.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots whose objects have been compared with their digests in this run.
    sealed: RefCell<BTreeSet<Serial>>,
}

impl Trusted {
    /// The newest snapshot.
    pub fn newest(&self) -> Serial {
        self.snapshots.last().map_or(Serial(0), |snapshot| snapshot.serial)
    }

    /// The snapshot of this number.
    pub fn snapshot(&self, serial: Serial) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.serial == serial)
    }
}

const OTHER_COPY: &str = "Do not use this stick. Use another copy of it, and find out who changed this one.";

/// Checks the boot slot and every manifest.
///
/// # Errors
/// 20, 21 or 22, with what differs.
pub fn trust(screen: &Screen, stick: &Stick, root: &TrustRoot) -> Result<Trusted> {
    screen.stage(Stage::Trust);
    let slot = check_slot(stick, root)?;
    let created = slot.created.strftime("%Y-%m-%d %H:%M UTC");
    screen.say(&format!("Boot slot {}: {} files as signed on {created}.", slot.slot, slot.files.len()));
    let trusted = check_vault(stick, root)?;
    if let Some(doubt) = doubt(&trusted.vault, &root.signers) {
        screen.say(&doubt);
    }
    let snapshots = match trusted.snapshots.len() {
        1 => "1 snapshot".to_owned(),
        several => format!("{several} snapshots"),
    };
    screen.say(&format!("Vault {}: {snapshots}, signatures and chain hold.", root.vault));
    Ok(trusted)
}

fn refused(error: &DocumentError, what: &str) -> Stop {
    let code = match error {
        DocumentError::Signature(_) => Code::Signature,
        DocumentError::Format { .. } => Code::Failed,
        DocumentError::Content { .. } => Code::Corrupt,
    };
    Stop::new(code, format!("{what} is refused: {error}"), OTHER_COPY)
}

fn check_slot(stick: &Stick, root: &TrustRoot) -> Result<Verified<BootSlot>> {
    let path = format!("lifeboat/{}/slot.json", root.slot);
    let read = |path: &str| {
        stick.read_boot_file(path).or_stop(Code::Corrupt, format!("reading {path} on the stick"), OTHER_COPY)
    };
    let (json, signature) = (read(&path)?, read(&format!("{path}.sig"))?);
    let document = Unverified { json: &json, signature: &signature };
    let slot: Verified<BootSlot> = document.verify(&root.signers).map_err(|error| refused(&error, &path))?;
    if slot.slot != root.slot || slot.stick != root.stick || slot.host_name != root.host_name {
        let message = format!(
            "{path} is for slot {} of stick {} of host {}, and not for slot {} of stick {} of host {}",
            slot.slot, slot.stick, slot.host_name, root.slot, root.stick, root.host_name
        );
        return Err(Stop::new(Code::Signature, message, OTHER_COPY));
    }
    if slot.files.is_empty() {
        return Err(Stop::new(Code::Corrupt, format!("{path} lists no files"), OTHER_COPY));
    }
    for file in &slot.files {
        check_boot_file(stick, file)?;
    }
    Ok(slot)
}

fn check_boot_file(stick: &Stick, file: &BootFile) -> Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let size = stick.with_boot_file(&file.path, |reader| {
        let mut size = 0;
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(size);
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
    });
    let size = size.or_stop(Code::Corrupt, format!("reading {} on the stick", file.path), OTHER_COPY)?;
    let found = Digest::from_hash(&hasher.finalize());
    if size == file.size && found == file.sha256 {
        return Ok(());
    }
    let message = format!(
        "{} on the stick is not the file that was signed: {size} bytes with SHA-256 {found}, signed were {} bytes with {}",
        file.path, file.size, file.sha256
    );
    Err(Stop::new(Code::Corrupt, message, OTHER_COPY))
}

fn check_vault(stick: &Stick, root: &TrustRoot) -> Result<Trusted> {
    let vault = Vault::open(Arc::new(FolderStore::new(stick.data("vault"))))?;
    if vault.id() != root.vault.as_str() {
        let message = format!("the stick holds the vault {}, and this rescue was made for {}", vault.id(), root.vault);
        return Err(Stop::new(Code::Signature, message, OTHER_COPY));
    }
    let host = root.host_name.as_str();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for serial in vault.serials(host)? {
        let (json, signature) = vault.manifest(host, serial)?;
        let name = format!("the manifest of snapshot {serial}");
        let document = Unverified { json: &json, signature: &signature };
        let snapshot: Snapshot = document.verify(&root.signers).map_err(|error| refused(&error, &name))?;
        check_place(root, &snapshot, serial, snapshots.last())?;
        snapshots.push(snapshot);
    }
    let trusted = Trusted { vault, snapshots, sealed: RefCell::default() };
    if trusted.newest() < root.newest_serial {
        let message = format!(
            "the newest snapshot on the stick is {}, but this rescue system was written when there was {}: \
             snapshots were taken away, or the data is an old copy",
            trusted.newest(),
            root.newest_serial
        );
        return Err(Stop::new(Code::RolledBack, message, OTHER_COPY));
    }
    if trusted.snapshots.is_empty() {
        let message = format!("the vault holds no snapshot of {host} yet");
        return Err(Stop::new(Code::NoMedium, message, "Run `lifeboat backup` with this stick on the host first."));
    }
    Ok(trusted)
}

/// What is to be said of the vault's description when nobody trusted signed it. No reason to stop: it says who can open the runs to come, and
/// this stick may be older than the host's present key. What is restored is covered by the manifests.
fn doubt(vault: &Vault, signers: &[Signer]) -> Option<String> {
    let described = vault.described();
    let object = described.description.object();
    let why = match (described.description.created.parse(), vault.description_signature()) {
        (Ok(created), Ok(Some(signature))) => {
            check_description(signers, &described.json, &signature, created).err()?.to_string()
        }
        (Err(_), _) => "it does not say when it was made".to_owned(),
        (_, Ok(None)) => "it has no signature".to_owned(),
        (_, Err(error)) => error.to_string(),
    };
    Some(format!(
        "Note: the list of those who can open this vault ({object}) is not confirmed: {why}. \
         This does not touch what is restored. Check it with `lifeboat key list` before the next backup."
    ))
}

/// Holds a manifest against its name, its host, its vault, and the manifest before it.
fn check_place(root: &TrustRoot, snapshot: &Snapshot, serial: u64, before: Option<&Snapshot>) -> Result<()> {
    let wrong =
        |what: String| Err(Stop::new(Code::Signature, format!("the manifest of snapshot {serial} {what}"), OTHER_COPY));
    if snapshot.serial != Serial(serial) {
        return wrong(format!("is really that of snapshot {}", snapshot.serial));
    }
    if snapshot.host_name != root.host_name || snapshot.vault != root.vault {
        return wrong(format!("is of host {} in vault {}", snapshot.host_name, snapshot.vault));
    }
    // A manifest that was pruned leaves a gap, over which nothing can be said.
    if let Some(before) = before.filter(|before| before.serial.0 + 1 == serial)
        && !snapshot.previous.as_ref().is_some_and(|digest| before.stands_for(digest))
    {
        return wrong(format!("does not follow the one of snapshot {}: the chain is broken", before.serial));
    }
    Ok(())
}

/// Compares every object of a snapshot with its signed digest, before anything is opened or written.
///
/// # Errors
/// 21, naming the objects.
pub fn check_sealed(screen: &Screen, trusted: &Trusted, snapshot: &Snapshot) -> Result<()> {
    if trusted.sealed.borrow().contains(&snapshot.serial) {
        return Ok(());
    }
    let faults = trusted.vault.check_sealed(&snapshot.contents, &screen.meter("checked"))?;
    if faults.is_empty() {
        trusted.sealed.borrow_mut().insert(snapshot.serial);
        screen.say(&format!("Snapshot {}: {} segments as signed.", snapshot.serial, snapshot.contents.segments.len()));
        return Ok(());
    }
    let named: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
    let message = format!(
        "{} objects of snapshot {} are not what was signed: {}",
        faults.len(),
        snapshot.serial,
        named.join("; ")
    );
    Err(Stop::new(Code::Corrupt, message, "Choose another snapshot, or use another copy of this stick."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use manifest::{HostKey, sign_description};
    use vault::{Description, Identities, InitOptions};

    use super::*;

    #[test]
    fn a_description_that_nobody_trusted_signed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let key = HostKey::generate("node").unwrap();
        let options = InitOptions::new(Vec::new());
        let holders = Identities::generate().recipients().into_iter().map(Into::into).collect();
        let description = Description::first(&options, holders, "2026-01-01T00:00:00Z".into()).unwrap();
        let signature = sign_description(&key, &description.to_bytes().unwrap()).unwrap();
        let made = |name: &str, signature: Option<&[u8]>| {
            Vault::init_described(Arc::new(FolderStore::new(folder.path().join(name))), &description, signature)
                .unwrap()
        };
        let signed = made("signed", Some(&signature));
        assert_eq!(doubt(&signed, &[key.public().into()]), None);
        let other = HostKey::generate("other").unwrap().public();
        assert!(doubt(&signed, &[other.into()]).unwrap().contains("not trusted"));
        assert!(doubt(&made("unsigned", None), &[key.public().into()]).unwrap().contains("no signature"));
    }
}
