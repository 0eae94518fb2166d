//! `lifeboat erase`: makes named paths unreadable in all snapshots of a vault, and says what remains.

use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;
use layout::Bytes;
use manifest::{Digest, HostKey};
use serde::Serialize;
use vault::{EntryPath, ErasePlan};

use crate::cli;
use crate::commands::{Context, init};
use crate::erasure::{Erasure, Field};
use crate::exit::{Exit, refusal};
use crate::reading::Opened;
use crate::writing::Writable;
use crate::{identity, snapshot};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    /// Whether it was only planned.
    dry_run: bool,
    /// Entries erased, counted in each snapshot.
    entries: u64,
    snapshots: Vec<Row>,
    segments_rewritten: usize,
    removed_bytes: u64,
    /// What the audit log has instead of the names: SHA-256 over `salt` and the paths, one a line.
    salt: String,
    digest: Digest,
    remains: Vec<&'static str>,
}

#[derive(Serialize)]
struct Row {
    host: String,
    snapshot: u64,
    entries: u64,
}

const REMAINS: &[&str] = &[
    "copies of this vault (other sticks, `lifeboat copy`, rsync, object versions of a store): erase there too",
    "freed blocks of the medium: flash keeps them until it reuses them, and snapshots of the filesystem keep them as they were",
    "the same content under other paths, and whatever was restored or extracted before",
    "the file itself, where it still exists: the next backup stores it again unless it is excluded",
];

/// Runs the command.
///
/// # Errors
/// When nothing is at the paths (1), another run has the lock (11), the key does not open everything (12), a manifest
/// of the vault is refused (20, 21), another name keeps the content (30), consent is missing (31), or writing fails.
pub fn run(context: &Context, args: &cli::Erase) -> anyhow::Result<Exit> {
    let paths = paths(args)?;
    let identities = identity::read(&args.identity)?;
    let key = context.state.host_key()?;
    let writable =
        if args.dry_run { Writable::look(context, &args.writing)? } else { Writable::open(context, &args.writing)? };
    let opened = &writable.opened;
    let lock = if args.dry_run { None } else { Some(opened.vault.lock()?) };
    refuse_foreign_key(opened, &key)?;
    opened.chain(context)?;
    let field = Field::read(opened, args.writing.host.as_deref())?;
    let erasure = Erasure { field: &field, paths: &paths, identities: &identities };
    let plan = erasure.plan(opened)?;
    refuse_shared(&plan)?;
    refuse_nothing(opened, &erasure, &plan)?;
    let mut report = Report::of(opened, &erasure, &plan)?;
    if args.dry_run {
        report.dry_run = true;
        context.print(&report, || report.text(&paths))?;
        return Ok(Exit::Done);
    }
    let entries = report.entries;
    init::consent(args.yes, &format!("erase {entries} entries from {} snapshots for ever?", report.snapshots.len()))?;
    report.removed_bytes = erasure.apply(context, opened, &plan, &key).context(
        "the erase was cut: every snapshot is whole, with or without what was to be erased; run the same command again to finish",
    )?;
    snapshot::record(&opened.vault, &context.config.host_name()?, &key, "erase", &report.detail(), Exit::Done)?;
    drop(lock);
    writable.close()?;
    context.print(&report, || report.text(&paths))?;
    Ok(Exit::Done)
}

fn paths(args: &cli::Erase) -> anyhow::Result<Vec<EntryPath>> {
    let path = |path: &std::path::PathBuf| {
        let entry = EntryPath::from_argument(path.as_os_str().as_bytes());
        entry.filter(|entry| !entry.is_root()).ok_or_else(|| {
            let message = format!("{}: a path inside a snapshot is wanted, and not its root", path.display());
            refusal(Exit::Usage, message)
        })
    };
    args.paths.iter().map(path).collect()
}

/// The amended manifests are signed by this host: nobody could read them if its signature did not count.
fn refuse_foreign_key(opened: &Opened, key: &HostKey) -> anyhow::Result<()> {
    if opened.trusted().iter().any(|signer| signer.key == key.public()) {
        return Ok(());
    }
    let message = "this host's key is not among those whose signatures count, and what it signs would be refused; nothing was changed";
    Err(refusal(Exit::Guard, message))
}

/// All names of an inode, or none: the content stays as long as one of them does.
fn refuse_shared(plan: &ErasePlan) -> anyhow::Result<()> {
    if plan.shared.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = plan.shared.iter().map(|(path, other)| format!("{path} is also {other}")).collect();
    let message = format!(
        "hard links keep the content: {}. Name all names of a file, or none; nothing was changed",
        names.join("; ")
    );
    Err(refusal(Exit::Guard, message))
}

fn refuse_nothing(opened: &Opened, erasure: &Erasure<'_>, plan: &ErasePlan) -> anyhow::Result<()> {
    let found = plan.erased.iter().any(|erased| *erased > 0)
        || plan.segments() > 0
        || erasure.field.is_half_done()
        || erasure.field.scope.iter().any(|held| erasure.is_named_in(held))
        || !erasure.field.unnamed(opened)?.is_empty()
        || opened.vault.is_erase_marked();
    if found {
        return Ok(());
    }
    Err(refusal(Exit::Failed, "there is nothing of that name in any snapshot; nothing was changed"))
}

impl Report {
    fn of(opened: &Opened, erasure: &Erasure<'_>, plan: &ErasePlan) -> anyhow::Result<Self> {
        let row = |(held, erased): (&crate::holdings::Held, &u64)| Row {
            host: held.name.host.clone(),
            snapshot: held.name.serial,
            entries: *erased,
        };
        let rows = erasure.field.scope.iter().zip(&plan.erased).map(row);
        let salt = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("reading a random number")?;
        let salt = salt.trim().to_owned();
        let text: String = erasure.paths.iter().map(|path| format!("{path}\n")).collect();
        Ok(Self {
            schema: 1,
            vault: opened.vault.id().to_owned(),
            dry_run: false,
            entries: plan.erased.iter().sum(),
            snapshots: rows.filter(|row| row.entries > 0).collect(),
            segments_rewritten: plan.segments(),
            removed_bytes: 0,
            digest: Digest::of(format!("{salt}\n{text}").as_bytes()),
            salt,
            remains: REMAINS.to_vec(),
        })
    }

    /// For the audit log, without the names.
    fn detail(&self) -> String {
        let snapshots: Vec<String> =
            self.snapshots.iter().map(|row| format!("{}/{}", row.host, row.snapshot)).collect();
        format!(
            "{} entries in snapshots {}; paths with salt: SHA-256 {}",
            self.entries,
            snapshots.join(" "),
            self.digest
        )
    }

    fn text(&self, paths: &[EntryPath]) -> String {
        let mut text = String::new();
        for row in &self.snapshots {
            text += &format!("snapshot {} of {}: {} entries\n", row.snapshot, row.host, row.entries);
        }
        if self.dry_run {
            text += &format!("would rewrite {} segments; nothing was changed\n", self.segments_rewritten);
        } else {
            text += &format!(
                "erased; {} segments rewritten, {} of old objects removed\n",
                self.segments_rewritten,
                Bytes(self.removed_bytes)
            );
            text += &format!(
                "the audit log has no names, but this proof of them: salt {}, SHA-256 {}\n",
                self.salt, self.digest
            );
        }
        text += "what remains:\n";
        self.remains.iter().for_each(|line| text += &format!("  - {line}\n"));
        let patterns: Vec<String> = paths.iter().map(|path| format!("{:?}", path.to_string())).collect();
        text + &format!("to keep it out of later backups, in the configuration: exclude = [{}]", patterns.join(", "))
    }
}
