//! Guests that are there at the first start: the rescue makes their volumes itself and writes their disks into them, from the archives that
//! have just come back with the trees.
//!
//! 1. [`plan`]: which guests, into which volumes, and whether there is room; from the signed words and the disks' plan alone.
//! 2. [`Brought::restore`]: one guest after the other; [`archive`] reads, [`volume`] writes.
//! 3. [`Brought::prove`]: what was written is read back from the disks and compared, by a [`sum`] that was taken while it was written.
//!
//! All this is done before anything on the disks boots. A guest that fails has its volumes removed and comes back at the first start, as the
//! others do: it never fails the restore of its host. A restore that is cut makes the volume groups anew, and so begins again with these
//! volumes too.

mod archive;
pub mod plan;
mod sum;
mod volume;

use std::path::{Path, PathBuf};

use layout::Bytes;
use layout::lvm::LogicalVolume;
use manifest::host::OfflineGuest;
use serde::Serialize;
use serde_json::json;

use self::plan::{Planned, Target};
use self::sum::Sum;
use crate::screen::Screen;

/// Makes and removes volumes.
pub trait Volumes {
    /// Makes one, and gives the path of its node.
    ///
    /// # Errors
    /// In words.
    fn make(&self, volume: &LogicalVolume, size: Bytes, extent: Bytes) -> Result<PathBuf, String>;

    /// Removes one, with all that is in it.
    ///
    /// # Errors
    /// In words.
    fn remove(&self, volume: &LogicalVolume) -> Result<(), String>;
}

/// A volume that was written, and what must be read back from it.
struct Written {
    volume: LogicalVolume,
    path: PathBuf,
    sum: Sum,
}

impl Written {
    fn name(&self) -> String {
        format!("{}/{}", self.volume.group, self.volume.name)
    }
}

/// Guests that were to be brought back, and what became of each.
#[derive(Default)]
pub struct Brought(Vec<One>);

struct One {
    id: String,
    name: String,
    made: String,
    /// Its volumes; of a guest that failed those that could not be removed again.
    volumes: Vec<Written>,
    failed: Option<String>,
}

/// What the report says of a guest.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What its platform calls it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its disks were written and read back.
    pub restored: bool,
    /// The volumes that were written.
    pub volumes: Vec<String>,
    /// The time of the archive that they come from.
    pub archive: String,
    /// Why it comes back at the first start only.
    pub failed: Option<String>,
}

impl Brought {
    /// Brings the guests back that are planned, from archives below `root`.
    pub fn restore(screen: &Screen, root: &Path, planned: &[Planned<'_>], volumes: &dyn Volumes) -> Self {
        let meter = screen.meter("guests' disks");
        let stored = planned.iter().flat_map(|one| one.targets.iter().flatten()).map(|target| target.disk.stored);
        vault::Progress::expect(&meter, stored.sum(), 0);
        let brought = planned.iter().map(|planned| {
            let one = bring(root, planned, volumes, &|bytes| vault::Progress::advance(&meter, bytes, 0));
            screen.say(&one.line());
            screen.event("guest", json!({"id": one.id, "written": one.failed.is_none(), "why": one.failed}));
            one
        });
        Self(brought.collect())
    }

    /// Reads back what was written; the page cache must be empty. A guest whose volumes are not as they were written has failed.
    pub fn prove(&mut self, volumes: &dyn Volumes, say: &dyn Fn(&str)) {
        for one in self.0.iter_mut().filter(|one| one.failed.is_none()) {
            match one.volumes.iter().try_for_each(read_back) {
                Ok(()) => say(&format!("  guest {}: its disks were read back", one.id)),
                Err(why) => {
                    one.fail(why, volumes);
                    say(&one.line());
                }
            }
        }
    }

    /// There was none to bring back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first start must know.
    pub fn words(&self) -> Vec<OfflineGuest> {
        let word = |one: &One| OfflineGuest {
            id: one.id.clone(),
            volumes: one.volumes.iter().map(Written::name).collect(),
            failed: one.failed.clone(),
        };
        self.0.iter().map(word).collect()
    }

    /// What the report says.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |one: &One| Outcome {
            id: one.id.clone(),
            name: one.name.clone(),
            restored: one.failed.is_none(),
            volumes: one.volumes.iter().map(Written::name).collect(),
            archive: one.made.clone(),
            failed: one.failed.clone(),
        };
        self.0.iter().map(outcome).collect()
    }

    /// The guests that failed, for those who must know.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter(|one| one.failed.is_some()).map(One::line)
    }
}

impl One {
    fn line(&self) -> String {
        let Self { id, name, volumes, failed, .. } = self;
        let names: Vec<String> = volumes.iter().map(Written::name).collect();
        let names = names.join(", ");
        let Some(why) = failed else { return format!("  guest {id} {name}: its disks are written: {names}") };
        let left = if volumes.is_empty() {
            "it comes back at the first start, as the others do".to_owned()
        } else {
            format!(
                "{names} could not be removed again: remove it (`lvremove`), then run `lifeboat guests restore --only {id}`"
            )
        };
        format!("guest {id} {name} was not brought back before the first start: {why}; {left}")
    }

    /// It is not back: its volumes go, so that nothing takes them for its disks.
    fn fail(&mut self, why: String, volumes: &dyn Volumes) {
        let mut why = why;
        let made = std::mem::take(&mut self.volumes);
        for written in made.into_iter().rev() {
            if let Err(error) = volumes.remove(&written.volume) {
                why += &format!("; {error}");
                self.volumes.push(written);
            }
        }
        self.failed = Some(why);
    }
}

fn bring(root: &Path, planned: &Planned<'_>, volumes: &dyn Volumes, advance: &dyn Fn(u64)) -> One {
    let Planned { guest, archive, targets } = planned;
    let (id, name, made) = (guest.id.clone(), guest.name.clone(), archive.made.clone());
    let mut one = One { id, name, made, volumes: Vec::new(), failed: None };
    let done = match targets {
        Ok(targets) => written(root, planned, targets, volumes, &mut one.volumes, advance),
        Err(why) => Err(why.clone()),
    };
    if let Err(why) = done {
        one.fail(why, volumes);
    }
    one
}

/// Makes the volumes and writes them; whatever was made is in `made`, also after an error.
fn written(
    root: &Path,
    planned: &Planned<'_>,
    targets: &[Target<'_>],
    volumes: &dyn Volumes,
    made: &mut Vec<Written>,
    advance: &dyn Fn(u64),
) -> Result<(), String> {
    // What cannot be read is known before anything is made.
    let archive = archive::Opened::of(root, planned.archive)?;
    let mut open = Vec::new();
    for target in targets {
        let path = volumes.make(&target.volume, target.size, target.extent)?;
        made.push(Written { volume: target.volume.clone(), path: path.clone(), sum: Sum::default() });
        open.push(volume::Volume::open(&path, target).map_err(|error| format!("opening {}: {error}", path.display()))?);
    }
    archive.unpack(targets, &mut open, advance)?;
    for (volume, written) in open.into_iter().zip(made) {
        written.sum = volume.finish().map_err(|error| format!("writing {}: {error}", written.path.display()))?;
    }
    Ok(())
}

fn read_back(written: &Written) -> Result<(), String> {
    let path = written.path.display();
    let read = std::fs::File::open(&written.path).and_then(|mut file| Sum::of(&mut file));
    match read {
        Ok(sum) if sum == written.sum => Ok(()),
        Ok(_) => Err(format!("what is read back from {path} is not what was written")),
        Err(error) => Err(format!("reading {path} back: {error}")),
    }
}

#[cfg(test)]
mod tests;
