//! Unlock: a key that opens the snapshot, from another medium, by a passphrase, or typed.

use std::fs::{self, File};
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
    for (path, text) in key_files(stick) {
        let opened =
            Identities::from_file_text(&text).map_err(Stop::from).and_then(|key| try_key(vault, snapshot, key));
        match opened {
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
    match by_hand(screen, vault, stick, snapshot)? {
        Some(key) => Ok(Some(key)),
        None if wrong.is_empty() => Ok(None),
        None => Err(Stop::new(Code::WrongKey, wrong.join("; "), ADVICE)),
    }
}

fn by_hand(screen: &Screen, vault: &Vault, stick: &Stick, snapshot: &Snapshot) -> Result<Option<Identities>> {
    let sealed = sealed_identities(stick);
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
        let tried = if line.is_empty() {
            match key_files(stick).into_iter().next() {
                Some((_, text)) => Identities::from_file_text(&text).map_err(Stop::from),
                None => continue,
            }
        } else if line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            Identities::from_file_text(&line.to_ascii_uppercase()).map_err(Stop::from)
        } else {
            by_passphrase(screen, &sealed, &line)
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

fn by_passphrase(screen: &Screen, sealed: &[PathBuf], passphrase: &str) -> Result<Identities> {
    screen.say("Trying the passphrase. This takes some seconds.");
    for path in sealed {
        let Ok(bytes) = fs::read(path) else { continue };
        match Identities::from_passphrase_file(&bytes, passphrase) {
            Ok(key) => return Ok(key),
            Err(error) if error.kind() == Kind::WrongKey => {}
            Err(error) => screen.say(&format!("{}: {error}", path.display())),
        }
    }
    Err(Stop::new(Code::WrongKey, "the passphrase opens no identity on this stick", ADVICE))
}

/// A key counts when it opens the catalogue.
fn try_key(vault: &Vault, snapshot: &Snapshot, key: Identities) -> Result<Identities> {
    vault.catalogue(&snapshot.contents, &key)?;
    Ok(key)
}

fn sealed_identities(stick: &Stick) -> Vec<PathBuf> {
    let entries = fs::read_dir(stick.data("vault/identities")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "age"));
    paths.sort_unstable();
    paths
}

/// Identity files in the root of vfat and ext filesystems on every medium but the stick. Nothing is mounted.
fn key_files(stick: &Stick) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in disks::names().into_iter().filter(|name| *name != stick.disk) {
        let mut devices: Vec<PathBuf> = disks::partitions(&name).into_iter().map(|partition| partition.path).collect();
        if devices.is_empty() {
            devices.push(Path::new("/dev").join(&name));
        }
        for device in devices {
            if let Some(text) = from_ext(&device).or_else(|| from_fat(&device).ok()) {
                found.push((device, text));
            }
        }
    }
    found
}

fn from_ext(device: &Path) -> Option<String> {
    let volume = Ext4::load(Box::new(File::open(device).ok()?)).ok()?;
    let path = format!("/{KEY_FILE}");
    let size = volume.metadata(path.as_str()).ok()?.len();
    if size > LARGEST {
        return None;
    }
    volume.read_to_string(path.as_str()).ok()
}

fn from_fat(device: &Path) -> io::Result<String> {
    let mut sector = [0; 512];
    File::open(device)?.read_exact(&mut sector)?;
    if sector[510..] != [0x55, 0xaa] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let volume = FileSystem::new(ReadOnly(File::open(device)?), FsOptions::new().update_accessed_date(false))?;
    let file = volume.root_dir().open_file(KEY_FILE)?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}
