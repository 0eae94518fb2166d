//! The report of a restore: JSON on the stick and in the restored system.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use layout::matching::Why;
use layout::plan::Plan;
use manifest::Serial;
use rustix::fs::{AtFlags, Timespec, Timestamps, utimensat};
use serde::Serialize;

use crate::adapt::Adaptation;
use crate::apply::TARGET;
use crate::offline::Outcome;
use crate::prove::{Difference, Proof};

/// Where restored systems keep the reports, from their own root.
const FOLDER: &str = "var/lib/lifeboat/restores";

/// A finished restore.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub schema: u32,
    /// `restored`, or `differs` where the comparison found something.
    pub verdict: &'static str,
    /// Version of the rescue.
    pub tool: &'static str,
    /// The host.
    pub host: String,
    /// The snapshot.
    pub snapshot: Serial,
    /// When it was taken.
    pub snapshot_finished: Timestamp,
    /// When the restore began and ended.
    pub started: Timestamp,
    /// How often the stick was started for this restore: more than once after a cut.
    pub starts: usize,
    /// Folders of the stick with the boot code, tables and headers that were overwritten, each with `put-back.sh`.
    pub saved: Vec<String>,
    /// When the comparison ended.
    pub finished: Timestamp,
    /// `uefi` or `bios`.
    pub firmware: &'static str,
    /// `order` or `typed`.
    pub consent: &'static str,
    /// The order, where one was used.
    pub order: Option<String>,
    /// Which disks were written.
    pub disks: Vec<Disk>,
    /// Seconds from power-on to the end of each part.
    pub seconds: Vec<(&'static str, f64)>,
    /// Entries restored.
    pub entries: u64,
    /// Bytes of content restored.
    pub bytes: u64,
    /// Entries that could not be restored as they were.
    pub problems: Vec<Difference>,
    /// Entries that were compared afterwards.
    pub compared: u64,
    /// What differs and should not.
    pub differences: Vec<Difference>,
    /// What differs on purpose.
    pub adapted: Vec<Difference>,
    /// Guests that were to be there at the first start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<Outcome>,
    /// Boot loaders.
    pub loaders: Vec<String>,
    /// What may need a hand.
    pub not_adapted: Vec<String>,
    /// What did not come back, by the plan.
    pub notes: Vec<String>,
}

/// A disk that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Disk {
    /// Its serial number.
    pub serial: Option<String>,
    /// Its model.
    pub model: String,
    /// Its size in bytes.
    pub size: u64,
    /// The disk whose place it took.
    pub recorded: String,
    /// Why.
    pub why: Why,
}

impl Report {
    /// The disks of a plan.
    pub fn disks(plan: &Plan) -> Vec<Disk> {
        let disk = |disk: &layout::plan::DiskPlan| Disk {
            serial: disk.target.disk.serial.clone(),
            model: disk.target.disk.model.clone(),
            size: disk.target.size.0,
            recorded: disk.recorded_text.clone(),
            why: disk.why,
        };
        plan.disks.iter().map(disk).collect()
    }

    /// Takes over what the comparison and the adaptation found.
    pub fn conclude(&mut self, proof: Proof, adaptation: Adaptation) {
        self.verdict = if proof.differences.is_empty() && self.problems.is_empty() { "restored" } else { "differs" };
        self.compared = proof.entries;
        self.differences = proof.differences;
        self.adapted = proof.adapted;
        self.loaders = adaptation.loaders;
        self.not_adapted = adaptation.not_adapted;
    }

    /// Writes it into the restored system, below `stamp`.json; the folders on the way keep their times. It names itself, and
    /// the folders that it had to make.
    ///
    /// # Errors
    /// When the restored system has no room for it.
    pub fn write_into_system(&mut self, stamp: &str) -> io::Result<()> {
        let reason = "the report of this restore";
        let mut folder = Path::new(TARGET).to_owned();
        let mut times = Vec::new();
        for part in FOLDER.split('/') {
            times.push((folder.clone(), fs::symlink_metadata(&folder)?));
            folder.push(part);
            // A link there could lead out of the target.
            match fs::symlink_metadata(&folder) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(io::Error::other(format!("{} is no folder", folder.display()))),
                Err(_) => {
                    fs::create_dir(&folder)?;
                    self.note(&folder, reason);
                }
            }
        }
        times.push((folder.clone(), fs::symlink_metadata(&folder)?));
        let file = folder.join(format!("{stamp}.json"));
        self.note(&file, reason);
        fs::write(&file, self.json())?;
        fs::File::open(&file)?.sync_all()?;
        times.iter().rev().try_for_each(|(path, found)| put_back(path, found))
    }

    fn note(&mut self, path: &Path, reason: &str) {
        let path = path.strip_prefix(TARGET).unwrap_or(path);
        self.adapted.push(Difference { path: format!("/{}", path.display()), reason: reason.to_owned() });
    }

    /// The report as a file.
    pub fn json(&self) -> Vec<u8> {
        // Plain structs of text and numbers encode; an empty report would still say that something is wrong.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

pub(crate) fn put_back(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let times = Timestamps {
        last_access: Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() },
        last_modification: Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() },
    };
    utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
