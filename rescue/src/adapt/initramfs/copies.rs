//! Copies of an initramfs that a loader reads instead of the one in /boot: `kernel-install` and Proxmox's boot tool put them on the ESP. They are
//! known by their content, so no tool's way of naming them matters.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Depth of folders on an ESP that is looked at.
const DEEPEST: usize = 8;

/// The files below `folder` that are what `image` is, and not it itself.
pub fn of(image: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(image, folder, 0, &mut found);
    found.sort();
    found
}

fn collect(image: &Path, folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEEPEST {
            collect(image, &path, depth + 1, found);
        } else if kind.is_file() && path != image && same(image, &path).unwrap_or(false) {
            found.push(path);
        }
    }
}

/// Makes a copy what `image` is now, whole or not at all. Whoever made it may have done so already.
///
/// # Errors
/// When it cannot be written; then the old one is still there.
pub fn renew(image: &Path, copy: &Path) -> io::Result<()> {
    if copy.is_file() && same(image, copy)? {
        return Ok(());
    }
    let mut name = copy.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = copy.with_file_name(name);
    let written = fs::copy(image, &new).and_then(|_| File::open(&new)?.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, copy)) {
        // A half-written file would only take up the room that is lacking.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        match other.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_found_by_content_and_written_anew_with_their_image() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let own = path("efi/0123/6.1/initrd.img-6.1");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        let content = "initramfs".repeat(20_000);
        for file in [path("image"), own.clone()] {
            fs::write(file, &content).unwrap();
        }
        fs::write(path("efi/0123/6.1/linux"), content.replace('s', "z")).unwrap();
        fs::write(path("efi/other"), "another system's").unwrap();
        let found = of(&path("image"), &path("efi"));
        assert_eq!(found, std::slice::from_ref(&own));
        fs::write(path("image"), "made anew").unwrap();
        for _ in 0..2 {
            renew(&path("image"), &own).unwrap();
            assert_eq!(fs::read_to_string(&own).unwrap(), "made anew");
        }
        assert_eq!(fs::read_dir(own.parent().unwrap()).unwrap().count(), 2, "nothing is left beside it");
        assert_eq!(of(&path("image"), root.path()), [own], "an image is no copy of itself");
    }
}
