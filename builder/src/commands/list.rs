//! `lifeboat list`: the snapshots of a vault.

use jiff::Timestamp;
use layout::Bytes;
use manifest::{Consistency, Scope, Verified};
use serde::Serialize;

use crate::checks::Checks;
use crate::cli::Reading;
use crate::commands::Context;
use crate::exit::Exit;
use crate::reading::{Manifest, Opened};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    snapshots: Vec<Row>,
}

/// One snapshot, in short.
#[derive(Serialize)]
struct Row {
    serial: u64,
    started: String,
    finished: String,
    scope: Scope,
    /// Of each source, in the manifest's order.
    consistency: Vec<Consistency>,
    entries: u64,
    files: u64,
    bytes: u64,
    /// Bytes of objects that the snapshot needs, and those that its run wrote.
    sealed_bytes: u64,
    stored_bytes: u64,
    problems: usize,
    /// After this the rescue calls it stale.
    stale_after: Option<String>,
    /// How often something was erased from it, and how many entries in all.
    amended: usize,
    erased: u64,
    /// When this host last found every object as signed, every file as recorded, and restored it in a drill.
    verified_sealed: Option<String>,
    verified_data: Option<String>,
    drilled: Option<String>,
}

impl Row {
    fn of(manifest: &Verified<Manifest>, checks: &Checks) -> Self {
        let totals = &manifest.contents.totals;
        let check = checks.of(manifest);
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            serial: manifest.serial.0,
            started: manifest.started.to_string(),
            finished: manifest.finished.to_string(),
            scope: manifest.scope,
            consistency: manifest.sources.iter().map(|source| source.consistency).collect(),
            entries: totals.entries,
            files: totals.files,
            bytes: totals.bytes,
            sealed_bytes: totals.sealed,
            stored_bytes: totals.added_sealed,
            problems: manifest.problems.len(),
            stale_after: time(manifest.stale_after),
            amended: manifest.amended.len(),
            erased: manifest.amended.iter().map(|amendment| amendment.erased).sum(),
            verified_sealed: time(check.and_then(|check| check.sealed)),
            verified_data: time(check.and_then(|check| check.data)),
            drilled: time(check.and_then(|check| check.drilled)),
        }
    }

    fn line(&self) -> String {
        let finished = self.finished.get(..19).unwrap_or(&self.finished).replace('T', " ");
        let scope = match self.scope {
            Scope::Host => "host",
            Scope::Tree => "tree",
        };
        let line = format!(
            "{:>6}  {:<20}  {scope}  {:>9}  {:>10}  {:>10}  {:>8}  {}",
            self.serial,
            finished,
            self.entries,
            Bytes(self.bytes).to_string(),
            Bytes(self.stored_bytes).to_string(),
            self.problems,
            self.state()
        );
        line.trim_end().to_owned() + "\n"
    }

    /// What is known of it, in words.
    fn state(&self) -> String {
        let words = [
            (self.drilled.is_some(), "drilled"),
            (self.verified_data.is_some(), "verified with content"),
            (self.verified_data.is_none() && self.verified_sealed.is_some(), "verified"),
            (self.amended > 0, "amended"),
        ];
        let words: Vec<&str> = words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
        words.join(", ")
    }
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read or a manifest is refused.
pub fn run(context: &Context, args: &Reading) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, args)?;
    let manifests = opened.chain(context)?;
    let checks = Checks::read(&context.state, opened.vault.id(), &opened.host)?;
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_string(),
        host: opened.host.to_string(),
        snapshots: manifests.iter().map(|manifest| Row::of(manifest, &checks)).collect(),
    };
    context.print(&report, || {
        let head = format!(
            "{} in {}\n{:>6}  {:<20}  {:<4}  {:>9}  {:>10}  {:>10}  {:>8}  {}\n",
            report.host,
            opened.place(),
            "number",
            "finished (UTC)",
            "of",
            "entries",
            "content",
            "written",
            "problems",
            "state"
        );
        head + &report.snapshots.iter().map(Row::line).collect::<String>()
    })?;
    Ok(Exit::Done)
}
