//! `lifeboat extract`: files or the whole tree out of a snapshot.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use layout::Bytes;
use serde::Serialize;
use vault::{EntryPath, Restore, Selection};

use crate::cli::Extract;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity;
use crate::progress::Bar;
use crate::reading::Opened;

#[derive(Serialize)]
struct Report {
    schema: u32,
    snapshot: u64,
    entries: u64,
    bytes: u64,
    /// Files that an earlier extraction had completed.
    skipped: u64,
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
/// When the vault cannot be read, a signature or content is refused, the key does not open it, the folder holds something
/// and is not resumed (30), or writing fails.
pub fn run(context: &Context, args: &Extract) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let identities = identity::read(&args.identity)?;
    let manifest = opened.choose(&args.snapshot)?;
    std::fs::create_dir_all(&args.to).with_context(|| format!("making the folder {}", args.to.display()))?;
    if !args.resume {
        refuse_occupied(&args.to)?;
    }
    let bar = Bar::new("extracting");
    let mut restore = Restore::new(&manifest.contents, &identities, args.to.clone());
    restore.select = selection(&args.paths)?;
    restore.skip_complete = args.resume;
    restore.progress = &bar;
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
        skipped: restored.skipped,
        problems: restored
            .problems
            .iter()
            .map(|problem| Problem { path: problem.path.to_string(), what: problem.what.clone() })
            .collect(),
    };
    context.print(&report, || text(&report, &args.to))?;
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Warnings })
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
    for problem in &report.problems {
        text += &format!("not as recorded: {}: {}\n", problem.path, problem.what);
    }
    text
}
