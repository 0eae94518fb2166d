//! An archive before it is used: that it is the one that was recorded, and whole. Reads it once; changes nothing.

use std::fs;
use std::io;
use std::path::Path;

use guests::archive::{self as archives, Form};
use guests::proxmox::names::Name;
use manifest::host::{Archive, Guest, GuestKind, Held};

use crate::hashed::Hashed;

/// Reads the archive that lies at `path`; what could not be looked at.
///
/// # Errors
/// Why it is not to be used, in words.
pub fn check(path: &Path, guest: &Guest, archive: &Archive) -> Result<Vec<String>, String> {
    let shown = path.display();
    if let Some(Name::Archive(name)) =
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok())
        && name.stem.guest.to_string() != guest.id
    {
        return Err(format!("the archive {shown} is one of guest {}", name.stem.guest));
    }
    // A pipe of this name would hold whoever opens it.
    let metadata = fs::metadata(path).map_err(|error| missing(path, archive, &error))?;
    if !metadata.is_file() {
        return Err(format!("the archive {shown} is no file"));
    }
    if metadata.len() != archive.bytes {
        return Err(format!(
            "the archive {shown} has {} bytes, and was recorded with {}",
            metadata.len(),
            archive.bytes
        ));
    }
    let file = Hashed::open(path, "checking the archive").map_err(|error| missing(path, archive, &error))?;
    read(file, guest, archive).map_err(|why| format!("the archive {shown} {why}"))
}

fn missing(path: &Path, archive: &Archive, error: &io::Error) -> String {
    let hint = match archive.held {
        Held::Captured => "the snapshot held it, so the restore of the tree should have brought it back",
        Held::Referenced => "no snapshot holds it: it must be on its storage, which may not be mounted",
    };
    format!("the archive {} on storage {} cannot be opened: {error}; {hint}", path.display(), archive.storage)
}

fn read(mut file: Hashed, guest: &Guest, archive: &Archive) -> Result<Vec<String>, String> {
    let report = archives::verify(&mut file);
    // What follows the archive's end, and what a fault has left unread, counts for the digest.
    let digest = file.finish().map_err(|error| format!("cannot be read: {error}"))?;
    let recorded = archive.sha256.as_ref();
    if recorded.is_some_and(|recorded| *recorded != digest) {
        return Err("is not the one that was recorded: its digest differs".to_owned());
    }
    let mut notes = Vec::new();
    // One that was in the snapshot was held against the snapshot's own digests when it was restored.
    if recorded.is_none() && archive.held == Held::Referenced {
        notes.push("no digest of the archive was recorded, so only its form was checked".to_owned());
    }
    let report = report.map_err(|error| format!("cannot be read: {}", chain(&error)))?;
    let wanted = if guest.kind == GuestKind::Machine { Form::Vma } else { Form::Tar };
    if !report.sound() {
        return Err(format!("is damaged: {}", report.summary()));
    }
    if report.form != wanted {
        return Err("is not of the form that a guest of this kind has".to_owned());
    }
    Ok(notes)
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[cfg(test)]
mod tests {
    use manifest::Digest;

    use super::*;

    const NAME: &str = "vzdump-lxc-101-2024_01_02-03_04_05.tar.lzo";

    fn checked(name: &str, bytes: &[u8], digest: Option<Digest>, length: u64) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (path_text, storage) = (path.display().to_string(), "local".to_owned());
        let (made, held, offline) = (String::new(), Held::Referenced, Vec::new());
        let archive = Archive { path: path_text, storage, bytes: length, made, sha256: digest, held, offline };
        let (id, name, kind) = ("101".to_owned(), String::new(), GuestKind::Container);
        let guest = Guest { id, name, kind, starts: true, order: None, archive: None, notes: Vec::new() };
        check(&path, &guest, &archive)
    }

    #[test]
    fn an_archive_is_refused_before_it_is_used() {
        let lzo = include_bytes!("../../../guests/fixtures/packing/container.tar.lzo");
        let length = lzo.len() as u64;
        assert_eq!(checked(NAME, lzo, Some(Digest::of(lzo)), length), Ok(Vec::new()));
        assert_eq!(checked(NAME, lzo, None, length).unwrap().len(), 1);
        let why = |name, bytes: &[u8], digest, length| checked(name, bytes, digest, length).unwrap_err();
        assert!(why(NAME, lzo, Some(Digest::of(b"other")), length).contains("its digest differs"));
        assert!(why(NAME, lzo, None, length + 1).contains("was recorded with"));
        assert!(why(NAME, &lzo[..100], None, 100).contains("cut off"));
        assert!(why("vzdump-lxc-102-2024_01_02-03_04_05.tar", lzo, None, length).contains("is one of guest 102"));
        assert!(why("a.tar", b"x", None, 1).contains("is damaged"));
    }
}
