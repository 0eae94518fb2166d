//! Restore: the trees, straight onto the new filesystems.

use std::path::Path;

use layout::plan::{Plan, Step};
use vault::{EntryPath, Identities, Restore, Restored, Selection, Vault};

use crate::apply::TARGET;
use crate::blocks;
use crate::screen::Screen;
use crate::stop::Result;
use crate::trust::Snapshot;

/// Restores the whole snapshot; `again` leaves alone what an earlier attempt completed. What belongs on the ESP lands in its empty folder
/// and is put there later, by [`mount_points`].
///
/// # Errors
/// As the vault says; entries that could not be restored as they were are in the result.
pub fn everything(
    screen: &Screen,
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    plan: &Plan,
    again: bool,
) -> Result<Restored> {
    let whole =
        Restore { skip_complete: again, except: left_out(plan), ..Restore::new(&snapshot.contents, key, TARGET) };
    let restored = restore(screen, vault, whole, "restored")?;
    if again {
        screen.say(&format!("  {} files were complete already.", restored.skipped));
    }
    Ok(restored)
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
    let some = Restore { select: Selection::Paths(paths), ..Restore::new(&snapshot.contents, key, TARGET) };
    restore(screen, vault, some, "boot files").map(Some)
}

/// Folders that come back empty: mount points of disks that were left out, and that of the volumes' blocks.
pub fn left_out(plan: &Plan) -> Vec<EntryPath> {
    let without = plan.without.iter().filter_map(|path| EntryPath::from_argument(path.as_bytes()));
    without.chain(blocks::folder()).collect()
}

/// Mount points of the filesystems that are made last.
pub fn late_paths(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.after.iter().filter_map(|step| match step {
        Step::Mount { path, .. } => Some(path.as_str()),
        _ => None,
    })
}

/// Restores what is asked for, and says how much of `what` that was.
///
/// # Errors
/// As the vault says.
pub fn restore(screen: &Screen, vault: &Vault, what_of: Restore<'_>, what: &'static str) -> Result<Restored> {
    let meter = screen.meter(what);
    let request = Restore { owner: true, progress: &meter, ..what_of };
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
