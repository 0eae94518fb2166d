//! Taking a folder away, many files at once.
//!
//! Where the filesystem is mounted with `discard`, each removed file waits for the device: a million of them one after
//! the other take an hour, side by side a minute.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;

/// Requests that a device takes at once.
const WORKERS: usize = 128;

/// Removes a file or a folder with everything in it; what is not there is as good.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    let result = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => empty(path).and_then(|()| std::fs::remove_dir_all(path)),
        Ok(_) => std::fs::remove_file(path),
    };
    result.with_context(|| format!("removing {}", path.display()))
}

/// Removes everything but the folders.
fn empty(folder: &Path) -> std::io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        let found = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        for entry in found {
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        next += 1;
    }
    let left = Mutex::new(folders);
    let take = || left.lock().ok().and_then(|mut folders| folders.pop());
    std::thread::scope(|scope| {
        let work = || -> std::io::Result<()> {
            while let Some(folder) = take() {
                remove_files(&folder)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let ended =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect()
    })
}

fn remove_files(folder: &PathBuf) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_goes_and_nothing_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (gone, kept) = (folder.path().join("gone"), folder.path().join("kept"));
        std::fs::create_dir_all(gone.join("a/b")).unwrap();
        std::fs::create_dir(&kept).unwrap();
        for file in [gone.join("one"), gone.join("a/b/two"), kept.join("three")] {
            std::fs::write(file, "text").unwrap();
        }
        std::os::unix::fs::symlink(&kept, gone.join("a/link")).unwrap();
        remove(&gone).unwrap();
        remove(&gone).unwrap();
        assert!(!gone.exists() && kept.join("three").exists());
        remove(&kept.join("three")).unwrap();
        assert!(!kept.join("three").exists());
    }
}
