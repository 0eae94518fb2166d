//! Disks of running guests that lie still while they are read.
//!
//! Each disk gets an overlay, `IMAGE.lifeboat`, into which its guest writes from then on; all disks of a guest at one moment. When the
//! tree is read, what is in the overlays is put into the disks, the guest goes on with these, and the overlays are removed. Meanwhile
//! libvirt's definition of the guest names the overlays, so a copy from before is laid over it for this run.
//!
//! What is under way is on record before it begins. A run that was cut leaves its record, and the next one ends what it had begun:
//! nothing is ever removed that a guest may have written and that is not in its disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use guests::libvirt::{Disk, Domain, Place, is_uuid};
use manifest::host::Gap;
use serde::{Deserialize, Serialize};

use super::told::Seen;
use super::{FOLDER, gap, printable};
use crate::capture::aside::Aside;
use crate::capture::guests::Policy;
use crate::capture::guests::asking::Asking;
use crate::capture::guests::proxmox::like;
use crate::capture::source::Source;

/// How long putting an overlay into its disk may take: it holds what was written while the tree was read.
const COMMIT: Duration = Duration::from_secs(6 * 3600);
/// How long the moment itself may take: an agent waits for filesystems to be written out.
const MOMENT: Duration = Duration::from_secs(300);
/// What the name of an overlay ends with.
const END: &str = ".lifeboat";
const ASLEEP: &str = "stop it for the backup, set `running = \"snapshot\"` in [guests] of the configuration, or keep what \
                      `virsh backup-begin` writes where it is captured";

/// Overlays that this run has laid.
pub(super) struct Still {
    /// Why none are laid.
    unable: Option<String>,
    records: Option<Records>,
    laid: Vec<Record>,
}

/// Where records lie, and the libvirt that they are of.
struct Records {
    folder: PathBuf,
    asking: Asking,
    /// Two runs at once must not end what the other has begun.
    _lock: File,
}

/// A guest's disks, as laid.
pub(super) struct Laid {
    pub(super) note: String,
    pub(super) overlays: Vec<String>,
}

/// What is under way with a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u32,
    uuid: String,
    disks: Vec<Over>,
}

/// An overlay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Over {
    target: String,
    image: String,
    overlay: String,
    /// What is in it is in the image.
    committed: bool,
}

impl Still {
    /// Ends what a run that was cut has left, and makes ready.
    pub(super) fn begin(policy: &Policy, uri: &str, aside: &Aside, gaps: &mut Vec<Gap>) -> Self {
        let none = |why: &str| Self { unable: Some(why.to_owned()), records: None, laid: Vec::new() };
        let Some(folder) = &policy.records else {
            // A run that stores nothing: a backup would do it.
            let unable = (!policy.snapshot).then(|| ASLEEP.to_owned());
            return Self { unable, records: None, laid: Vec::new() };
        };
        if !policy.snapshot && !folder.exists() {
            return none(ASLEEP);
        }
        if !aside.is_able() {
            return none(
                "its disks cannot be made to lie still: only root has a mount table of its own for the backup",
            );
        }
        match Records::open(folder, uri) {
            Ok(records) => {
                records.end_all(gaps);
                let unable = (!policy.snapshot).then(|| ASLEEP.to_owned());
                Self { unable, records: Some(records), laid: Vec::new() }
            }
            Err(why) => none(&format!("its disks cannot be made to lie still: {why}")),
        }
    }

    /// Makes the disks of a guest lie still.
    ///
    /// # Errors
    /// Why they do not, and what to do; then nothing is changed, or what is changed is on record.
    pub(super) fn lay(
        &mut self,
        seen: &Seen,
        disks: &[&Disk],
        source: &Source,
        aside: &mut Aside,
    ) -> Result<Laid, String> {
        if let Some(why) = &self.unable {
            return Err(why.clone());
        }
        let failed = |why: String| format!("its disks cannot be made to lie still: {why}");
        let overs: Vec<Over> = disks.iter().map(|disk| over(disk, source)).collect::<Result<_, _>>().map_err(failed)?;
        let Some(records) = &self.records else {
            return Ok(Laid {
                note: "a backup makes its disks lie still while they are read".to_owned(),
                overlays: Vec::new(),
            });
        };
        let definition = format!("{FOLDER}/{}.xml", seen.domain.name);
        let copy =
            if seen.persistent { Some(copy(&definition, &seen.domain, source, aside).map_err(failed)?) } else { None };
        let record = Record { schema: 1, uuid: seen.domain.uuid.clone(), disks: overs };
        records.write(&record).map_err(|error| failed(error.to_string()))?;
        let laid = records.snapshot(&seen.domain, &record).and_then(|quiesced| {
            let over = copy.map(|copy| aside.lay_over(&copy, &source.path(&definition))).transpose();
            over.map_err(|error| format!("laying a copy over {definition}: {error}")).map(|_| quiesced)
        });
        match laid {
            Ok(quiesced) => {
                let how = if quiesced {
                    "its agent had its filesystems written out"
                } else {
                    "as after a power cut: no agent answered"
                };
                let overlays = record.disks.iter().map(|over| over.overlay.clone()).collect();
                self.laid.push(record);
                Ok(Laid { note: format!("its disks lie still while they are read, {how}"), overlays })
            }
            Err(why) => {
                let ended = records.end(record).map_or_else(|left| format!("; {left}"), |()| String::new());
                Err(failed(format!("{why}{ended}")))
            }
        }
    }

