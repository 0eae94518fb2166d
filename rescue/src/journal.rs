//! The journal of a restore: what was begun and what is done, on the stick, so that a restore that was cut is completed.
//!
//! One restore can be unfinished at a time: `reports/unfinished.jsonl`. Its first line names the snapshot, the disks and the plan; one line
//! follows for each step that is begun and for each that is done, on the medium before and after the step. A line that was cut short
//! counts as not written. At the end the file is renamed to the restore's own name.
//!
//! The journal is not signed, and so it permits nothing: the plan is made anew from the signed manifest and compared, an order must still
//! cover it, and without an order somebody is asked again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use layout::matching::Choice;
use layout::plan::{Plan, Step};
use manifest::{Digest, Serial};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::stick::{DATA, Stick, write_durably};
use crate::stop::{Code, OrStop, Result};

const NAME: &str = "unfinished.jsonl";
const FORMAT: u32 = 1;

/// What a restore is: its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    format: u32,
    /// Begins the names of this restore's files in the reports folder.
    pub stamp: String,
    /// When it began.
    pub begun: Timestamp,
    /// What is restored.
    pub snapshot: Serial,
    /// Digest of the plan, without what a restore itself changes: see [`essence`].
    plan: Digest,
    /// The disks that it writes to.
    pub targets: Vec<Target>,
    /// The order that allowed it; none: a person did.
    pub order: Option<String>,
}

/// A disk that a restore writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    handle: String,
    serial: Option<String>,
    wwn: Option<String>,
    size: u64,
    recorded: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mark {
    /// A step of the plan's first list, by its number.
    Begun(usize),
    Done(usize),
    /// A later stage.
    Stage(String),
    /// The rescue was started again and goes on.
    Resumed(Timestamp),
    /// It ended by itself, with this message: somebody must look before it goes on.
    Failed(String),
}

/// A restore that did not come to its end.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// What it was.
    pub attempt: Attempt,
    marks: Vec<Mark>,
}

/// Where a restore begins or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its beginning: nothing was written to a disk.
    Beginning,
    /// At the first step that writes; what was there before is saved already. With the reason.
    FirstWrite(String),
    /// With the trees: the filesystems are made and are mounted again, and what is complete in them stays.
    Trees,
}

