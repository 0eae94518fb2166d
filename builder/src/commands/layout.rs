//! `lifeboat layout`: this host's storage as it is, and against its last snapshot.

use std::path::Path;

use layout::Layout;
use layout::drift::Drift;
use manifest::host::{Coverage, Gap};
use manifest::{Serial, Verified};
use serde::Serialize;

use crate::capture::{self, Captured};
use crate::cli::{Check, Layout as Asked, Live};
use crate::commands::Context;
use crate::commands::backup::{host_options, uncovered};
use crate::commands::show;
use crate::drift;
use crate::exit::{Exit, refusal};
use crate::medium;
use crate::reading::{Manifest, Opened};

/// Runs the command.
///
/// # Errors
/// When the host cannot be described, and for a check when there is no vault (10) or no manifest that counts (20, 22).
pub fn run(context: &Context, asked: &Asked) -> anyhow::Result<Exit> {
    match asked {
        Asked::Show(live) => show_live(context, live),
        Asked::Check(args) => check(context, args),
    }
}

/// The host below `root`; the stick is not part of it.
///
/// # Errors
/// When its mount table cannot be read.
pub fn captured(context: &Context, root: &Path) -> anyhow::Result<Captured> {
    // A stick that is not plugged in is not in the way either.
    let stick = context.config.stick.clone().or_else(|| medium::find_known(context).ok());
    let folder = context.config.vault.as_ref().and_then(|vault| vault.path()).map(Path::to_owned);
    capture::host(&capture::Options {
        root: root.to_owned(),
        ..host_options(context, stick.as_deref(), folder.as_slice())
    })
}

/// What `show` prints as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    schema: u32,
    layout: &'a Layout,
    coverage: &'a Coverage,
    gaps: &'a [Gap],
}

fn show_live(context: &Context, live: &Live) -> anyhow::Result<Exit> {
    let host = captured(context, &live.root)?.host;
    let shown = Shown { schema: 1, layout: &host.layout, coverage: &host.coverage, gaps: &host.gaps };
    context.print(&shown, || {
        let mut text = show::storage(&host.layout) + &show::coverage(&host.coverage);
        host.gaps.iter().for_each(|gap| text += &format!("warning    {}: {}\n", gap.what, gap.why));
        text
    })?;
    Ok(Exit::Done)
}

/// What `check` prints as JSON.
#[derive(Serialize)]
struct Checked {
    schema: u32,
    verdict: &'static str,
    host: String,
    snapshot: u64,
    taken: jiff::Timestamp,
    drift: Vec<Drift>,
    uncovered: Vec<String>,
}

fn check(context: &Context, args: &Check) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let manifest = of_a_host(context, &opened, &args.snapshot)?;
    let Some(recorded) = &manifest.host else { return Err(no_host(&args.snapshot)) };
    let live = captured(context, &args.live.root)?.host;
    let drift = drift::between(recorded, &live);
    let uncovered: Vec<String> = uncovered(&live).collect();
    let exit = if drift.is_empty() && uncovered.is_empty() { Exit::Done } else { Exit::Warnings };
    let checked = Checked {
        schema: 1,
        verdict: if exit == Exit::Done { "same" } else { "drift" },
        host: manifest.host_name.to_string(),
        snapshot: manifest.serial.0,
        taken: manifest.finished,
        drift,
        uncovered,
    };
    context.print(&checked, || text(&checked))?;
    Ok(exit)
}

/// The snapshot that `choice` names; the latest is the latest of a whole host, for a tree of files has no layout.
fn of_a_host(context: &Context, opened: &Opened, choice: &str) -> anyhow::Result<Verified<Manifest>> {
    let chosen = opened.choose(choice)?;
    let chosen = opened.unless_rolled_back(context, choice, chosen)?;
    if choice != "latest" || chosen.host.is_some() {
        return Ok(chosen);
    }
    let earlier = opened.serials()?.into_iter().rev().filter(|serial| *serial < chosen.serial);
    let mut manifests = earlier.map(|serial: Serial| opened.manifest(serial));
    let found = manifests.find(|manifest| !matches!(manifest, Ok(manifest) if manifest.host.is_none()));
    found.unwrap_or_else(|| Err(no_host(choice)))
}

fn no_host(choice: &str) -> anyhow::Error {
    let message =
        format!("snapshot {choice} is of a tree of files and records no storage; take one of the whole host first");
    refusal(Exit::Failed, message)
}

fn text(checked: &Checked) -> String {
    let taken = checked.taken.strftime("%Y-%m-%d %H:%M UTC");
    let mut text = format!("{} against snapshot {} of {taken}\n", checked.host, checked.snapshot);
    for drift in &checked.drift {
        text += &format!("drift: {drift}\n");
    }
    for item in &checked.uncovered {
        text += &format!("NOT COVERED: {item}\n");
    }
    if checked.drift.is_empty() && checked.uncovered.is_empty() {
        text += "the same: a restore of that snapshot makes this host's storage and boot chain as they are now\n";
    } else if !checked.drift.is_empty() {
        text += "a restore of that snapshot brings the older state back; `lifeboat backup` records this one\n";
    }
    text
}
