//! An archive before it is used: that it is the one that was recorded, and whole. Reads it once; changes nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use guests::archive::{self as archives, Form};
use guests::proxmox::names::Name;
use manifest::Digest;
use manifest::host::{Archive, Guest, GuestKind, Held};
use sha2::{Digest as _, Sha256};
use vault::Progress as _;

use crate::progress::Bar;

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
    let file = File::open(path).map_err(|error| missing(path, archive, &error))?;
    read(file, guest, archive).map_err(|why| format!("the archive {shown} {why}"))
}

fn missing(path: &Path, archive: &Archive, error: &io::Error) -> String {
    let hint = match archive.held {
        Held::Captured => "the snapshot held it, so the restore of the tree should have brought it back",
        Held::Referenced => "no snapshot holds it: it must be on its storage, which may not be mounted",
    };
    format!("the archive {} on storage {} cannot be opened: {error}; {hint}", path.display(), archive.storage)
}

fn read(file: File, guest: &Guest, archive: &Archive) -> Result<Vec<String>, String> {
    let bar = Bar::new("checking the archive");
    bar.expect(archive.bytes, 0);
    let mut hashed = Hashed { file, hash: Sha256::new(), bar: &bar };
    let report = archives::verify(&mut hashed);
    // What follows the archive's end, and what a fault has left unread, counts for the digest.
    let rest = io::copy(&mut hashed, &mut io::sink());
    let digest = Digest::from_hash(&hashed.hash.finalize());
    bar.finish();
    rest.map_err(|error| format!("cannot be read: {error}"))?;
    let recorded = archive.sha256.as_ref();
    if recorded.is_some_and(|recorded| *recorded != digest) {
        return Err("is not the one that was recorded: its digest differs".to_owned());
    }
    let mut notes = Vec::new();
    // One that was in the snapshot was held against the snapshot's own digests when it was restored.
    if recorded.is_none() && archive.held == Held::Referenced {
        notes.push("no digest of the archive was recorded, so only its form was checked".to_owned());
    }
    let report = match report {
        Ok(report) => report,
        Err(archives::Error::Unsupported(packing)) => {
            notes.push(format!(
                "the archive is compressed by {packing}, which is not read here: its content was not checked"
            ));
            return Ok(notes);
        }
        Err(error) => return Err(format!("cannot be read: {}", chain(&error))),
    };
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

/// A file that is hashed while it is read.
struct Hashed<'a> {
    file: File,
    hash: Sha256,
    bar: &'a Bar,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bar.advance(read as u64, 0);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "vzdump-lxc-101-2024_01_02-03_04_05.tar.lzo";

    fn checked(name: &str, bytes: &[u8], digest: Option<Digest>, length: u64) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (path_text, storage) = (path.display().to_string(), "local".to_owned());
        let (made, held) = (String::new(), Held::Referenced);
        let archive = Archive { path: path_text, storage, bytes: length, made, sha256: digest, held };
        let (id, name, kind) = ("101".to_owned(), String::new(), GuestKind::Container);
        let guest = Guest { id, name, kind, starts: true, order: None, archive: None, notes: Vec::new() };
        check(&path, &guest, &archive)
    }

    #[test]
    fn an_archive_is_refused_before_it_is_used() {
        let lzo = b"\x89LZO\0\r\n\x1a\n0123456789";
        let length = lzo.len() as u64;
        let notes = checked(NAME, lzo, Some(Digest::of(lzo)), length).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("lzop"));
        assert_eq!(checked(NAME, lzo, None, length).unwrap().len(), 2);
        let why = |name, bytes: &[u8], digest, length| checked(name, bytes, digest, length).unwrap_err();
        assert!(why(NAME, lzo, Some(Digest::of(b"other")), length).contains("its digest differs"));
        assert!(why(NAME, lzo, None, length + 1).contains("was recorded with"));
        assert!(why("vzdump-lxc-102-2024_01_02-03_04_05.tar", lzo, None, length).contains("is one of guest 102"));
        assert!(why("a.tar", b"x", None, 1).contains("is damaged"));
    }
}
