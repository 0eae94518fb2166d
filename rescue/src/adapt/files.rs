//! Small files of the restored system that are made or changed. The folders around them keep their times, and what was there is kept beside.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path};

use super::Adaptation;
use crate::report::put_back;

/// What the name of a file that was changed ends with, as it was before.
const BEFORE: &str = ".before-restore";

/// A file's text; none where it is no file, or behind a link.
pub fn text(root: &Path, path: &str) -> Option<String> {
    (is_straight(root, path) && !is_link(root, path)).then(|| fs::read_to_string(root.join(path)).ok())?
}

/// Writes `path` anew, with these permissions. The folders that it needs are made.
///
/// # Errors
/// When it cannot be written, or a link is on the way.
pub fn put(root: &Path, path: &str, text: &str, mode: u32, reason: &str, done: &mut Adaptation) -> io::Result<()> {
    refuse_link(root, path)?;
    within(root, path, |whole| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(whole)?;
        file.write_all(text.as_bytes())
    })?;
    done.place(&format!("/{path}"), reason);
    Ok(())
}

/// Makes a folder with these permissions, where there is none.
///
/// # Errors
/// As [`put`].
pub fn folder(root: &Path, path: &str, mode: u32) -> io::Result<()> {
    within(root, path, |whole| DirBuilder::new().recursive(true).mode(mode).create(whole))
}

/// Gives an existing file another text, and keeps the old one beside it.
///
/// # Errors
/// As [`put`].
pub fn change(root: &Path, path: &str, text: &str, reason: &str, done: &mut Adaptation) -> io::Result<()> {
    let kept = format!("{path}{BEFORE}");
    refuse_link(root, path)?;
    refuse_link(root, &kept)?;
    within(root, path, |whole| {
        fs::copy(whole, root.join(&kept))?;
        // In place: owner and permissions stay.
        fs::write(whole, text)
    })?;
    done.place(&format!("/{path}"), reason);
    done.place(&format!("/{kept}"), "what was there before");
    Ok(())
}

/// Links `path` to `target`, in the place of whatever link is there.
///
/// # Errors
/// As [`put`].
pub fn link(root: &Path, path: &str, target: &str, reason: &str, done: &mut Adaptation) -> io::Result<()> {
    within(root, path, |whole| {
        // A restore that went on after a cut may have made it before.
        let _ = fs::remove_file(whole);
        symlink(target, whole)
    })?;
    done.place(&format!("/{path}"), reason);
    Ok(())
}

/// Renames a file.
///
/// # Errors
/// As [`put`].
pub fn rename(root: &Path, from: &str, to: &str, reason: &str, done: &mut Adaptation) -> io::Result<()> {
    within(root, from, |whole| fs::rename(whole, root.join(to)))?;
    done.place(&format!("/{from}"), reason);
    done.place(&format!("/{to}"), reason);
    Ok(())
}

/// Does something to `path`, and gives the folders above it the times that they had.
fn within(root: &Path, path: &str, act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if !is_straight(root, path) {
        return Err(io::Error::other(format!("a link is on the way to /{path}")));
    }
    let whole = root.join(path);
    let above = || whole.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
    let times: Vec<_> = above().filter_map(|folder| Some((folder, fs::symlink_metadata(folder).ok()?))).collect();
    if let Some(parent) = whole.parent() {
        fs::create_dir_all(parent)?;
    }
    let acted = act(&whole);
    times.iter().try_for_each(|(folder, found)| put_back(folder, found))?;
    acted
}

/// A link that is absolute leads to the rescue's own files, not to the restored system's.
fn is_link(root: &Path, path: &str) -> bool {
    fs::symlink_metadata(root.join(path)).is_ok_and(|found| found.is_symlink())
}

fn refuse_link(root: &Path, path: &str) -> io::Result<()> {
    if is_link(root, path) { Err(io::Error::other(format!("/{path} is a link"))) } else { Ok(()) }
}

/// Whether no link is on the way to `path`: one could lead out of the restored system, or to a filesystem that is not encrypted.
pub fn is_straight(root: &Path, path: &str) -> bool {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let mut above = Path::new(path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    plain && above.all(|path| fs::symlink_metadata(root.join(path)).map_or(true, |found| found.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_kept_beside_and_its_folder_keeps_its_time() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/hosts"), "old").unwrap();
        let time = || fs::metadata(root.path().join("etc")).unwrap().modified().unwrap();
        let before = time();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut done = Adaptation::default();
        change(root.path(), "etc/hosts", "new", "why", &mut done).unwrap();
        assert_eq!(text(root.path(), "etc/hosts").unwrap(), "new");
        assert_eq!(text(root.path(), "etc/hosts.before-restore").unwrap(), "old");
        assert_eq!(time(), before);
        assert_eq!(done.reason(b"etc/hosts"), Some("why"));
        assert!(done.reason(b"etc/hosts.before-restore").is_some());
    }

    #[test]
    fn no_link_leads_out_of_the_restored_system() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("etc")).unwrap();
        let mut done = Adaptation::default();
        assert!(put(root.path(), "etc/hosts", "x", 0o644, "why", &mut done).is_err());
        assert!(put(root.path(), "../hosts", "x", 0o644, "why", &mut done).is_err());
        assert_eq!(text(root.path(), "etc/hosts"), None);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        // Nor one in the file's own place.
        fs::write(outside.path().join("file"), "theirs").unwrap();
        symlink(outside.path().join("file"), root.path().join("hosts")).unwrap();
        assert!(put(root.path(), "hosts", "x", 0o644, "why", &mut done).is_err());
        assert!(change(root.path(), "hosts", "x", "why", &mut done).is_err());
        assert_eq!(text(root.path(), "hosts"), None);
        assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "theirs");
        assert!(done.places.is_empty());
    }
}
