//! `lifeboat extract`: files or the whole tree out of a snapshot.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use layout::Bytes;
use manifest::Serial;
use serde::Serialize;
use vault::{EntryPath, Fault, ProblemKind, Restore, Restored, Selection};

use crate::cli::Extract;
use crate::commands::Context;
use crate::exit::{Exit, exit_of, refusal};
use crate::progress::{Bar, Counted};
use crate::reading::Opened;
use crate::{audit, identity};

#[derive(Serialize)]
struct Report {
    schema: u32,
    snapshot: u64,
    entries: u64,
    bytes: u64,
    /// Files that an earlier extraction had completed.
    skipped: u64,
    problems: Vec<Problem>,
    /// Objects that are not as signed, and what each cost.
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Problem {
    path: String,
    /// The data is lost, as opposed to something that this destination cannot hold.
    lost: bool,
    what: String,
}

#[derive(Serialize)]
struct Damaged {
    object: String,
    what: String,
    entries: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read, a signature or content is refused, the key does not open it, the folder holds something
/// and is not resumed (30), or writing fails.
pub fn run(context: &Context, args: &Extract) -> anyhow::Result<Exit> {
    let opened = match args.keep_going {
        true => Opened::open_what_is_left(context, &args.reading)?,
        false => Opened::open(context, &args.reading)?,
    };
    if let Some(wreck) = &opened.wreck {
        eprintln!("lifeboat: {wreck:#}; going on without it, for the signed manifests say what is needed");
    }
    let detail = format!("snapshot {} of {}", args.snapshot, opened.host);
    let result = extract(context, args, &opened);
    audit::noted(context, &opened.vault, "extract", &detail, result)
}

fn extract(context: &Context, args: &Extract, opened: &Opened) -> anyhow::Result<Exit> {
    let identities = identity::of(&opened.vault, &args.identity)?;
    let manifest = opened.choose(&args.snapshot).map_err(|error| or_another(opened, None, error))?;
    let manifest = opened.unless_rolled_back(context, &args.snapshot, manifest)?;
    let index = opened.vault.check_index(&manifest.contents);
    index.map_err(|error| or_another(opened, Some(manifest.serial), error.into()))?;
    std::fs::create_dir_all(&args.to).with_context(|| format!("making the folder {}", args.to.display()))?;
    if !args.resume {
        refuse_occupied(&args.to)?;
    }
    let bar = Counted::new(Bar::new("extracting"));
    let mut restore = Restore::new(&manifest.contents, &identities, args.to.clone());
    restore.select = selection(&args.paths)?;
    restore.skip_complete = args.resume;
    restore.keep_going = args.keep_going;
    restore.devices &= !args.no_devices;
    restore.progress = &bar;
    let restored = opened.vault.restore(&restore).map_err(|error| match error {
        // Of all that can be missing only a path that was asked for starts with a slash.
        vault::Error::NotFound { object } if object.starts_with('/') => {
            refusal(Exit::Failed, format!("{object} {}: there is nothing of that name", manifest.serial))
        }
        error if error.kind() == vault::Kind::Corrupt => stopped(error, bar.so_far(), args),
        other => other.into(),
    })?;
    bar.into_inner().finish();
    let report = Report::of(manifest.serial.0, &restored);
    for damaged in &report.damaged {
        eprintln!("lifeboat: damaged: {}: {}", damaged.object, damaged.what);
    }
    for problem in report.problems.iter().filter(|problem| problem.lost) {
        eprintln!("lifeboat: lost: {}: {}", problem.path, problem.what);
    }
    context.print(&report, || text(&report, &args.to))?;
    Ok(match &opened.wreck {
        _ if !report.damaged.is_empty() => Exit::Corrupt,
        Some(wreck) => exit_of(wreck),
        None if report.problems.is_empty() => Exit::Done,
        None => Exit::Warnings,
    })
}

impl Report {
    fn of(snapshot: u64, restored: &Restored) -> Self {
        let problem = |problem: &vault::Problem| Problem {
            path: problem.path.to_string(),
            lost: problem.kind == ProblemKind::Damaged,
            what: problem.what.clone(),
        };
        let damaged = |fault: &Fault| Damaged {
            object: fault.object.clone(),
            what: fault.what.clone(),
            entries: fault.entries.iter().map(ToString::to_string).collect(),
        };
        Self {
            schema: 1,
            snapshot,
            entries: restored.entries,
            bytes: restored.bytes,
            skipped: restored.skipped,
            problems: restored.problems.iter().map(problem).collect(),
            damaged: restored.damaged.iter().map(damaged).collect(),
        }
    }
}

/// A snapshot that is refused as a whole: which others are left.
fn or_another(opened: &Opened, refused: Option<Serial>, error: anyhow::Error) -> anyhow::Error {
    if !matches!(exit_of(&error), Exit::Signature | Exit::Corrupt) {
        return error;
    }
    let others: Vec<String> = opened.others_that_hold(refused).iter().map(ToString::to_string).collect();
    let others = match others.as_slice() {
        [] => "no other snapshot in this vault holds either".to_owned(),
        some => format!("name another, these hold: {}", some.join(", ")),
    };
    error.context(format!("the snapshot is refused and nothing was written; {others}"))
}

/// The restore ended at the first damage: what is there now, and how to get the rest.
fn stopped(error: vault::Error, (bytes, entries): (u64, u64), args: &Extract) -> anyhow::Error {
    let advice = if args.keep_going { "" } else { "; --keep-going restores everything that is undamaged" };
    anyhow::Error::new(error).context(format!(
        "stopped at the first damage: {entries} entries, {} are in {} as the snapshot has them, the rest is missing or unfinished{advice}",
        Bytes(bytes),
        args.to.display()
    ))
}

/// What is restored replaces what has its name, so nobody's files may be there by mistake.
fn refuse_occupied(folder: &Path) -> anyhow::Result<()> {
    let reading = || format!("reading the folder {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        // A fresh filesystem has this one.
        if entry.with_context(reading)?.file_name() != "lost+found" {
            let message = format!(
                "{} is not empty, nothing was changed; name an empty folder, or give --resume to finish an extraction that was cut",
                folder.display()
            );
            return Err(refusal(Exit::Guard, message));
        }
    }
    Ok(())
}

fn selection(paths: &[std::path::PathBuf]) -> anyhow::Result<Selection> {
    if paths.is_empty() {
        return Ok(Selection::All);
    }
    let entry = |path: &std::path::PathBuf| {
        EntryPath::from_argument(path.as_os_str().as_bytes())
            .ok_or_else(|| refusal(Exit::Usage, format!("{}: no path inside a snapshot", path.display())))
    };
    Ok(Selection::Paths(paths.iter().map(entry).collect::<anyhow::Result<_>>()?))
}

fn text(report: &Report, to: &Path) -> String {
    let mut text = format!(
        "{} entries, {} from snapshot {} in {}\n",
        report.entries,
        Bytes(report.bytes),
        report.snapshot,
        to.display()
    );
    if report.skipped > 0 {
        text += &format!("{} files were complete before and left alone\n", report.skipped);
    }
    for problem in report.problems.iter().filter(|problem| !problem.lost) {
        text += &format!("not as recorded: {}: {}\n", problem.path, problem.what);
    }
    let lost = report.problems.iter().filter(|problem| problem.lost).count();
    if !report.damaged.is_empty() {
        text += &format!(
            "{} damaged objects cost {lost} entries, named above; everything else is restored\n",
            report.damaged.len()
        );
    }
    text
}
