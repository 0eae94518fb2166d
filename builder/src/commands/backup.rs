//! `lifeboat backup`: captures this host, or a tree, into a vault or onto a stick.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use layout::Bytes;
use manifest::host::Verdict;
use manifest::{Host, Problem};
use serde::Serialize;
use vault::Vault;

use crate::capture::aside::Aside;
use crate::capture::still::Plan;
use crate::capture::{self, Waiver};
use crate::cli::Backup;
use crate::commands::Context;
use crate::config::Hook;
use crate::exit::{Exit, exit_of, refusal};
use crate::feed::{self, Feed};
use crate::hooks::Hooks;
use crate::location::Location;
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
    let feeds = feed::feeds(&context.config, args)?;
    let place = args.vault.clone().or_else(|| args.stick.is_none().then(|| context.config.vault.clone()).flatten());
    if place.is_none() && args.streams_only() {
        let message =
            "a stick restores its newest snapshot, and streams alone restore no machine; name a vault with --vault";
        return Err(refusal(Exit::Usage, format!("{message}; nothing was done")));
    }
    if args.dry_run {
        return plan(context, args, place.as_ref(), feeds);
    }
    let shown = match (&place, &args.stick) {
        (Some(place), _) => place.to_string(),
        (None, stick) => stick.as_ref().map_or_else(|| "stick".into(), |stick| stick.display().to_string()),
    };
    let hooks = Hooks::new(context, shown, args.no_hooks)?;
    let result = match &place {
        Some(place) => into_vault(context, args, place, &hooks, feeds),
        None => onto_stick(context, args, &hooks, feeds),
    };
    let serial = result.as_ref().ok().map(|taken| taken.manifest.serial.0);
    let ending = hooks.end(serial, result.as_ref().map_or_else(exit_of, |taken| snapshot::exit_of(&taken.manifest)));
    let taken = result?;
    if let Some(vault) = taken.vault.as_ref().filter(|_| !ending.problems.is_empty()) {
        let names: Vec<&str> = ending.problems.iter().map(|problem| problem.object.as_str()).collect();
        audit::note(context, vault, "hook", &format!("{} failed", names.join(", ")), ending.exit);
    }
    let report = Report::of(&taken.manifest, &ending.problems, taken.refreshed);
    context.print(&report, || report.text())?;
    Ok(ending.exit)
}

/// A snapshot that was taken.
struct Taken {
    manifest: Manifest,
    /// The vault, where it can still be written.
    vault: Option<Vault>,
    refreshed: bool,
}

fn into_vault(
    context: &Context,
    args: &Backup,
    place: &Location,
    hooks: &Hooks<'_>,
    feeds: Vec<Feed>,
) -> anyhow::Result<Taken> {
    let vault = place.open(context)?;
    let folder = place.path().map(Path::to_owned);
    let subject = || whole(context, args, feeds, None, folder.as_slice(), Some(hooks));
    let manifest = snapshot::take(context, &vault, hooks, subject, Vec::new())?;
    context.state.forget_copy(vault.id(), &manifest.host_name, place)?;
    Ok(Taken { manifest, vault: Some(vault), refreshed: false })
}

fn onto_stick(context: &Context, args: &Backup, hooks: &Hooks<'_>, feeds: Vec<Feed>) -> anyhow::Result<Taken> {
    let stick = Stick::open(context, args.stick.as_deref())?;
    let vault = stick.vault()?;
    // Before anything on the stick is written: a stick that is refused stays as it is.
    let ready = snapshot::newest(context, &vault, &context.config.host_name()?, &context.state.host_key()?)
        .and_then(|_| stick::refresh_if_due(context, &stick, &vault, args.rescue.as_deref()));
    let refresh = ready
        .inspect_err(|error| audit::note(context, &vault, "backup", "failed before the capture", exit_of(error)))?;
    if refresh.done {
        recovery::put(stick.folder(), &context.state.exported(&context.config.host_name()?)?)?;
    }
    let subject = || whole(context, args, feeds, Some(stick.target()), &[], Some(hooks));
    let manifest = snapshot::take(context, &vault, hooks, subject, refresh.boot_files)?;
    stick.close()?;
    Ok(Taken { manifest, vault: None, refreshed: refresh.done })
}

/// All that a run captures.
fn whole(
    context: &Context,
    args: &Backup,
    streams: Vec<Feed>,
    stick: Option<&Path>,
    vaults: &[PathBuf],
    stores: Option<&Hooks<'_>>,
) -> anyhow::Result<Subject> {
    let manner = args.manner();
    if args.streams_only() {
        let nothing = tempfile::tempdir().context("making an empty folder")?;
        let subject = subject(context, Some(nothing.path()), &args.root, stick, vaults, None)?;
        return Ok(Subject { streams, manner, nothing: Some(nothing), ..subject });
    }
    let mut subject = subject(context, args.source.as_deref(), &args.root, stick, vaults, stores)?;
    subject.streams.extend(streams);
    Ok(Subject { manner, ..subject })
}

