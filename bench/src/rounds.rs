//! The measuring itself: tree by tree, round by round, work by work, every tool in turn.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::measure::{drop_caches, measure, sync};
use crate::report::{Failure, Measurement, Report, Work};
use crate::repository::Listing;
use crate::tool::{Place, Programs, Tool};
use crate::tree::{self, Tally, Tree, Trees};

/// What a run has to do, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    pub home: PathBuf,
    pub trees: Trees,
    pub programs: Programs,
    pub rounds: u32,
    pub cold: bool,
    /// When this run began.
    pub run: String,
}

/// One tree's rounds.
#[derive(Debug)]
pub struct Rounds<'a> {
    plan: &'a Plan,
    tree: Tree,
    report: &'a mut Report,
    /// Those that have not failed.
    tools: Vec<Tool>,
    round: u32,
}

impl<'a> Rounds<'a> {
    /// Prepares to measure `tools` on `tree`.
    pub fn new(plan: &'a Plan, tree: Tree, report: &'a mut Report, tools: Vec<Tool>) -> Self {
        let round = report.last_round(tree);
        Self { plan, tree, report, tools, round }
    }

    /// Runs every round; the report is written after each measurement, so a run that is cut loses nothing that was measured.
    ///
    /// # Errors
    /// When a tree cannot be made or changed. A tool that fails is noted, left out from then on, and is no error here.
    pub fn run(mut self) -> anyhow::Result<()> {
        self.check_space()?;
        // What a run that was cut has left.
        tree::remove(&self.plan.home.join("work"))?;
        let tally = self.plan.trees.make(self.tree)?;
        self.report.trees.insert(self.tree, tally.clone());
        let source = self.plan.trees.path(self.tree);
        for _ in 0..self.plan.rounds {
            self.round += 1;
            tree::warm(&source)?;
            self.each(|tools| tools, Work::First, None);
            self.each(snapshots, Work::Unchanged, None);
            let change = self.plan.trees.change(self.tree, self.round)?;
            let changed = Tally::of(&source)?;
            self.each(snapshots, Work::Changed, Some(change.bytes));
            self.plan.trees.restore(self.tree, change, &tally)?;
            self.restores(&tally, &changed);
            tree::remove(&self.plan.home.join("work"))?;
        }
        Ok(())
    }

