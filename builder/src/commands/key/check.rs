//! `lifeboat key check`: does this identity open every run that the snapshots need?

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use vault::Kind;

use crate::cli::Reading;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity;
use crate::reading::Opened;

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    runs: usize,
    closed: Vec<Closed>,
}

/// A run that the identity does not open.
#[derive(Serialize)]
struct Closed {
    run: String,
    snapshots: Vec<u64>,
}

/// Runs the command.
///
/// # Errors
/// When the vault is refused, or a key file in it is damaged (21).
pub fn run(context: &Context, reading: &Reading, file: &Path) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, reading)?;
    let identities = identity::of(&opened.vault, file)?;
    let mut runs = BTreeMap::new();
    for manifest in opened.chain(context)? {
        for run in &manifest.contents.runs {
            let (_, snapshots) = runs.entry(run.id.to_string()).or_insert_with(|| (run.clone(), Vec::new()));
            snapshots.push(manifest.serial.0);
        }
    }
    if runs.is_empty() {
        return Err(refusal(
            Exit::NoVault,
            format!("there is no snapshot of {} yet: nothing to try it on", opened.host),
        ));
    }
    let mut closed = Vec::new();
    for (name, (run, snapshots)) in &runs {
        match opened.vault.opens(run, &identities) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::WrongKey => {
                closed.push(Closed { run: name.clone(), snapshots: snapshots.clone() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_owned(),
        host: opened.host.to_string(),
        runs: runs.len(),
        closed,
    };
    context.print(&report, || text(&report))?;
    Ok(if report.closed.is_empty() { Exit::Done } else { Exit::WrongKey })
}

fn text(report: &Report) -> String {
    if report.closed.is_empty() {
        return format!("it opens all {} runs of {}", report.runs, report.host);
    }
    let mut text =
        format!("it opens {} of {} runs of {}\n", report.runs - report.closed.len(), report.runs, report.host);
    for closed in &report.closed {
        let snapshots: Vec<String> = closed.snapshots.iter().map(ToString::to_string).collect();
        text += &format!("closed to it: run {}, needed by snapshots {}\n", closed.run, snapshots.join(", "));
    }
    text
}