impl Unfinished {
    /// The unfinished restore on this stick. One that cannot be read is none: then the restore begins anew.
    pub fn find(stick: &Stick) -> Option<Self> {
        Self::parse(&fs::read_to_string(path(stick)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let attempt: Attempt = serde_json::from_str(lines.next()?).ok()?;
        let marks = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
        (attempt.format == FORMAT && is_plain(&attempt.stamp)).then_some(Self { attempt, marks })
    }

    /// Whether an order that has been used was used for this restore, which did not end by itself: then it covers the rest of it.
    pub fn continues(&self, order: &str, snapshot: Serial) -> bool {
        self.attempt.order.as_deref() == Some(order) && self.attempt.snapshot == snapshot && self.failure().is_none()
    }

    /// Why it ended by itself; none after a cut.
    pub fn failure(&self) -> Option<&str> {
        // A failure that somebody answered by going on is past.
        match self.marks.iter().rev().find(|mark| matches!(mark, Mark::Failed(_) | Mark::Resumed(_)))? {
            Mark::Failed(message) => Some(message),
            _ => None,
        }
    }

    /// How often the rescue was started for it.
    pub fn times(&self) -> usize {
        1 + self.marks.iter().filter(|mark| matches!(mark, Mark::Resumed(_))).count()
    }

    /// The disks that it wrote to, for the planner.
    pub fn choices(&self) -> Vec<Choice> {
        let choice =
            |target: &Target| Choice { target: target.handle.clone(), recorded: Some(target.recorded.clone()) };
        self.attempt.targets.iter().map(choice).collect()
    }

    /// How far it came, for people.
    pub fn place(&self, plan: &Plan) -> String {
        match self.marks.iter().rev().find(|mark| !matches!(mark, Mark::Resumed(_) | Mark::Failed(_))) {
            Some(Mark::Begun(number)) => match plan.before.get(*number) {
                Some(step) => format!("in step {} of {}, {step}", number + 1, plan.before.len()),
                None => format!("in step {}", number + 1),
            },
            Some(Mark::Done(number)) => format!("after step {} of {}", number + 1, plan.before.len()),
            Some(Mark::Stage(name)) => format!("in the stage {name}"),
            _ => "before its first step".to_owned(),
        }
    }

    /// Whether a plan writes to the same disks in the same places.
    pub fn has_same_disks(&self, plan: &Plan) -> bool {
        self.attempt.targets == targets(plan)
    }

    /// Where to go on.
    pub fn start(&self, plan: &Plan) -> Start {
        let done = |number: usize| self.marks.contains(&Mark::Done(number));
        let numbered = || plan.before.iter().enumerate();
        if !numbered().all(|(number, step)| !matches!(step, Step::Save { .. }) || done(number)) {
            return Start::Beginning;
        }
        if digest(plan) != self.attempt.plan {
            return Start::FirstWrite("the plan is another one now".to_owned());
        }
        if self.failure().is_some() {
            return Start::FirstWrite("it ended with an error the last time".to_owned());
        }
        if let Some(step) = plan.before.iter().find(|step| !step.lasts() && !matches!(step, Step::Mount { .. })) {
            return Start::FirstWrite(format!("\"{step}\" cannot be taken up again"));
        }
        let made = |step: &Step| !matches!(step, Step::Mount { .. });
        match numbered().find(|(number, step)| made(step) && !done(*number)) {
            Some((_, step)) => Start::FirstWrite(format!("\"{step}\" was not done")),
            None => Start::Trees,
        }
    }
}

/// A file name may be made of it.
fn is_plain(stamp: &str) -> bool {
    !stamp.is_empty() && stamp.len() < 40 && stamp.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn path(stick: &Stick) -> PathBuf {
    stick.data("reports").join(NAME)
}

fn targets(plan: &Plan) -> Vec<Target> {
    let target = |disk: &layout::plan::DiskPlan| Target {
        handle: disk.target.handle().to_owned(),
        serial: disk.target.disk.serial.clone(),
        wwn: disk.target.disk.wwn.clone(),
        size: disk.target.size.0,
        recorded: disk.recorded.0.clone(),
    };
    plan.disks.iter().map(target).collect()
}

fn digest(plan: &Plan) -> Digest {
    Digest::from_hash(&Sha256::digest(essence(plan).to_string()))
}

/// A plan without what changes by carrying it out, or by starting the machine again: what the disks hold, their kernel names, why they
/// were chosen, the other disks.
fn essence(plan: &Plan) -> Value {
    let mut value = serde_json::to_value((&plan.disks, &plan.before, &plan.after)).unwrap_or_default();
    let names: Vec<(&str, &str)> =
        plan.disks.iter().map(|disk| (disk.target.path.as_str(), disk.target.handle())).collect();
    reduce(&mut value, &names);
    value
}

fn reduce(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::Object(map) => {
            // Where is saved and cleared depends on what the disk holds now, whatever fields say so.
            if ["save", "clear"].iter().any(|step| map.get("step") == Some(&Value::from(*step))) {
                map.retain(|name, _| ["step", "disk"].contains(&name.as_str()));
            }
            map.retain(|name, _| !["holds", "why", "barred"].contains(&name.as_str()));
            map.values_mut().for_each(|value| reduce(value, names));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| reduce(value, names)),
        Value::String(text) => {
            if let Some((_, handle)) = names.iter().find(|(path, _)| path == text) {
                *text = format!("disk {handle}");
            }
        }
        _ => {}
    }
}

/// The journal of the restore that runs.
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Begins the names of this restore's files.
    pub stamp: String,
    /// When the restore began, however often it was cut.
    pub begun: Timestamp,
    /// How often the rescue was started for it, this time included.
    pub starts: usize,
}

impl Journal {
    /// Begins one, or takes up the `unfinished` one. The stick must be writable.
    ///
    /// # Errors
    /// When the stick is full or fails.
    pub fn open(
        stick: &Stick,
        snapshot: Serial,
        plan: &Plan,
        order: Option<&str>,
        unfinished: Option<(&Unfinished, &Start)>,
    ) -> Result<Self> {
        let opened = match unfinished {
            Some((unfinished, from)) => take_up(&path(stick), unfinished, from, plan, order),
            None => begin(stick, snapshot, plan, order, Timestamp::now()),
        };
        let (file, attempt) = opened.or_stop(Code::NoSpace, "beginning the journal on the stick", SPACE)?;
        let starts = unfinished.map_or(1, |(unfinished, _)| unfinished.times() + 1);
        let journal = Self { file, path: path(stick), stamp: attempt.stamp, begun: attempt.begun, starts };
        if unfinished.is_some() {
            journal.mark(&Mark::Resumed(Timestamp::now()))?;
        }
        Ok(journal)
    }

