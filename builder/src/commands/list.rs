//! `lifeboat list`: the snapshots of a vault.

use layout::Bytes;
use manifest::{Scope, Verified};
use serde::Serialize;

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
    entries: u64,
    bytes: u64,
    stored_bytes: u64,
    problems: usize,
}

impl Row {
    fn of(manifest: &Verified<Manifest>) -> Self {
        let totals = &manifest.contents.totals;
        Self {
            serial: manifest.serial.0,
            started: manifest.started.to_string(),
            finished: manifest.finished.to_string(),
            scope: manifest.scope,
            entries: totals.entries,
            bytes: totals.bytes,
            stored_bytes: totals.added_sealed,
            problems: manifest.problems.len(),
        }
    }

    fn line(&self) -> String {
        let finished = self.finished.get(..19).unwrap_or(&self.finished).replace('T', " ");
        let scope = match self.scope {
            Scope::Host => "host",
            Scope::Tree => "tree",
        };
        format!(
            "{:>6}  {:<20}  {scope}  {:>9}  {:>10}  {:>10}  {:>8}\n",
            self.serial,
            finished,
            self.entries,
            Bytes(self.bytes).to_string(),
            Bytes(self.stored_bytes).to_string(),
            self.problems
        )
    }
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read or a manifest is refused.
pub fn run(context: &Context, args: &Reading) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, args)?;
    let manifests = opened.chain(context)?;
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_string(),
        host: opened.host.to_string(),
        snapshots: manifests.iter().map(Row::of).collect(),
    };
    context.print(&report, || {
        let head = format!(
            "{} in {}\n{:>6}  {:<20}  {:<4}  {:>9}  {:>10}  {:>10}  {:>8}\n",
            report.host,
            opened.place(),
            "number",
            "finished (UTC)",
            "of",
            "entries",
            "content",
            "written",
            "problems"
        );
        head + &report.snapshots.iter().map(Row::line).collect::<String>()
    })?;
    Ok(Exit::Done)
}
