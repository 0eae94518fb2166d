//! Volumes that get their blocks from files of the snapshot: written when the trees are there, and read back when all is compared.
//!
//! The files themselves come back nowhere: the root filesystem has no room for them, and no use.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{self, Read, Seek, SeekFrom};

use layout::blocks::FOLDER;
use layout::plan::{Fill, Plan};
use vault::{Entry, EntryPath, Identities, Onto, Problem, ProblemKind, Restore, Selection, Vault};

use crate::prove::{self, Difference};
use crate::restore;
use crate::screen::Screen;
use crate::stop::{Code, OrStop, Result};
use crate::trust::Snapshot;

/// Where the folders above the files are made, in memory: nothing else of them is.
const ASIDE: &str = "/run/lifeboat-blocks";

/// The folder of these files, which comes back empty.
pub fn folder() -> Option<EntryPath> {
    EntryPath::from_argument(FOLDER.as_bytes())
}

/// Writes each volume's blocks. What could not be written is named; a volume is never written in part and called whole.
///
/// # Errors
/// As the vault says.
pub fn fill(
    screen: &Screen,
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    plan: &Plan,
) -> Result<Vec<Problem>> {
    if plan.blocks.is_empty() {
        return Ok(Vec::new());
    }
    let (mut onto, mut problems) = (Vec::new(), Vec::new());
    for (fill, entry) in recorded(vault, snapshot, key, plan)? {
        match target(fill, entry) {
            Ok(one) => onto.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    if !onto.is_empty() {
        create_dir_all(ASIDE).or_stop(Code::Io, format!("making {ASIDE}"), "Start the stick again.")?;
        let paths = onto.iter().map(|one| one.path.clone()).collect();
        let some =
            Restore { select: Selection::Paths(paths), onto: &onto, ..Restore::new(&snapshot.contents, key, ASIDE) };
        problems.extend(restore::restore(screen, vault, some, "of volumes")?.problems);
    }
    for problem in &problems {
        screen.say(&format!("  {}: {}", problem.path, problem.what));
    }
    Ok(problems)
}

/// Reads each volume back, and gives what differs, with the number of those that were read.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn compare(vault: &Vault, snapshot: &Snapshot, key: &Identities, plan: &Plan) -> Result<(u64, Vec<Difference>)> {
    let (mut read, mut differences) = (0, Vec::new());
    if plan.blocks.is_empty() {
        return Ok((read, differences));
    }
    for (fill, entry) in recorded(vault, snapshot, key, plan)? {
        let Some(entry) = entry else { continue };
        let device = fill.device.path();
        let found = File::open(&device).and_then(|file| prove::content(&entry, file.take(entry.size)));
        let reason = match found {
            Ok(found) if Some(found) == entry.content => None,
            Ok(_) => Some("its blocks differ".to_owned()),
            Err(error) => Some(format!("reading it: {error}")),
        };
        read += 1;
        differences.extend(reason.map(|reason| Difference { path: device, reason }));
    }
    Ok((read, differences))
}

/// Each volume with its file in the snapshot; none where the capture could not read it.
fn recorded<'a>(
    vault: &Vault,
    snapshot: &Snapshot,
    key: &Identities,
    plan: &'a Plan,
) -> Result<Vec<(&'a Fill, Option<Entry>)>> {
    let mut found: Vec<(&Fill, Option<Entry>)> = plan.blocks.iter().map(|fill| (fill, None)).collect();
    for entry in vault.catalogue(&snapshot.contents, key)? {
        let entry = entry?;
        for (_, own) in found.iter_mut().filter(|(fill, _)| fill.file.as_bytes() == entry.path.as_bytes()) {
            *own = Some(entry.clone());
        }
    }
    Ok(found)
}

fn target(fill: &Fill, entry: Option<Entry>) -> std::result::Result<Onto, Problem> {
    let device = fill.device.path();
    let path = entry.as_ref().map(|entry| entry.path.clone());
    let path = path.or_else(|| EntryPath::from_argument(fill.file.as_bytes())).unwrap_or_else(EntryPath::root);
    let problem = |what: String| Problem { path: path.clone(), kind: ProblemKind::NotRestored, what };
    let Some(entry) = entry else {
        return Err(problem(format!(
            "is not in the snapshot, because its capture could not read it: {device} is empty"
        )));
    };
    let opened = OpenOptions::new().read(true).write(true).open(&device).and_then(|mut file| {
        let size = file.seek(SeekFrom::End(0))?;
        if size < entry.size {
            return Err(io::Error::other(format!("it has {size} bytes, and {} were captured", entry.size)));
        }
        Ok(file)
    });
    let target = opened.map_err(|error| problem(format!("was not written to {device}: {error}")))?;
    Ok(Onto { path, target, zeroed: fill.zeroed })
}
