//! `lifeboat backup`: captures this host, or a tree, into a vault or onto a stick.

use std::path::{Path, PathBuf};

use layout::Bytes;
use manifest::host::Verdict;
use manifest::{Host, Problem};
use serde::Serialize;

use crate::capture::aside::Aside;
use crate::capture::{self, Waiver};
use crate::cli::Backup;
use crate::commands::Context;
use crate::exit::{Exit, exit_of};
use crate::medium::Stick;
use crate::reading::Manifest;
use crate::snapshot::{self, Manner, Subject};
use crate::{audit, recovery, stick};

/// What a run did.
#[derive(Serialize)]
struct Report {
    schema: u32,
    snapshot: u64,
    host: String,
    entries: u64,
    bytes: u64,
    unchanged: u64,
    stored_bytes: u64,
    seconds: f64,
    boot_slot_refreshed: bool,
    uncovered: Vec<String>,
    problems: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no vault (10), another run has the lock (11), the vault was rolled back (22), or storing fails.
pub fn run(context: &Context, args: &Backup) -> anyhow::Result<Exit> {
    let place = args.vault.clone().or_else(|| args.stick.is_none().then(|| context.config.vault.clone()).flatten());
    match place {
        Some(place) => {
            let vault = place.open(context)?;
            let folder = place.path().map(Path::to_owned);
            let subject = Subject {
                manner: args.manner(),
                ..subject(context, args.source.as_deref(), &args.root, None, folder.as_slice(), !args.dry_run)?
            };
            if args.dry_run {
                return preview(&subject);
            }
            let manifest = snapshot::take(context, &vault, subject, Vec::new())?;
            context.state.forget_copy(vault.id(), &manifest.host_name, &place)?;
            print(context, &manifest, false)
        }
        None => onto_stick(context, args),
    }
}

fn onto_stick(context: &Context, args: &Backup) -> anyhow::Result<Exit> {
    let stick = Stick::open(context, args.stick.as_deref())?;
    let vault = stick.vault()?;
    let subject = Subject {
        manner: args.manner(),
        ..subject(context, args.source.as_deref(), &args.root, Some(stick.target()), &[], !args.dry_run)?
    };
    if args.dry_run {
        return preview(&subject);
    }
    // Before anything on the stick is written: a stick that is refused stays as it is.
    let ready = snapshot::newest(context, &vault, &context.config.host_name()?, &context.state.host_key()?)
        .and_then(|_| stick::refresh_if_due(context, &stick, &vault, args.rescue.as_deref()));
    let refresh = ready
        .inspect_err(|error| audit::note(context, &vault, "backup", "failed before the capture", exit_of(error)))?;
    if refresh.done {
        recovery::put(stick.folder(), &context.state.exported(&context.config.host_name()?)?)?;
    }
    let manifest = snapshot::take(context, &vault, subject, refresh.boot_files)?;
    stick.close()?;
    print(context, &manifest, refresh.done)
}

impl Backup {
    fn manner(&self) -> Manner {
        Manner { full: self.full, most_blocks: self.most_blocks }
    }
}

/// What is captured: the tree named, or the host below `root` without the stick and without `vaults`. A run that `stores` nothing touches
/// no guest.
///
/// # Errors
/// When the host cannot be described.
pub fn subject(
    context: &Context,
    source: Option<&Path>,
    root: &Path,
    stick: Option<&Path>,
    vaults: &[PathBuf],
    stores: bool,
) -> anyhow::Result<Subject> {
    let Some(root) = source else {
        let mut options = capture::Options { root: root.to_owned(), ..host_options(context, stick, vaults) };
        options.guests.records = stores.then(|| context.state.folder().join("guests/snapshots"));
        return this_host(&options);
    };
    Ok(Subject {
        root: root.to_owned(),
        cross: Vec::new(),
        exclude: Vec::new(),
        private: Vec::new(),
        host: None,
        problems: Vec::new(),
        manner: Manner::default(),
        aside: Aside::default(),
    })
}

/// How this host is captured, by its configuration.
pub fn host_options(context: &Context, stick: Option<&Path>, vaults: &[PathBuf]) -> capture::Options {
    let waivers = context.config.waive.iter();
    capture::Options {
        waivers: waivers.map(|waiver| Waiver { pattern: waiver.what.clone(), reason: waiver.reason.clone() }).collect(),
        stick: stick.map(|path| path.to_string_lossy().into_owned()),
        vaults: vaults.to_vec(),
        state: context.state.folder().to_owned(),
        exclude: context.config.exclude.clone(),
        volume_keys: context.config.luks.keep_volume_key,
        preview: context.config.preview.clone(),
        // The words were checked when the configuration was read.
        guests: context.config.guests.policy().unwrap_or_default(),
        ..capture::Options::default()
    }
}

fn this_host(options: &capture::Options) -> anyhow::Result<Subject> {
    let captured = capture::host(options)?;
    let problems = captured.host.gaps.iter().map(|gap| Problem { object: gap.what.clone(), what: gap.why.clone() });
    let exclude = captured.roots.exclude.iter().map(|exclusion| exclusion.pattern.parse());
    Ok(Subject {
        root: captured.roots.root,
        cross: captured.roots.cross,
        exclude: exclude.collect::<Result<_, _>>()?,
        problems: problems.collect(),
        private: captured.private,
        host: Some(captured.host),
        manner: Manner::default(),
        aside: captured.aside,
    })
}

/// What does not come back without anybody having said so, each in a line.
pub fn uncovered(host: &Host) -> impl Iterator<Item = String> {
    host.coverage.uncovered().map(|item| match &item.verdict {
        Verdict::Uncovered { reason, .. } => format!("{} ({}): {reason}", item.path, item.what),
        _ => item.path.clone(),
    })
}

fn preview(subject: &Subject) -> anyhow::Result<Exit> {
    println!("would capture {}", subject.root.display());
    for mount in &subject.cross {
        println!("  and what is mounted at {}", mount.display());
    }
    for exclusion in &subject.exclude {
        println!("  without {exclusion}");
    }
    let Some(host) = &subject.host else { return Ok(Exit::Done) };
    for item in uncovered(host) {
        println!("not covered: {item}");
    }
    Ok(Exit::Done)
}

/// Prints what a run did; the exit code says whether all of the host is in it.
///
/// # Errors
/// When the report cannot be encoded.
fn print(context: &Context, manifest: &Manifest, boot_slot_refreshed: bool) -> anyhow::Result<Exit> {
    context.print(&Report::of(manifest, boot_slot_refreshed), || text(manifest, boot_slot_refreshed))?;
    Ok(snapshot::exit_of(manifest))
}

impl Report {
    fn of(manifest: &Manifest, boot_slot_refreshed: bool) -> Self {
        let totals = &manifest.contents.totals;
        Self {
            schema: 1,
            snapshot: manifest.serial.0,
            host: manifest.host_name.to_string(),
            entries: totals.entries,
            bytes: totals.bytes,
            unchanged: totals.unchanged,
            stored_bytes: totals.added_sealed,
            seconds: manifest.finished.duration_since(manifest.started).as_secs_f64(),
            boot_slot_refreshed,
            uncovered: manifest.host.iter().flat_map(uncovered).collect(),
            problems: manifest.problems.iter().map(|problem| format!("{}: {}", problem.object, problem.what)).collect(),
        }
    }
}

/// What a run did, for people.
pub fn text(manifest: &Manifest, boot_slot_refreshed: bool) -> String {
    let report = Report::of(manifest, boot_slot_refreshed);
    let mut text = format!(
        "snapshot {} of {}: {} entries, {}; {} unchanged; {} written in {:.1} s\n",
        report.snapshot,
        report.host,
        report.entries,
        Bytes(report.bytes),
        report.unchanged,
        Bytes(report.stored_bytes),
        report.seconds
    );
    if boot_slot_refreshed {
        text += "boot slot refreshed\n";
    }
    for item in &report.uncovered {
        text += &format!("NOT CAPTURED: {item}\n");
    }
    if !report.uncovered.is_empty() {
        text +=
            "what is not captured is lost when this host is; waive it by name in the configuration if that is meant\n";
    }
    for problem in &report.problems {
        text += &format!("warning: {problem}\n");
    }
    text
}