    /// Lays none: libvirt does not answer.
    pub(super) fn give_up(&mut self, why: &str) {
        self.unable.get_or_insert_with(|| format!("its disks cannot be made to lie still: {why}"));
    }

    /// Keeps the disks still until the tree is read.
    pub(super) fn keep_until_read(self, aside: &mut Aside) {
        if let Some(records) = self.records.filter(|_| !self.laid.is_empty()) {
            aside.afterwards(move || self.laid.into_iter().filter_map(|record| records.end(record).err()).collect());
        }
    }
}

impl Records {
    fn open(folder: &Path, uri: &str) -> Result<Self, String> {
        let asking = Asking::of("virsh", &["--quiet", "--connect", uri]).ok_or("virsh is not installed")?;
        let lock = || -> io::Result<File> {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"))
        };
        let lock = lock().map_err(|error| format!("{}: {error}", folder.display()))?;
        lock.try_lock().map_err(|_| "another run is at work with disks of guests".to_owned())?;
        Ok(Self { folder: folder.to_owned(), asking, _lock: lock })
    }

    fn path(&self, uuid: &str) -> PathBuf {
        self.folder.join(format!("{uuid}.json"))
    }

    /// It lies on the disk when this returns.
    fn write(&self, record: &Record) -> io::Result<()> {
        let (path, new) = (self.path(&record.uuid), self.folder.join("new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Ends what is on record.
    fn end_all(&self, gaps: &mut Vec<Gap>) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let record = fs::read(&path).map_err(|error| error.to_string()).and_then(|json| {
                let record: Record = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
                let sound = record.schema == 1 && is_uuid(&record.uuid);
                if sound { Ok(record) } else { Err("it is no record of this version".to_owned()) }
            });
            if let Err(why) = record.and_then(|record| self.end(record)) {
                gaps.push(gap(path.to_string_lossy(), format!("a run that was cut: {why}")));
            }
        }
    }

    /// All disks at one moment; whether the guest's agent had its filesystems written out.
    fn snapshot(&self, domain: &Domain, record: &Record) -> Result<bool, String> {
        let mut args: Vec<String> = [
            "snapshot-create-as",
            "--domain",
            &domain.uuid,
            "--name",
            "lifeboat",
            "--disk-only",
            "--atomic",
            "--no-metadata",
        ]
        .map(str::to_owned)
        .into();
        for disk in &domain.disks {
            let over = record.disks.iter().find(|over| over.target == disk.target);
            let how = over
                .map_or_else(|| "snapshot=no".to_owned(), |over| format!("snapshot=external,file={}", over.overlay));
            args.extend(["--diskspec".to_owned(), format!("{},{how}", disk.target)]);
        }
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ping =
            ["qemu-agent-command", "--domain", &domain.uuid, "--timeout", "5", "--cmd", "{\"execute\":\"guest-ping\"}"];
        if domain.agent && self.asking.read(&ping).is_ok() {
            args.push("--quiesce");
            if self.asking.read_within(&args, MOMENT).is_ok() {
                return Ok(true);
            }
            args.pop();
        }
        self.asking.read_within(&args, MOMENT).map(|_| false)
    }

    /// Puts what is in a guest's overlays into its disks, and removes overlays and record.
    fn end(&self, mut record: Record) -> Result<(), String> {
        let mut left = Vec::new();
        for at in 0..record.disks.len() {
            let over = record.disks[at].clone();
            match self.end_one(&record.uuid, &over) {
                Ok(true) => {
                    record.disks[at].committed = true;
                    let removed = self.write(&record).and_then(|()| remove(&over.overlay));
                    left.extend(removed.err().map(|error| format!("removing {}: {error}", over.overlay)));
                }
                Ok(false) => {}
                Err(why) => left.push(why),
            }
        }
        if left.is_empty() {
            return fs::remove_file(self.path(&record.uuid)).map_err(|error| error.to_string());
        }
        Err(format!("guest {}: {}", record.uuid, left.join("; ")))
    }

    /// Whether the overlay may be removed: none is there to remove where this is false.
    fn end_one(&self, uuid: &str, over: &Over) -> Result<bool, String> {
        if over.committed {
            return Ok(true);
        }
        let place = self.place(uuid, &over.target)?;
        if !Path::new(&over.overlay).exists() && place.as_ref().is_none_or(|place| *place != over.overlay) {
            return Ok(false);
        }
        let stays = |why: &str| {
            format!("{} holds what the guest has written to {}, and stays: {why}", over.overlay, over.image)
        };
        match place {
            Some(place) if place == over.overlay => {}
            _ => {
                return Err(stays(
                    "the guest does not use it now; when it is in the image, or is not wanted, remove it",
                ));
            }
        }
        if !self.asking.words(&["list", "--uuid"])?.iter().any(|running| running == uuid) {
            return Err(stays("the guest is off; start it, and the next run puts it into the image"));
        }
        // Shallow: into the image that lies right below. Without it libvirt commits the whole chain into what lies at its bottom, which
        // other guests may build on as well.
        let commit =
            ["blockcommit", "--domain", uuid, "--path", &over.target, "--shallow", "--active", "--pivot", "--wait"];
        if let Err(why) = self.asking.read_within(&commit, COMMIT) {
            // A run that was cut may have left the work done and not ended.
            let pivot = ["blockjob", "--domain", uuid, "--path", &over.target, "--pivot"];
            self.asking.read(&pivot).map_err(|_| stays(&why))?;
        }
        match self.place(uuid, &over.target)? {
            Some(place) if place == over.image => Ok(true),
            _ => Err(stays("the guest still uses it")),
        }
    }

    /// The file of a guest's disk; none where it has no such disk in a file.
    fn place(&self, uuid: &str, target: &str) -> Result<Option<String>, String> {
        let unknown = |why: String| format!("where its disk {target} lies is not known, and its record stays: {why}");
        let xml = self.asking.read(&["dumpxml", "--domain", uuid]).map_err(unknown)?;
        let domain = Domain::parse(&xml).map_err(|error| unknown(error.to_string()))?;
        let disk = domain.disks.into_iter().find(|disk| disk.target == target);
        Ok(disk.and_then(|disk| if let Place::File(path) = disk.place { Some(path) } else { None }))
    }
}

fn over(disk: &Disk, source: &Source) -> Result<Over, String> {
    let Place::File(image) = &disk.place else { return Err(format!("{} is no file", disk.target)) };
    if !matches!(disk.format.as_str(), "qcow2" | "raw") {
        return Err(format!("{} has the format {:?}", disk.target, disk.format));
    }
    if disk.shared {
        return Err(format!("other guests may write to {}", disk.target));
    }
    // It becomes part of an argument with commas, and of a pattern.
    let odd = |char: char| char.is_control() || ",*?[]{}\\".contains(char);
    if image.contains(odd) || !image.starts_with('/') || !disk.target.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("the name {} has characters that are not passed on", printable(image)));
    }
    if image.ends_with(END) {
        return Err(format!(
            "{image} is an overlay of an earlier run, which no record names: end it with `virsh blockcommit --shallow --active --pivot`"
        ));
    }
    let overlay = format!("{image}{END}");
    if fs::symlink_metadata(source.path(&overlay)).is_ok() {
        return Err(format!("{overlay} is there, and may hold what the guest has written"));
    }
    Ok(Over { target: disk.target.clone(), image: image.clone(), overlay, committed: false })
}

/// The definition as it is now.
fn copy(definition: &str, domain: &Domain, source: &Source, aside: &mut Aside) -> Result<PathBuf, String> {
    if domain.name.contains('/') {
        return Err("its name has a slash".to_owned());
    }
    let original = source.path(definition);
    let mut copied = || -> io::Result<PathBuf> {
        let copy = aside.folder()?.join(format!("{}.xml", domain.uuid));
        fs::copy(&original, &copy)?;
        like(&original, &copy)?;
        Ok(copy)
    };
    copied().map_err(|error| format!("copying {definition}: {error}"))
}

fn remove(path: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
