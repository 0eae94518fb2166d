//! Unlock: a key that opens the snapshot, from another medium, by a passphrase, or typed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ext4_view::Ext4;
use fatfs::{FileSystem, FsOptions};
use vault::{Identities, Kind, Vault};

use crate::disks;
use crate::screen::{Answer, Screen, Stage};
use crate::stick::{ReadOnly, Stick};
use crate::stop::{Code, Result, Stop};
use crate::trust::Snapshot;

/// The identity file's name in the root of another medium.
const KEY_FILE: &str = "lifeboat-identity.txt";
/// No identity file is larger; what is larger is not read.
const LARGEST: u64 = 64 * 1024;
/// Wrong passphrases before the rescue stops.
const TRIES: usize = 3;

const ADVICE: &str = "Use the recovery identity that this vault was made with, or its passphrase.";

/// Gets a key that opens `snapshot`. `attended` says that somebody may be asked; none is an answer that did not come.
///
/// # Errors
/// 12 when keys were given and none opens it, or nobody may be asked.
pub fn unlock(
    screen: &Screen,
    vault: &Vault,
    stick: &Stick,
    snapshot: &Snapshot,
    attended: bool,
) -> Result<Option<Identities>> {
    screen.stage(Stage::Unlock);
    let mut wrong = Vec::new();
    let mut sealed = vault.sealed_identities()?;
    for (path, file) in key_files(stick) {
        if Identities::needs_passphrase(&file) {
            sealed.push((format!("{KEY_FILE} on {}", path.display()), file));
            continue;
        }
        match read_file(&file).and_then(|key| try_key(vault, snapshot, key)) {
            Ok(key) => {
                screen.say(&format!("Unlocked by {KEY_FILE} on {}.", path.display()));
                return Ok(Some(key));
            }
            Err(stop) => wrong.push(format!("{KEY_FILE} on {}: {stop}", path.display())),
        }
    }
    wrong.iter().for_each(|line| screen.say(line));
    if !attended {
        let why =
            if wrong.is_empty() { format!("no {KEY_FILE} was found on another medium") } else { wrong.join("; ") };
        return Err(Stop::new(Code::WrongKey, why, ADVICE));
    }
    match by_hand(screen, vault, stick, snapshot, &sealed)? {
        Some(key) => Ok(Some(key)),
        None if wrong.is_empty() => Ok(None),
        None => Err(Stop::new(Code::WrongKey, wrong.join("; "), ADVICE)),
    }
}

fn by_hand(
    screen: &Screen,
    vault: &Vault,
    stick: &Stick,
    snapshot: &Snapshot,
    sealed: &[Sealed],
) -> Result<Option<Identities>> {
    let prompt = if sealed.is_empty() {
        screen.say(&format!(
            "The backup is sealed. Plug in the medium with {KEY_FILE} and press Enter, or type the key."
        ));
        "Recovery key (AGE-SECRET-KEY-1...): "
    } else {
        screen.say("The backup is sealed. Type the passphrase, or the recovery key (AGE-SECRET-KEY-1...).");
        "Passphrase: "
    };
    let mut tries = 0;
    while tries < TRIES {
        let Answer::Line(line) = screen.ask("identity", prompt, true) else { return Ok(None) };
        let key = line.trim().to_ascii_uppercase();
        let tried = if line.is_empty() {
            match key_files(stick).into_iter().next() {
                Some((_, file)) => read_file(&file),
                None => {
                    nowhere(screen, stick);
                    continue;
                }
            }
        } else if key.starts_with("AGE-SECRET-KEY-") {
            Identities::from_file_text(&key).map_err(Stop::from)
        } else {
            by_passphrase(sealed, &line, |text| screen.say(text))
        };
        match tried.and_then(|key| try_key(vault, snapshot, key)) {
            Ok(key) => return Ok(Some(key)),
            Err(stop) if matches!(stop.code, Code::WrongKey | Code::Failed) => {
                screen.say(&format!("Not this one: {stop}"))
            }
            Err(stop) => return Err(stop),
        }
        tries += 1;
    }
    Err(Stop::new(Code::WrongKey, format!("{TRIES} keys were tried and none opens the backup"), ADVICE))
}

/// Says why no identity was found: what was looked at, and what is read.
fn nowhere(screen: &Screen, stick: &Stick) {
    screen.say(&format!(
        "No {KEY_FILE} was found. It must lie in the root folder of a medium with FAT or ext4; exFAT and NTFS are not read. What is here:"
    ));
    let media = disks::contents(&stick.disk);
    if media.is_empty() {
        screen.say("  no medium but the stick");
    }
    media.iter().for_each(|line| screen.say(&format!("  {line}")));
}

/// An identity file under a passphrase, and where it lies.
type Sealed = (String, Vec<u8>);

/// The first identity that the passphrase opens. What is wrong with a file is said, and the next one tried.
fn by_passphrase(sealed: &[Sealed], passphrase: &str, say: impl Fn(&str)) -> Result<Identities> {
    say("Trying the passphrase. This takes some seconds.");
    for (name, file) in sealed {
        match Identities::from_passphrase_file(file, passphrase) {
            Ok(key) => return Ok(key),
            Err(error) if error.kind() == Kind::WrongKey => {}
            Err(error) => say(&format!("{name}: {error}")),
        }
    }
    Err(Stop::new(Code::WrongKey, "the passphrase opens no identity on this stick or beside it", ADVICE))
}

/// An identity file without a passphrase: age's, or an SSH private key.
fn read_file(file: &[u8]) -> Result<Identities> {
    let text =
        std::str::from_utf8(file).map_err(|_| Stop::new(Code::Failed, format!("{KEY_FILE} is no text"), ADVICE))?;
    Ok(Identities::from_file_text(text)?)
}

/// A key counts when it opens the catalogue.
fn try_key(vault: &Vault, snapshot: &Snapshot, key: Identities) -> Result<Identities> {
    vault.catalogue(&snapshot.contents, &key)?;
    Ok(key)
}

/// Identity files in the root of vfat and ext filesystems on every medium but the stick. Nothing is mounted.
fn key_files(stick: &Stick) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in disks::names().into_iter().filter(|name| *name != stick.disk) {
        let mut devices: Vec<PathBuf> = disks::partitions(&name).into_iter().map(|partition| partition.path).collect();
        if devices.is_empty() {
            devices.push(Path::new("/dev").join(&name));
        }
        for device in devices {
            if let Some(file) = from_ext(&device).or_else(|| from_fat(&device).ok()) {
                found.push((device, file));
            }
        }
    }
    found
}

fn from_ext(device: &Path) -> Option<Vec<u8>> {
    let volume = Ext4::load(Box::new(File::open(device).ok()?)).ok()?;
    let path = format!("/{KEY_FILE}");
    let size = volume.metadata(path.as_str()).ok()?.len();
    if size > LARGEST {
        return None;
    }
    volume.read(path.as_str()).ok()
}

fn from_fat(device: &Path) -> io::Result<Vec<u8>> {
    let mut sector = [0; 512];
    File::open(device)?.read_exact(&mut sector)?;
    if sector[510..] != [0x55, 0xaa] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let volume = FileSystem::new(ReadOnly(File::open(device)?), FsOptions::new().update_accessed_date(false))?;
    let file = volume.root_dir().open_file(KEY_FILE)?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
