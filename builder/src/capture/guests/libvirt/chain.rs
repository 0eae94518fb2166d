//! What the image of a disk builds on. libvirt knows it of guests that run; else the images themselves say it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use guests::libvirt::{Disk, Place};
use guests::qcow2::{HEADER, backing_name};

use crate::capture::source::Source;

/// More than any sane chain has.
const MOST: usize = 64;

/// The files that the disk builds on.
///
/// # Errors
/// In words, when one of them is no file, or cannot be read.
pub(super) fn below(disk: &Disk, path: &str, source: &Source) -> Result<Vec<PathBuf>, String> {
    if !disk.chain.is_empty() {
        return disk.chain.iter().map(of_place).collect();
    }
    // What a guest has written into a raw disk is never taken for a header.
    if disk.format != "qcow2" || !matches!(disk.place, Place::File(_) | Place::Volume { .. }) {
        return Ok(Vec::new());
    }
    let (mut files, mut image) = (Vec::new(), PathBuf::from(path));
    while let Some(name) = backing(&source.path(&image))? {
        if name.contains(':') || files.len() == MOST {
            return Err(format!("{} builds on {name:?}", image.display()));
        }
        // Relative to the image that names it.
        image = image.parent().unwrap_or(Path::new("/")).join(name);
        files.push(image.clone());
    }
    Ok(files)
}

fn of_place(place: &Place) -> Result<PathBuf, String> {
    match place {
        Place::File(path) | Place::Block(path) => Ok(path.into()),
        other => Err(format!("it is in {other}")),
    }
}

fn backing(image: &Path) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", image.display());
    let mut header = [0; HEADER];
    // A device, a pipe, or what is gone has a word of its own.
    if !image.is_file() {
        return Ok(None);
    }
    let file = File::open(image).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() < HEADER as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut header, 0).map_err(failed)?;
    let Some((offset, length)) = backing_name(&header) else { return Ok(None) };
    let mut name = vec![0; length as usize];
    file.read_exact_at(&mut name, offset).map_err(failed)?;
    String::from_utf8(name)
        .map(Some)
        .map_err(|_| format!("{}: the name of its backing file is not UTF-8", image.display()))
}