    fn check_space(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.plan.home)?;
        let disk = rustix::fs::statvfs(&self.plan.home).context("asking for free space")?;
        let free = disk.f_bavail * disk.f_frsize;
        let needed = (self.tree.space() as f64 * self.plan.trees.scale) as u64;
        let (name, home) = (self.tree.name(), self.plan.home.display());
        ensure!(free >= needed, "the tree `{name}` needs {} GB free in {home}; there are {}", needed >> 30, free >> 30);
        Ok(())
    }

    /// The tools of a work, beginning with another one in each round, so that none is always first.
    fn turn(&self, of: fn(Vec<Tool>) -> Vec<Tool>) -> Vec<Tool> {
        let mut tools = of(self.tools.clone());
        let places = tools.len().max(1);
        tools.rotate_left((self.round as usize - 1) % places);
        tools
    }

    /// Lets each tool do `work`.
    fn each(&mut self, of: fn(Vec<Tool>) -> Vec<Tool>, work: Work, changed: Option<u64>) {
        for tool in self.turn(of) {
            let result = self.back_up(tool, work, changed);
            self.note(tool, result);
        }
    }

    fn back_up(&mut self, tool: Tool, work: Work, changed: Option<u64>) -> anyhow::Result<()> {
        let place = self.place(tool);
        let driver = self.plan.programs.driver(tool);
        if work == Work::First {
            tree::remove(&place.home)?;
            std::fs::create_dir_all(&place.home)?;
            if let Some(command) = driver.begin(&place) {
                command.run()?;
            }
        }
        let before = Listing::of(&place.repository())?;
        self.prepare()?;
        let usage = measure(driver.back_up(&place, work.name()), &place.home, &self.log(tool, work)?)?;
        let after = Listing::of(&place.repository())?;
        self.add(Measurement {
            tree: self.tree,
            work,
            tool,
            round: self.round,
            run: self.plan.run.clone(),
            usage,
            written: after.written_since(&before),
            repository: after.size(),
            changed_bytes: changed,
        })
    }

    /// Restores what each tool holds, and removes its repository once that is done. The restored trees go together at
    /// the round's end: ext4 without a journal will not use an inode again for a minute after it was freed, and looks
    /// at all of those whenever it makes a file, so who restores after a removal would pay for it.
    fn restores(&mut self, first: &Tally, changed: &Tally) {
        for tool in self.turn(|tools| tools) {
            let expected = if tool.keeps_snapshots() { changed } else { first };
            let result = self.restore(tool, expected);
            self.note(tool, result);
        }
    }

    fn restore(&mut self, tool: Tool, expected: &Tally) -> anyhow::Result<()> {
        let place = self.place(tool);
        let folder = self.plan.home.join("work/restored").join(tool.name());
        std::fs::create_dir_all(&folder)?;
        self.prepare()?;
        let snapshot = Work::Changed.name();
        let command = self.plan.programs.driver(tool).restore(&place, snapshot, &folder);
        let usage = measure(command, &folder, &self.log(tool, Work::Restore)?)?;
        expected.compare(&Tally::of(&folder)?)?;
        let repository = Listing::of(&place.repository())?.size();
        tree::remove(&place.home)?;
        if self.tree.has_few_files() {
            tree::remove(&folder)?;
        }
        let (tree, round, run) = (self.tree, self.round, self.plan.run.clone());
        self.add(Measurement {
            tree,
            work: Work::Restore,
            tool,
            round,
            run,
            usage,
            written: 0,
            repository,
            changed_bytes: None,
        })
    }

    /// Nobody pays for what the one before him left to be written.
    fn prepare(&self) -> anyhow::Result<()> {
        sync(&self.plan.home)?;
        if self.plan.cold { drop_caches() } else { Ok(()) }
    }

    fn place(&self, tool: Tool) -> Place {
        let home = self.plan.home.join("work").join(tool.name());
        Place { home, source: self.plan.trees.path(self.tree), sparse: self.tree == Tree::Image }
    }

    fn log(&self, tool: Tool, work: Work) -> anyhow::Result<PathBuf> {
        let folder = self.plan.home.join("logs");
        std::fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{}-{}-{}-{}.log", self.tree.name(), self.round, work.name(), tool.name())))
    }

    fn add(&mut self, one: Measurement) -> anyhow::Result<()> {
        let (tree, work, tool) = (one.tree.name(), one.work.name(), one.tool.name());
        let memory = one.usage.memory as f64 / 1e6;
        let (wall, cpu, written) = (one.usage.wall, one.usage.cpu, one.written as f64 / 1e6);
        eprintln!(
            "bench: {tree} round {}  {work:<9}  {tool:<8}  {wall:8.2} s  CPU {cpu:8.2} s  {memory:5.0} MB  wrote {written:8.1} MB",
            one.round
        );
        self.report.measurements.push(one);
        self.report.write(&report_file(&self.plan.home))
    }

    fn note(&mut self, tool: Tool, result: anyhow::Result<()>) {
        if let Err(error) = result {
            let what = format!("round {}: {error:#}", self.round);
            eprintln!("bench: {} on the tree `{}` failed and is left out: {what}", tool.name(), self.tree.name());
            self.report.failures.push(Failure { tree: self.tree, tool, what });
            self.tools.retain(|other| *other != tool);
        }
    }
}

fn snapshots(tools: Vec<Tool>) -> Vec<Tool> {
    tools.into_iter().filter(|tool| tool.keeps_snapshots()).collect()
}

/// Where the report lies.
pub fn report_file(home: &Path) -> PathBuf {
    home.join("report.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn each_tool_is_measured_in_each_round_and_one_that_fails_is_noted_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let plan = Plan {
            trees: Trees { folder: home.join("trees"), scale: 0.0002 },
            home: home.clone(),
            programs: Programs { lifeboat: home.join("absent"), rustic: home.join("absent") },
            rounds: 2,
            cold: false,
            run: "2026-01-01T00:00:00Z".to_owned(),
        };
        let mut report = Report::new(plan.trees.scale, false, Machine::default());
        let tools = vec![Tool::Lifeboat, Tool::TarGzip, Tool::TarZstd];
        Rounds::new(&plan, Tree::Small, &mut report, tools).run().unwrap();

        let done: Vec<_> = report.measurements.iter().map(|one| (one.round, one.work, one.tool)).collect();
        let round = |round, one, two| {
            [(Work::First, one), (Work::First, two), (Work::Restore, one), (Work::Restore, two)]
                .map(|(work, tool)| (round, work, tool))
        };
        let turns = [round(1, Tool::TarGzip, Tool::TarZstd), round(2, Tool::TarZstd, Tool::TarGzip)];
        assert_eq!(done, turns.concat());
        assert!(report.measurements.iter().all(|one| one.usage.wall > 0.0 && one.repository > 10_000));
        assert!(matches!(&report.failures[..], [one] if one.tool == Tool::Lifeboat && one.what.contains("absent")));
        assert!(!home.join("work").exists() && report_file(&home).exists());
    }
}
