//! Restore: the trees, straight onto the new filesystems.

use std::path::Path;

use layout::plan::{Plan, Step};
use vault::{EntryPath, Identities, Restore, Restored, Selection, Vault};

use crate::apply::TARGET;
use crate::screen::Screen;
use crate::stop::Result;
use crate::trust::Snapshot;

/// Restores the whole snapshot. What belongs on the ESP lands in its empty folder and is put there later, by
/// [`mount_points`].
///
/// # Errors
/// As the vault says; entries that could not be restored as they were are in the result.
pub fn everything(screen: &Screen, vault: &Vault, snapshot: &Snapshot, key: &Identities) -> Result<Restored> {
    restore(screen, vault, snapshot, key, Selection::All, "restored")
}

/// Restores what lies on the filesystems that were made last. None where there are none.
///
/// # Errors
/// As [`everything`].
pub fn mount_points(
    screen: &Screen,
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    plan: &Plan,
) -> Result<Option<Restored>> {
    let paths: Vec<EntryPath> = late_paths(plan).filter_map(|path| EntryPath::from_argument(path.as_bytes())).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    restore(screen, vault, snapshot, key, Selection::Paths(paths), "boot files").map(Some)
}

/// Mount points of the filesystems that are made last.
pub fn late_paths(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.after.iter().filter_map(|step| match step {
        Step::Mount { path, .. } => Some(path.as_str()),
        _ => None,
    })
}

fn restore(
    screen: &Screen,
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    select: Selection,
    what: &'static str,
) -> Result<Restored> {
    let meter = screen.meter(what);
    let request =
        Restore { select, owner: true, progress: &meter, ..Restore::new(&snapshot.contents, key, Path::new(TARGET)) };
    let restored = vault.restore(&request)?;
    screen.say(&format!("  {} entries, {} {what}.", restored.entries, layout::Bytes(restored.bytes)));
    for problem in restored.problems.iter().take(20) {
        screen.say(&format!("  {}: {}", problem.path, problem.what));
    }
    Ok(restored)
}

/// `mke2fs` makes a `lost+found` in every filesystem; where the snapshot has none, it goes. To be done first, because it
/// changes the time of the folder that it is in.
pub fn remove_new_lost_found(plan: &Plan, in_snapshot: impl Fn(&[u8]) -> bool) {
    for step in &plan.before {
        let Step::Mount { path, .. } = step else { continue };
        let path = format!("{}/lost+found", path.trim_end_matches('/'));
        if !in_snapshot(path.trim_start_matches('/').as_bytes()) {
            // One that holds something is not mke2fs's.
            let _ = std::fs::remove_dir(Path::new(TARGET).join(path.trim_start_matches('/')));
        }
    }
}
