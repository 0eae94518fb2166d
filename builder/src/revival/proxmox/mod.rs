//! Proxmox VE: its cluster file system, and the steps that bring a guest of a node back.
//!
//! A guest's configuration came back with the cluster's database, its disks did not. `qmrestore` and `pct restore` refuse to work over a
//! configuration, or, when forced, still fail on `protection` and on a lock that was left; and a failed `pct restore` deletes it. So:
//!
//! 1. Disks that are there are never restored over: [`volumes`].
//! 2. The archive is read to its end before anything is changed: [`super::archive`].
//! 3. Configuration and firewall are put [`aside`], on the disk, before the configuration leaves `/etc/pve`.
//! 4. The platform's own program restores: [`tools`].
//! 5. What came back is compared with what was put aside: [`compare`]. After a failure what was there is put back, with `onboot: 0`.
//!
//! No disk is removed, and nothing is forced: where disks were there, what is restored lies beside them. A guest whose disks the rescue has
//! brought back itself is there already, with the host's own configuration: [`offline`].

mod aside;
mod compare;
mod files;
mod members;
mod offline;
mod tools;
mod volumes;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use manifest::host::{Archive, Guest, Platform};

use self::aside::{Aside, Standing};
use self::files::Files;
use self::tools::Tools;
use self::volumes::Presence;
use super::platform::{Ended, Reviver};
use super::record::{Phase, Record};
use super::{Run, archive};
use crate::exit::{Exit, refusal};

/// Between two looks at a cluster file system that is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

/// This machine as a node.
#[derive(Debug)]
pub struct Node {
    name: String,
    clustered: bool,
    root: PathBuf,
}

impl Node {
    /// The node of the platform, whose file system is below `root`.
    pub fn new(platform: &Platform, root: &Path) -> Self {
        Self { name: platform.node.clone(), clustered: !platform.cluster.is_empty(), root: root.to_owned() }
    }

    fn pve(&self) -> PathBuf {
        self.root.join("etc/pve")
    }

    fn archive(&self, archive: &Archive) -> PathBuf {
        self.root.join(archive.path.trim_start_matches('/'))
    }
}

impl Reviver for Node {
    fn ready(&self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match members::look(&self.pve(), &self.name, self.clustered) {
                Ok(()) => return Ok(()),
                Err(why) if begun.elapsed() >= limit => {
                    return Err(format!("{why} (waited {} s)", begun.elapsed().as_secs()));
                }
                Err(_) => sleep(PAUSE.min(limit)),
            }
        }
    }

    fn plan(&self, guest: &Guest, archive: &Archive) -> String {
        let files = Files::of(&self.pve(), &self.name, guest);
        let tools = Tools::of(guest);
        match files.config().and_then(|text| volumes::of(guest, &self.name, text.as_deref())) {
            Ok(volumes) => {
                let command = tools.restore(&self.archive(archive), volumes.target());
                format!("`{command}`, unless its disks are there")
            }
            Err(why) => format!("nothing: {why}"),
        }
    }

    fn revive(&self, run: &Run, guest: &Guest, archive: &Archive, record: &mut Record) -> anyhow::Result<Ended> {
        let files = Files::of(&self.pve(), &self.name, guest);
        let steps = Steps { node: self, run, guest, archive, tools: Tools::of(guest), files: &files };
        steps.all(record)
    }
}

/// The steps of one guest.
struct Steps<'a> {
    node: &'a Node,
    run: &'a Run,
    guest: &'a Guest,
    archive: &'a Archive,
    tools: Tools,
    files: &'a Files,
}

