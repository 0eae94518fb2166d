//! What a platform knows and keeps in no file of the tree: it is put into files below Lifeboat's own folder, for root alone, before the
//! tree is read.
//!
//! ```text
//! /var/lib/lifeboat/exports/PLATFORM/NAME
//! ```
//!
//! What an earlier run has put there is removed: it may be of guests that are gone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use manifest::host::Gap;

use super::Found;
use crate::capture::gap;
use crate::revival::record::Record;

/// A file that is put into the tree.
#[derive(Debug)]
pub(super) struct Export {
    /// Its name, which the platform's module has made of what cannot leave the folder.
    pub(super) name: String,
    pub(super) text: String,
}

/// Writes a platform's files. One that cannot be written, or would not be captured, is a gap.
pub(super) fn keep(found: &mut Found, state: &Path, is_captured: impl Fn(&Path) -> bool, gaps: &mut Vec<Gap>) {
    let folder = state.join("exports").join(Record::platform_word(found.kind));
    if let Err(error) = write(&folder, &found.exports) {
        gaps.push(gap(
            folder.to_string_lossy(),
            format!("what {} keeps in no file cannot be put there: {error}", found.kind),
        ));
        return;
    }
    if found.exports.is_empty() {
        return;
    }
    if !is_captured(&folder) {
        gaps.push(gap(
            folder.to_string_lossy(),
            format!("what {} keeps in no file lies there, and the snapshot does not hold it", found.kind),
        ));
    }
    let names: Vec<&str> = found.exports.iter().map(|export| export.name.as_str()).collect();
    found.note(format!("what {} keeps in no file lies in {}: {}", found.kind, folder.display(), names.join(", ")));
}

fn write(folder: &Path, exports: &[Export]) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        // Nothing is to be written, and who may not look there has put nothing there.
        _ if exports.is_empty() => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for export in exports {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&export.name))?;
        file.write_all(export.text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

    use std::os::unix::fs::PermissionsExt as _;

    use manifest::host::PlatformKind;

    use super::*;

    #[test]
    fn an_export_is_for_root_alone_and_goes_with_its_guest() {
        let state = tempfile::tempdir().unwrap();
        let export = || Export { name: "a.xml".to_owned(), text: "<domain/>".to_owned() };
        let mut found = Found { exports: vec![export()], ..Found::new(PlatformKind::Libvirt) };
        let mut gaps = Vec::new();
        keep(&mut found, state.path(), |_| true, &mut gaps);
        let file = state.path().join("exports/libvirt/a.xml");
        assert_eq!(fs::read_to_string(&file).unwrap(), "<domain/>");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(gaps.is_empty() && found.notes.len() == 1);
        keep(&mut found, state.path(), |_| false, &mut gaps);
        assert_eq!(gaps.len(), 1, "it would not be in the snapshot");
        found.exports.clear();
        keep(&mut found, state.path(), |_| true, &mut gaps);
        assert!(!file.exists());
    }
}
