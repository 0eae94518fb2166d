//! `report.json`: every single measurement, and what follows from them. Version 1.
//!
//! Runs of parts, say of one tree, add to the same file: a new measurement of a tool on a tree replaces the older
//! ones, or joins them with `--add`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Median};
use crate::machine::Machine;
use crate::measure::Usage;
use crate::tool::Tool;
use crate::tree::{Tally, Tree};
use crate::verdict::{Verdict, verdicts};

/// The only version so far.
const VERSION: u32 = 1;

/// What a tool did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// The first backup, into an empty repository
    First,
    /// A backup, by a new process, of a tree in which nothing has changed
    Unchanged,
    /// A backup after a small change
    Changed,
    /// The last snapshot into an empty folder
    Restore,
}

impl Work {
    /// All, in the order in which they are done.
    pub const ALL: [Self; 4] = [Self::First, Self::Unchanged, Self::Changed, Self::Restore];

    /// Its name in reports, snapshots and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Restore => "restore",
        }
    }
}

/// One tool's work, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub tree: Tree,
    pub work: Work,
    pub tool: Tool,
    /// From 1.
    pub round: u32,
    /// When the run began that this is from. Only measurements of one run are side by side.
    pub run: String,
    #[serde(flatten)]
    pub usage: Usage,
    /// Apparent bytes that it added to its repository; 0 for a restore.
    pub written: u64,
    /// Apparent bytes of the repository afterwards.
    pub repository: u64,
    /// Of a small change: bytes that had changed, by whole files, of an image by blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_bytes: Option<u64>,
}

/// A tool that did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub tree: Tree,
    pub tool: Tool,
    pub what: String,
}

/// The whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// `lifeboat-bench`.
    format: String,
    version: u32,
    /// Share of the trees' full size.
    pub scale: f64,
    /// Whether the page cache was emptied before each command.
    pub cold: bool,
    pub machine: Machine,
    /// First line of each tool's version.
    pub tools: BTreeMap<Tool, String>,
    pub trees: BTreeMap<Tree, Tally>,
    pub measurements: Vec<Measurement>,
    pub failures: Vec<Failure>,
    /// Follows from the measurements, as do the verdicts; written for others to read.
    #[serde(skip_deserializing)]
    pub medians: Vec<Median>,
    #[serde(skip_deserializing)]
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// An empty one.
    pub fn new(scale: f64, cold: bool, machine: Machine) -> Self {
        Self {
            format: "lifeboat-bench".to_owned(),
            version: VERSION,
            scale,
            cold,
            machine,
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            measurements: Vec::new(),
            failures: Vec::new(),
            medians: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Reads a report; `None` where there is none.
    ///
    /// # Errors
    /// When the file is no report of this version.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(text) = std::fs::read(path) else { return Ok(None) };
        let advice = || format!("{}: no report of this program; move it away", path.display());
        let mut report: Self = serde_json::from_slice(&text).with_context(advice)?;
        ensure!(report.format == "lifeboat-bench" && report.version == VERSION, advice());
        report.conclude();
        Ok(Some(report))
    }

    /// Writes the report in place of the old one.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, path: &Path) -> anyhow::Result<()> {
        self.conclude();
        let part = path.with_extension("json.part");
        std::fs::write(&part, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&part, path).with_context(|| format!("writing {}", path.display()))
    }

    /// Forgets what `tools` did on `tree`.
    pub fn forget(&mut self, tree: Tree, tools: &[Tool]) {
        self.measurements.retain(|one| one.tree != tree || !tools.contains(&one.tool));
        self.failures.retain(|one| one.tree != tree || !tools.contains(&one.tool));
    }

    /// The last round that was measured on `tree`, 0 when none was.
    pub fn last_round(&self, tree: Tree) -> u32 {
        self.measurements.iter().filter(|one| one.tree == tree).map(|one| one.round).max().unwrap_or(0)
    }

    /// Trees on which a tool and Lifeboat were never measured in the same run, so that ratios compare different hours.
    pub fn not_side_by_side(&self) -> Vec<Tree> {
        let mut runs: BTreeMap<(Tree, Tool), BTreeSet<&str>> = BTreeMap::new();
        for one in &self.measurements {
            runs.entry((one.tree, one.tool)).or_default().insert(&one.run);
        }
        let apart = |tree: &Tree| {
            let ours = runs.get(&(*tree, Tool::Lifeboat));
            ours.is_some_and(|ours| runs.iter().any(|((of, _), theirs)| of == tree && theirs.is_disjoint(ours)))
        };
        self.trees.keys().copied().filter(apart).collect()
    }

    fn conclude(&mut self) {
        let figures = Figures::of(&self.measurements);
        self.verdicts = verdicts(&figures, &self.trees);
        self.medians = figures.all();
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A measurement with round figures.
    pub fn measurement(tree: Tree, work: Work, tool: Tool, round: u32, wall: f64) -> Measurement {
        let usage = Usage { wall, sync: 0.0, cpu: wall, memory: 100_000_000 };
        let run = "2026-01-01T00:00:00Z".to_owned();
        Measurement { tree, work, tool, round, run, usage, written: 1000, repository: 1000, changed_bytes: None }
    }

    fn report() -> Report {
        let mut report = Report::new(1.0, false, Machine::default());
        report.trees.insert(Tree::Root, Tally::default());
        for (tool, round) in [(Tool::Lifeboat, 1), (Tool::Restic, 1), (Tool::Lifeboat, 2), (Tool::Restic, 2)] {
            report.measurements.push(measurement(Tree::Root, Work::First, tool, round, 1.0));
        }
        report
    }

    #[test]
    fn what_is_written_is_read_again_with_its_conclusions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        assert!(Report::read(&path).unwrap().is_none());
        let mut report = report();
        report.write(&path).unwrap();
        let again = Report::read(&path).unwrap().unwrap();
        assert_eq!(again.measurements, report.measurements);
        assert_eq!(again.medians, report.medians);
        assert!(!again.medians.is_empty());
    }

    #[test]
    fn a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut report = report();
        report.version = 2;
        report.write(&path).unwrap();
        assert!(Report::read(&path).is_err());
    }

    #[test]
    fn a_tool_measured_alone_is_not_side_by_side() {
        let mut report = report();
        assert_eq!(report.last_round(Tree::Root), 2);
        assert!(report.not_side_by_side().is_empty());
        report.forget(Tree::Root, &[Tool::Lifeboat]);
        assert_eq!(report.measurements.len(), 2);
        let mut later = measurement(Tree::Root, Work::First, Tool::Lifeboat, 1, 1.0);
        later.run = "2026-01-02T00:00:00Z".to_owned();
        report.measurements.push(later);
        assert_eq!(report.not_side_by_side(), [Tree::Root]);
    }
}