    /// Step `number` of the plan's first list is about to be done.
    ///
    /// # Errors
    /// When the stick cannot be written.
    pub fn begun(&self, number: usize) -> Result<()> {
        self.mark(&Mark::Begun(number))
    }

    /// Step `number` is done and on its disk.
    ///
    /// # Errors
    /// When the stick cannot be written.
    pub fn done(&self, number: usize) -> Result<()> {
        self.mark(&Mark::Done(number))
    }

    /// A later stage begins.
    ///
    /// # Errors
    /// When the stick cannot be written.
    pub fn stage(&self, name: &str) -> Result<()> {
        self.mark(&Mark::Stage(name.to_owned()))
    }

    fn mark(&self, mark: &Mark) -> Result<()> {
        append(&self.file, mark).or_stop(Code::Io, "writing the journal on the stick", STICK)
    }

    /// The restore is at its end.
    ///
    /// # Errors
    /// When the stick cannot be written.
    pub fn close(self) -> Result<()> {
        let end = self.path.with_file_name(format!("{}-steps.jsonl", self.stamp));
        let close = || {
            self.file.sync_all()?;
            fs::rename(&self.path, &end)?;
            sync_folder(&end)
        };
        close().or_stop(Code::Io, "closing the journal on the stick", STICK)
    }
}

const SPACE: &str = "Free some space on the stick and start again.";
const STICK: &str = "Plug the stick in again and start it; it goes on with this restore.";

/// Notes that the restore ended by itself, so that no order goes on with it unasked. Without a stick there is nothing to note it on.
pub fn note_failure(message: &str) {
    if let Ok(file) = OpenOptions::new().append(true).open(Path::new(DATA).join("reports").join(NAME)) {
        let _ = append(&file, &Mark::Failed(message.to_owned()));
    }
}

fn append(mut file: &File, mark: &Mark) -> io::Result<()> {
    let mut line = serde_json::to_string(mark).map_err(io::Error::other)?;
    line.push('\n');
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn begin(
    stick: &Stick,
    snapshot: Serial,
    plan: &Plan,
    order: Option<&str>,
    now: Timestamp,
) -> io::Result<(File, Attempt)> {
    let path = path(stick);
    // Another restore, which nobody will finish, keeps its journal under its own name.
    if let Some(old) = fs::read_to_string(&path).ok().as_deref().and_then(Unfinished::parse) {
        fs::rename(&path, path.with_file_name(format!("{}-abandoned.jsonl", old.attempt.stamp)))?;
    }
    let attempt = Attempt {
        format: FORMAT,
        stamp: now.strftime("%Y%m%dT%H%M%SZ").to_string(),
        begun: now,
        snapshot,
        plan: digest(plan),
        targets: targets(plan),
        order: order.map(str::to_owned),
    };
    write_first(&path, &attempt, "")
}

/// Goes on below the whole lines that still count. The first line is written anew: the plan, or who allowed it, may be another.
fn take_up(
    path: &Path,
    old: &Unfinished,
    from: &Start,
    plan: &Plan,
    order: Option<&str>,
) -> io::Result<(File, Attempt)> {
    let attempt = Attempt { plan: digest(plan), order: order.map(str::to_owned), ..old.attempt.clone() };
    let mut marks = String::new();
    for mark in old.marks.iter().filter(|mark| counts(mark, from, plan)) {
        marks.push_str(&serde_json::to_string(mark).map_err(io::Error::other)?);
        marks.push('\n');
    }
    write_first(path, &attempt, &marks)
}

/// What is done again does not count as done.
fn counts(mark: &Mark, from: &Start, plan: &Plan) -> bool {
    match (mark, from) {
        (Mark::Resumed(_), _) | (_, Start::Trees) => true,
        (Mark::Begun(number) | Mark::Done(number), Start::FirstWrite(_)) => {
            matches!(plan.before.get(*number), Some(Step::Save { .. }))
        }
        _ => false,
    }
}

fn write_first(path: &Path, attempt: &Attempt, marks: &str) -> io::Result<(File, Attempt)> {
    let line = serde_json::to_string(attempt).map_err(io::Error::other)?;
    write_durably(path, format!("{line}\n{marks}").as_bytes())?;
    Ok((OpenOptions::new().append(true).open(path)?, attempt.clone()))
}

#[cfg(test)]
mod tests;
