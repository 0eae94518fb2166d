//! Where things lie under `target/`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A folder under `target/`, made now if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let path = workspace().join("target").join(name);
    std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// An empty folder under `target/vm-run` for one scenario; what an earlier run left there is removed.
///
/// # Errors
/// When it cannot be made.
pub fn scratch(scenario: &str) -> anyhow::Result<PathBuf> {
    let path = workspace().join("target/vm-run").join(scenario);
    if path.exists() {
        std::fs::remove_dir_all(&path).with_context(|| format!("emptying {}", path.display()))?;
    }
    std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// Waits until no other process holds `name`, and holds it until the file is dropped.
///
/// # Errors
/// When the lock file cannot be made.
pub fn hold(name: &str) -> anyhow::Result<File> {
    let path = folder("vm-locks")?.join(name);
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

/// The folder for the machines' logs.
///
/// # Errors
/// When it cannot be made.
pub fn logs() -> anyhow::Result<PathBuf> {
    folder("vm-logs")
}

/// A program of the workspace, built with the same profile as the one that runs now.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    // A test lies one folder deeper, in `deps`.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| {
        let folder = own.parent().unwrap_or(Path::new("."));
        format!("no program `{name}` beside {}: build the workspace with the same profile first", folder.display())
    })
}
