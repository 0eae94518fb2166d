//! `lifeboat extract`: files or the whole tree out of a snapshot.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use layout::Bytes;
use serde::Serialize;
use vault::{EntryPath, ProblemKind, Restore, Selection};

use crate::cli::Extract;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::progress::Bar;
use crate::reading::Opened;
use crate::{audit, identity};

#[derive(Serialize)]
struct Report {
    schema: u32,
    snapshot: u64,
    entries: u64,
    bytes: u64,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    path: String,
    what: String,
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read, a signature or content is refused, the key does not open it, or writing fails.
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
    let manifest = opened.choose(&args.snapshot)?;
    std::fs::create_dir_all(&args.to).with_context(|| format!("making the folder {}", args.to.display()))?;
    let bar = Bar::new("extracting");
    let mut restore = Restore::new(&manifest.contents, &identities, args.to.clone());
    restore.select = selection(&args.paths)?;
    restore.progress = &bar;
    restore.keep_going = args.keep_going;
    let restored = opened.vault.restore(&restore).map_err(|error| match error {
        // Of all that can be missing only a path that was asked for starts with a slash.
        vault::Error::NotFound { object } if object.starts_with('/') => {
            refusal(Exit::Failed, format!("{object} {}: there is nothing of that name", manifest.serial))
        }
        other => other.into(),
    })?;
    bar.finish();
    let report = Report {
        schema: 1,
        snapshot: manifest.serial.0,
        entries: restored.entries,
        bytes: restored.bytes,
        problems: restored
            .problems
            .iter()
            .map(|problem| Problem { path: problem.path.to_string(), what: problem.what.clone() })
            .collect(),
    };
    context.print(&report, || text(&report, &args.to))?;
    let damaged = restored.problems.iter().any(|problem| problem.kind == ProblemKind::Damaged);
    Ok(match report.problems.is_empty() {
        true if opened.wreck.is_none() => Exit::Done,
        false if !damaged && opened.wreck.is_none() => Exit::Warnings,
        _ => Exit::Corrupt,
    })
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
    for problem in &report.problems {
        text += &format!("not as recorded: {}: {}\n", problem.path, problem.what);
    }
    text
}
