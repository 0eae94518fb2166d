//! `lifeboat diff`: what differs between two snapshots. Both catalogues are read as streams; with `--json` each line
//! is an object.

use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;

use layout::Bytes;
use serde::Serialize;
use vault::{Aspect, Diff, Difference, Entry, EntryKind, EntryPath};

use crate::cli;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::identity;
use crate::reading::Opened;

/// First line of the JSON form.
#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    vault: &'a str,
    host: &'a str,
    from: u64,
    to: u64,
}

/// One difference in the JSON form.
#[derive(Serialize)]
struct Line {
    change: &'static str,
    path: String,
    #[serde(rename = "type")]
    kind: char,
    /// In what it differs, for `changed`.
    what: Vec<&'static str>,
    size_before: Option<u64>,
    size_after: Option<u64>,
}

/// Last line of the JSON form.
#[derive(Default, Serialize)]
struct Summary {
    added: u64,
    removed: u64,
    changed: u64,
    /// Sizes of files that are new, that are gone, and that changed in content (as they are now).
    added_bytes: u64,
    removed_bytes: u64,
    changed_bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read, a manifest or catalogue is refused, or the key does not open it.
pub fn run(context: &Context, args: &cli::Diff) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let identities = identity::read(&args.identity)?;
    let below = args.path.as_ref().map_or(Ok(EntryPath::root()), |path| {
        EntryPath::from_argument(path.as_os_str().as_bytes())
            .ok_or_else(|| refusal(Exit::Usage, format!("{}: no path inside a snapshot", path.display())))
    })?;
    let (from, to) = (opened.choose(&args.from)?, opened.choose(&args.to)?);
    let catalogue = |contents| opened.vault.catalogue(contents, &identities);
    let differences = Diff::new(catalogue(&from.contents)?, catalogue(&to.contents)?);
    let head =
        Head { schema: 1, vault: opened.vault.id(), host: opened.host.as_str(), from: from.serial.0, to: to.serial.0 };
    let output = BufWriter::new(std::io::stdout().lock());
    match print(context.json, output, &head, differences, &below) {
        // Whoever reads has read enough (`| head`).
        Err(error) if broken_pipe(&error) => Ok(Exit::Done),
        other => other.map(|()| Exit::Done),
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn print(
    json: bool,
    mut output: impl Write,
    head: &Head<'_>,
    differences: impl Iterator<Item = vault::Result<Difference>>,
    below: &EntryPath,
) -> anyhow::Result<()> {
    let mut summary = Summary::default();
    if json {
        write_json(&mut output, head)?;
    }
    for difference in differences {
        let line = Line::of(&difference?, below, &mut summary);
        match line {
            Some(line) if json => write_json(&mut output, &line)?,
            Some(line) => writeln!(output, "{}", line.text())?,
            None => {}
        }
    }
    if json {
        write_json(&mut output, &summary)?
    } else {
        writeln!(output, "{}", summary.text(head))?
    }
    Ok(output.flush()?)
}

fn write_json(output: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *output, value)?;
    output.write_all(b"\n")
}

impl Line {
    /// The line for a difference at or below a path, which is counted in the summary.
    fn of(difference: &Difference, below: &EntryPath, summary: &mut Summary) -> Option<Self> {
        let size = |entry: &Entry| (entry.kind == EntryKind::File).then_some(entry.size);
        let (change, entry, before, after, what) = match difference {
            Difference::Added(entry) => ("added", entry, None, size(entry), &[][..]),
            Difference::Removed(entry) => ("removed", entry, size(entry), None, &[][..]),
            Difference::Changed { before, after, what } => ("changed", after, size(before), size(after), &what[..]),
        };
        if !entry.path.is_at_or_below(below) {
            return None;
        }
        match difference {
            Difference::Added(_) => {
                summary.added += 1;
                summary.added_bytes += after.unwrap_or(0);
            }
            Difference::Removed(_) => {
                summary.removed += 1;
                summary.removed_bytes += before.unwrap_or(0);
            }
            Difference::Changed { .. } => {
                summary.changed += 1;
                summary.changed_bytes += after.filter(|_| what.contains(&Aspect::Content)).unwrap_or(0);
            }
        }
        let what = what.iter().map(|aspect| aspect.word()).collect();
        let path = entry.path.to_string();
        Some(Self { change, path, kind: entry.kind.letter(), what, size_before: before, size_after: after })
    }

    fn text(&self) -> String {
        let sign = match self.change {
            "added" => '+',
            "removed" => '-',
            _ => 'M',
        };
        let size = match (self.size_before, self.size_after) {
            (Some(before), Some(after)) if before != after => format!("  {} -> {}", Bytes(before), Bytes(after)),
            (_, Some(size)) | (Some(size), None) => format!("  {}", Bytes(size)),
            (None, None) => String::new(),
        };
        let what = if self.what.is_empty() { String::new() } else { format!("  ({})", self.what.join(", ")) };
        format!("{sign} {}{size}{what}", self.path)
    }
}

impl Summary {
    fn text(&self, head: &Head<'_>) -> String {
        format!(
            "snapshot {} to {} of {}: {} added ({}), {} removed ({}), {} changed ({})",
            head.from,
            head.to,
            head.host,
            self.added,
            Bytes(self.added_bytes),
            self.removed,
            Bytes(self.removed_bytes),
            self.changed,
            Bytes(self.changed_bytes)
        )
    }
}