/// Prints what a run would do.
fn plan(context: &Context, args: &Backup, place: Option<&Location>, feeds: Vec<Feed>) -> anyhow::Result<Exit> {
    let hooks = if args.no_hooks { &[][..] } else { &context.config.hook };
    let subject = match place {
        Some(place) => {
            place.open(context)?;
            whole(context, args, feeds, None, place.path().map(Path::to_owned).as_slice(), None)?
        }
        None => {
            let stick = Stick::open(context, args.stick.as_deref())?;
            stick.vault()?;
            whole(context, args, feeds, Some(stick.target()), &[], None)?
        }
    };
    preview(&subject, hooks)
}

impl Backup {
    /// Whether what commands write is all that is captured.
    pub fn streams_only(&self) -> bool {
        self.source.is_none() && !self.stdin_from.is_empty()
    }

    fn manner(&self) -> Manner {
        Manner { full: self.full, most_blocks: self.most_blocks }
    }
}

/// What is captured: the tree named, or the host below `root` without the stick and without `vaults`. A run that `stores` what it captures has
/// hooks; one that does not touches no guest.
///
/// # Errors
/// When the host cannot be described.
pub fn subject(
    context: &Context,
    source: Option<&Path>,
    root: &Path,
    stick: Option<&Path>,
    vaults: &[PathBuf],
    stores: Option<&Hooks<'_>>,
) -> anyhow::Result<Subject> {
    let Some(root) = source else {
        let mut options = capture::Options {
            root: root.to_owned(),
            stores: stores.is_some(),
            ..host_options(context, stick, vaults)
        };
        options.guests.records = stores.map(|_| context.state.folder().join("guests/snapshots"));
        options.guests.stop = stores.and_then(Hooks::stop).cloned();
        return this_host(&options);
    };
    Ok(Subject {
        root: root.to_owned(),
        cross: Vec::new(),
        exclude: Vec::new(),
        streams: Vec::new(),
        nothing: None,
        private: Vec::new(),
        host: None,
        problems: Vec::new(),
        manner: Manner::default(),
        still: None,
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
        blocks: context.config.blocks.clone(),
        // The words were checked when the configuration was read.
        guests: context.config.guests.policy().unwrap_or_default(),
        snapshots: context.config.snapshots().unwrap_or_default(),
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
        streams: captured.volumes.iter().filter_map(Feed::volume).collect(),
        nothing: None,
        problems: problems.collect(),
        private: captured.private,
        host: Some(captured.host),
        manner: Manner::default(),
        still: Some(captured.still),
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

fn preview(subject: &Subject, hooks: &[Hook]) -> anyhow::Result<Exit> {
    for hook in hooks.iter().filter(|hook| hook.before.is_some()) {
        println!("would run the hook {} before", hook.name);
    }
    for feed in &subject.streams {
        println!("would capture {feed}");
    }
    for hook in hooks.iter().rev().filter(|hook| hook.still.is_some()) {
        println!("would run the hook {} as soon as what is captured stands still, or is read", hook.name);
    }
    for hook in hooks.iter().rev().filter(|hook| hook.after.is_some()) {
        println!("would run the hook {} after", hook.name);
    }
    if subject.nothing.is_some() {
        return Ok(Exit::Done);
    }
    println!("would capture {}", subject.root.display());
    for mount in &subject.cross {
        println!("  and what is mounted at {}", mount.display());
    }
    for line in subject.still.iter().flat_map(Plan::lines) {
        println!("  would read {line}");
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

impl Report {
    fn of(manifest: &Manifest, late: &[Problem], boot_slot_refreshed: bool) -> Self {
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
            problems: manifest
                .problems
                .iter()
                .chain(late)
                .map(|problem| format!("{}: {}", problem.object, problem.what))
                .collect(),
        }
    }
    /// For people.
    fn text(&self) -> String {
        let report = self;
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
        if report.boot_slot_refreshed {
            text += "boot slot refreshed\n";
        }
        for item in &report.uncovered {
            text += &format!("NOT CAPTURED: {item}\n");
        }
        if !report.uncovered.is_empty() {
            text += "what is not captured is lost when this host is; waive it by name in the configuration if that is meant\n";
        }
        for problem in &report.problems {
            text += &format!("warning: {problem}\n");
        }
        text
    }
}

/// What a run did, for people; `late` is what came up after the manifest was signed.
pub fn text(manifest: &Manifest, late: &[Problem]) -> String {
    Report::of(manifest, late, false).text()
}