impl Steps<'_> {
    fn all(&self, record: &mut Record) -> anyhow::Result<Ended> {
        match self.files.elsewhere() {
            Ok(None) => {}
            Ok(Some(place)) => {
                return Ok(Ended::Skipped(format!("it is at {} now; it was left alone", place.display())));
            }
            Err(why) => return Ok(Ended::Failed(why)),
        }
        let standing = match Standing::look(self.run, self.files, record).and_then(|standing| self.judged(standing)) {
            Ok(standing) => standing,
            Err(why) => return Ok(Ended::Failed(format!("{why}; nothing was changed"))),
        };
        match standing {
            Standing::Back => return self.compare(record),
            Standing::Fresh | Standing::Changed if !self.run.again => {
                if let Some(ended) = self.present(record) {
                    return Ok(ended);
                }
            }
            Standing::Cut => {}
            Standing::Fresh | Standing::Changed | Standing::PutBack => self.guard_running()?,
        }
        if let Err(why) = self.check(record)? {
            return Ok(Ended::Failed(format!("{why}; {}", self.stays(standing))));
        }
        let aside = match Aside::take(self.run, self.files, record) {
            Ok(aside) => aside,
            Err(error) => return Ok(Ended::Failed(format!("{error:#}; {}", self.stays(standing)))),
        };
        let restored = self.restore(&aside, record);
        match restored {
            Ok(Ok(())) => self.compare(record),
            Ok(Err(why)) => Ok(Ended::Failed(format!("{why}; {}", aside.put_back(self.files)))),
            Err(error) => {
                let kept = aside.put_back(self.files);
                Err(error.context(format!("guest {} is not restored; {kept}", self.guest.id)))
            }
        }
    }

    /// A configuration alone is no guest that is back: somebody may have put it there by hand after the run was cut.
    fn judged(&self, standing: Standing) -> Result<Standing, String> {
        if standing != Standing::Back {
            return Ok(standing);
        }
        let text = self.files.config()?;
        let presence = volumes::of(self.guest, &self.node.name, text.as_deref())?.presence(
            &self.node.pve(),
            &self.node.name,
            &self.tools,
        )?;
        Ok(if matches!(presence, Presence::All(_)) { Standing::Back } else { Standing::Cut })
    }

    /// Leaves a guest that is not to be restored after all; a run that was cut may have taken its configuration away.
    fn stays(&self, standing: Standing) -> String {
        match (standing, Aside::kept(self.run, self.files)) {
            (Standing::Cut, Ok(aside)) => aside.put_back(self.files),
            (Standing::Cut, Err(why)) => format!("what lies aside could not be put back: {why}"),
            _ => "nothing was changed".to_owned(),
        }
    }

    /// Ends a guest whose disks are there, all or in part, or cannot be asked for.
    fn present(&self, record: &mut Record) -> Option<Ended> {
        let text = match self.files.config() {
            Ok(text) => text,
            Err(why) => return Some(Ended::Failed(format!("{why}; nothing was changed"))),
        };
        let presence = volumes::of(self.guest, &self.node.name, text.as_deref())
            .and_then(|volumes| volumes.presence(&self.node.pve(), &self.node.name, &self.tools));
        let id = &self.guest.id;
        let word = self.run.offline(self.guest);
        if let Some(ended) = word.and_then(|word| offline::ended(word, presence.as_ref().ok(), self.archive)) {
            record.notes = offline::notes(text.as_deref(), self.guest);
            return Some(ended);
        }
        match presence {
            Ok(Presence::None) => None,
            Ok(Presence::All(there)) => Some(Ended::Skipped(format!(
                "its disks are there ({}) and were left alone; `lifeboat guests restore --only {id} --again` restores it beside them",
                there.join(", ")
            ))),
            Ok(Presence::Part { there, missing }) => Some(Ended::Failed(format!(
                "some of its disks are there ({}), and some are not ({}); nothing was changed, and --again restores all of it beside them",
                there.join(", "),
                missing.join(", ")
            ))),
            Err(why) => Some(Ended::Failed(format!("{why}; nothing was changed"))),
        }
    }

    /// Nobody takes the configuration of a guest away that runs.
    fn guard_running(&self) -> anyhow::Result<()> {
        if !matches!(self.files.config(), Ok(Some(_))) {
            return Ok(());
        }
        let running =
            self.tools.running().map_err(|why| refusal(Exit::Guard, format!("{why}; nothing was changed")))?;
        if running {
            let message = format!("guest {} runs; stop it first; nothing was changed", self.guest.id);
            return Err(refusal(Exit::Guard, message));
        }
        Ok(())
    }

    /// Reads the archive; its storage may have to be mounted first, which asking for it does.
    fn check(&self, record: &mut Record) -> anyhow::Result<Result<(), String>> {
        let path = self.node.archive(self.archive);
        if !record.kept_aside {
            self.run.enter(record, Phase::Checking, format!("reading {}", path.display()))?;
        }
        if !path.exists() {
            // What it says does not matter: whether the archive is there now is looked at next.
            let _ = self.tools.volumes(&self.archive.storage);
        }
        Ok(archive::check(&path, self.guest, self.archive).map(|notes| record.notes = notes))
    }

    /// The outer error is of the record, the inner one of the guest; the configuration is aside for both.
    fn restore(&self, aside: &Aside, record: &mut Record) -> anyhow::Result<Result<(), String>> {
        if let Err(why) = self.files.remove_config() {
            return Ok(Err(why));
        }
        let volumes = volumes::of(self.guest, &self.node.name, aside.original());
        let target = volumes.as_ref().ok().and_then(|volumes| volumes.target());
        let command = self.tools.restore(&self.node.archive(self.archive), target);
        match &volumes {
            Ok(volumes) => record.notes.extend(volumes.moved()),
            // It comes so far only with --again: who says that wants the guest without its old configuration.
            Err(why) => record.notes.push(why.clone()),
        }
        record.notes.extend(self.run.offline(self.guest).and_then(offline::failure));
        self.run.enter(record, Phase::Restoring, format!("`{command}`"))?;
        let output = self.run.locked.folder.output(record.platform, &record.id);
        let restored = tools::run(command, &output).and_then(|()| match self.files.config()? {
            Some(_) => Ok(()),
            None => Err("the program said that all is well, but the guest has no configuration".to_owned()),
        });
        Ok(restored)
    }

    /// It is back; what is not as it was is told, and never undoes it.
    fn compare(&self, record: &mut Record) -> anyhow::Result<Ended> {
        self.run.enter(record, Phase::Comparing, "its platform has restored it")?;
        let original = Aside::kept(self.run, self.files);
        let compared = original.and_then(|original| original.settle(self.files, &self.tools, record));
        if let Err(why) = compared {
            record.notes.push(format!("its configuration was not compared with the one before: {why}"));
        }
        let count = record.differences.len();
        let same = if count == 0 { String::new() } else { format!("; {count} of its options are not as they were") };
        Ok(Ended::Restored(format!("restored from the archive of {}{same}", self.archive.made)))
    }
}
