//! Boot slots on the ESP: writing one whole, reading it back, and then switching to it.

use anyhow::Context as _;
use jiff::Timestamp;
use layout::Guid;
use manifest::{
    BootFile, BootSlot, Digest, FORMAT, HostKey, HostName, Serial, Signer, SlotName, TrustRoot, Unverified, VaultId,
    Verified, seal,
};

use super::esp::Esp;
use super::grub::EspFile;
use super::slice::Medium;
use super::system::{self, System};
use super::table::Place;
use crate::exit::{Exit, refusal};

/// Which slot GRUB starts: a file of fixed length, so that switching is one sector written in place.
const SWITCH: &str = "boot/grub/slot.cfg";

/// Whom a slot belongs to.
pub struct Owner<'a> {
    /// The stick's disk GUID.
    pub stick: &'a Guid,
    /// The vault on it.
    pub vault: &'a VaultId,
    /// The host.
    pub host_name: &'a HostName,
    /// The host's key.
    pub key: &'a HostKey,
    /// Whose signatures the rescue accepts.
    pub signers: &'a [Signer],
    /// The newest snapshot when the slot is written.
    pub newest: Serial,
}

impl Owner<'_> {
    /// Digest over all that a slot is made of: the system, and whom it trusts.
    ///
    /// # Errors
    /// When the keys cannot be encoded.
    pub fn inputs(&self, system: &System) -> anyhow::Result<Digest> {
        let trust = serde_json::to_vec(&(&system.inputs, self.stick, self.vault, self.host_name, self.signers))?;
        Ok(Digest::of(&trust))
    }
}

/// The slots of one stick.
pub struct Slots<'a> {
    esp: Esp<'a>,
}

impl<'a> Slots<'a> {
    /// The slots on the ESP at `place`.
    pub fn at(medium: &'a dyn Medium, place: Place) -> Self {
        Self { esp: Esp::at(medium, place) }
    }

    /// Writes a slot and signs what it boots with. `common` are the files that both slots boot with, as they were built or verified: what
    /// merely lies on the ESP is never signed.
    ///
    /// # Errors
    /// When the medium cannot be written.
    pub fn write(
        &self,
        slot: SlotName,
        system: &System,
        compressed: &[u8],
        owner: &Owner,
        common: &[BootFile],
    ) -> anyhow::Result<BootSlot> {
        let now = Timestamp::now();
        let trust = TrustRoot {
            format: FORMAT,
            stick: owner.stick.clone(),
            slot,
            vault: owner.vault.clone(),
            host_name: owner.host_name.clone(),
            signers: owner.signers.to_vec(),
            newest_serial: owner.newest,
            created: now,
        };
        let initrd = system::with_trust(&trust, compressed)?;
        let folder = folder(slot);
        let mut files = common.to_vec();
        files.push(boot_file(format!("{folder}/vmlinuz"), &system.kernel));
        files.push(boot_file(format!("{folder}/initrd.img"), &initrd));
        let description = BootSlot {
            format: FORMAT,
            slot,
            stick: owner.stick.clone(),
            host_name: owner.host_name.clone(),
            created: now,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: system.release.clone(),
            inputs: owner.inputs(system)?,
            files,
        };
        let (json, signature) = seal(&description, owner.key)?;
        self.esp.remove_folder(&folder)?;
        self.esp.write(&[
            (format!("{folder}/vmlinuz"), system.kernel.as_slice()),
            (format!("{folder}/initrd.img"), initrd.as_slice()),
            (format!("{folder}/slot.json"), json.as_slice()),
            (format!("{folder}/slot.json.sig"), signature.as_slice()),
        ])?;
        Ok(description)
    }

    /// A file on the ESP; none where there is no such file.
    ///
    /// # Errors
    /// When the medium cannot be read.
    pub fn file(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        self.esp.read(path)
    }

    /// Checks every file of a slot against its signed description.
    ///
    /// # Errors
    /// When a signature is refused or a file is not what was signed.
    pub fn check(&self, slot: SlotName, trusted: &[Signer]) -> anyhow::Result<Verified<BootSlot>> {
        let description = self.description(slot, trusted)?.with_context(|| format!("boot slot {slot} is empty"))?;
        for file in &description.files {
            let content = self.esp.read(&file.path)?.unwrap_or_default();
            if content.len() as u64 != file.size || Digest::of(&content) != file.sha256 {
                let message = format!(
                    "{} on the stick is not what this host signed: it was changed, or the medium is failing; make the stick anew",
                    file.path
                );
                return Err(refusal(Exit::Corrupt, message));
            }
        }
        Ok(description)
    }

    /// The signed description of a slot; none where the slot is empty.
    ///
    /// # Errors
    /// When it is there and refused.
    pub fn description(&self, slot: SlotName, trusted: &[Signer]) -> anyhow::Result<Option<Verified<BootSlot>>> {
        let folder = folder(slot);
        let json = self.esp.read(&format!("{folder}/slot.json"))?;
        let signature = self.esp.read(&format!("{folder}/slot.json.sig"))?;
        let (Some(json), Some(signature)) = (json, signature) else { return Ok(None) };
        Ok(Some(Unverified { json: &json, signature: &signature }.verify(trusted)?))
    }

    /// The slot that GRUB starts.
    ///
    /// # Errors
    /// When the ESP cannot be read.
    pub fn active(&self) -> anyhow::Result<SlotName> {
        let text = self.esp.read(SWITCH)?.unwrap_or_default();
        Ok(if text == switch(SlotName::B).as_bytes() { SlotName::B } else { SlotName::A })
    }

    /// Makes GRUB start `slot`.
    ///
    /// # Errors
    /// When the ESP cannot be written.
    pub fn switch_to(&self, slot: SlotName) -> anyhow::Result<()> {
        self.esp.overwrite(SWITCH, switch(slot).as_bytes())
    }

    /// Makes the ESP anew, with the menu and the switch on slot A. What the firmware starts is not among it.
    ///
    /// # Errors
    /// When the medium cannot be written.
    pub fn format(&self, serial: u32, menu: &[EspFile]) -> anyhow::Result<()> {
        self.esp.format(serial)?;
        self.put(menu)?;
        self.esp.write(&[(SWITCH.to_owned(), switch(SlotName::A).as_bytes())])
    }

    /// Puts files on the ESP.
    ///
    /// # Errors
    /// When the medium cannot be written.
    pub fn put(&self, files: &[EspFile]) -> anyhow::Result<()> {
        let files: Vec<(String, &[u8])> =
            files.iter().map(|(path, content)| (path.clone(), content.as_slice())).collect();
        self.esp.write(&files)
    }
}

fn folder(slot: SlotName) -> String {
    format!("lifeboat/{slot}")
}

fn switch(slot: SlotName) -> String {
    format!("set slot={slot}\n")
}

/// A file as a slot describes it.
pub fn boot_file(path: String, content: &[u8]) -> BootFile {
    BootFile { path, size: content.len() as u64, sha256: Digest::of(content) }
}
