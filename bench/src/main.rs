//! `bench`: Lifeboat beside its peers, measured in turn on the same trees, in one run.
//!
//! It makes the [`tree`]s, lets each [`tool`] do each work in [`rounds`], and keeps every measurement in a [`report`];
//! medians, ratios and verdicts follow from that. docs/BENCHMARKS.md says how it is measured and has the figures. It
//! runs `lifeboat` as a user would and knows nothing of how it works.

mod figures;
mod grid;
mod machine;
mod measure;
mod options;
mod process;
mod random;
mod report;
mod repository;
mod rounds;
mod statistics;
mod table;
mod text;
mod tool;
mod tree;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use jiff::{Timestamp, Unit};

use crate::machine::Machine;
use crate::options::Options;
use crate::report::Report;
use crate::rounds::{Plan, Rounds, report_file};
use crate::table::Form;
use crate::tool::{Programs, Tool};
use crate::tree::{Tree, Trees};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether every tool did all its work. A missed target is a figure, no failure.
fn run(options: &Options) -> anyhow::Result<bool> {
    let home = home(options)?;
    let path = report_file(&home);
    if options.show || options.markdown.is_some() {
        let report = Report::read(&path)?.with_context(|| format!("{}: there is no report yet", path.display()))?;
        match &options.markdown {
            Some(document) => table::update(document, &report)?,
            None => print!("{}", table::render(&report, Form::Terminal)),
        }
        return Ok(true);
    }
    let programs = programs(options, &home)?;
    let machine = Machine::of(&home);
    let mut report = begin(options, &path, machine)?;
    let available = available(options, &programs, &mut report);
    let plan = Plan {
        trees: Trees { folder: home.join("trees"), scale: options.scale },
        home,
        programs,
        rounds: options.rounds,
        cold: options.cold,
        run: Timestamp::now().round(Unit::Second)?.to_string(),
    };
    for &tree in &options.trees {
        let tools = chosen(options, tree, &available);
        if !options.add {
            report.forget(tree, &tools);
        }
        Rounds::new(&plan, tree, &mut report, tools).run()?;
    }
    report.write(&path)?;
    print!("{}", table::render(&report, Form::Terminal));
    Ok(report.failures.is_empty())
}

/// The report that this run adds to. One from another machine, or measured in another way, is put aside.
fn begin(options: &Options, path: &Path, machine: Machine) -> anyhow::Result<Report> {
    match Report::read(path)? {
        Some(report) if report.machine == machine && report.cold == options.cold => Ok(report),
        found => {
            if found.is_some() {
                let aside = path.with_extension("json.old");
                eprintln!("bench: the report is from another machine or way of measuring: now {}", aside.display());
                std::fs::rename(path, aside)?;
            }
            Ok(Report::new(options.scale, options.cold, machine))
        }
    }
}

/// Smaller trees are no figures, so they never meet the others.
fn home(options: &Options) -> anyhow::Result<PathBuf> {
    let home =
        if options.scale < 1.0 { options.home.join(format!("scale-{}", options.scale)) } else { options.home.clone() };
    std::fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    Ok(home.canonicalize()?)
}

fn programs(options: &Options, home: &Path) -> anyhow::Result<Programs> {
    let beside = std::env::current_exe()?.with_file_name("lifeboat");
    let lifeboat = options.lifeboat.clone().unwrap_or(beside);
    let lifeboat = lifeboat.canonicalize().with_context(|| format!("{}: build it first", lifeboat.display()))?;
    let rustic = options.home.canonicalize().unwrap_or_else(|_| home.to_owned()).join("rustic/bin/rustic");
    Ok(Programs { lifeboat, rustic })
}

/// Those of the tools asked for that are installed; their versions go into the report.
fn available(options: &Options, programs: &Programs, report: &mut Report) -> Vec<Tool> {
    use clap::ValueEnum as _;
    let asked = if options.tools.is_empty() { Tool::value_variants() } else { &options.tools };
    let installed = |tool: &Tool| match programs.driver(*tool).version().read() {
        Ok(version) => {
            report.tools.insert(*tool, version.lines().next().unwrap_or_default().to_owned());
            true
        }
        Err(error) => {
            eprintln!("bench: {} is not measured: {error}", tool.name());
            false
        }
    };
    asked.iter().copied().filter(installed).collect()
}

fn chosen(options: &Options, tree: Tree, available: &[Tool]) -> Vec<Tool> {
    let takes_part = |tool: &Tool| !options.tools.is_empty() || tool.measured_on(tree);
    available.iter().copied().filter(takes_part).collect()
}
