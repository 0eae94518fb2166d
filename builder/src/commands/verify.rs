//! `lifeboat verify`: every signature, every file against its signed digest, and with an identity every file's content.

use serde::Serialize;

use crate::cli::{Level, Verify};
use crate::commands::Context;
use crate::exit::Exit;
use crate::progress::Bar;
use crate::reading::Opened;
use crate::{audit, identity};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    level: &'static str,
    snapshots: Vec<u64>,
    audit: Log,
    faults: Vec<Fault>,
}

/// The audit log, whose signatures and chain hold.
#[derive(Serialize)]
struct Log {
    lines: usize,
    head: String,
}

#[derive(Serialize)]
struct Fault {
    snapshot: u64,
    object: String,
    what: String,
    entries: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the vault cannot be read or a manifest is refused.
pub fn run(context: &Context, args: &Verify) -> anyhow::Result<Exit> {
    let opened = Opened::open(context, &args.reading)?;
    let detail = format!("{} of {}", word(args.level), opened.host);
    let result = verify(context, args, &opened);
    audit::noted(context, &opened.vault, "verify", &detail, result)
}

fn word(level: Level) -> &'static str {
    if level == Level::Data { "data" } else { "sealed" }
}

fn verify(context: &Context, args: &Verify, opened: &Opened) -> anyhow::Result<Exit> {
    let identities = args.identity.as_deref().map(|file| identity::of(&opened.vault, file)).transpose()?;
    let manifests = opened.chain(context)?;
    let log = audit::read(&opened.vault, &opened.host, opened.trusted())?;
    audit::refuse_cut(&context.state, &opened.vault, &opened.host, &log)?;
    let mut faults = Vec::new();
    for manifest in &manifests {
        let bar = Bar::new("verifying");
        let found = match (args.level, &identities) {
            (Level::Data, Some(identities)) => opened.vault.check_data(&manifest.contents, identities, &bar)?,
            _ => opened.vault.check_sealed(&manifest.contents, &bar)?,
        };
        bar.finish();
        faults.extend(found.into_iter().map(|fault| Fault {
            snapshot: manifest.serial.0,
            object: fault.object,
            what: fault.what,
            entries: fault.entries.iter().map(ToString::to_string).collect(),
        }));
    }
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_string(),
        host: opened.host.to_string(),
        level: word(args.level),
        snapshots: manifests.iter().map(|manifest| manifest.serial.0).collect(),
        audit: Log { lines: log.lines().len(), head: log.head().to_string() },
        faults,
    };
    context.print(&report, || text(&report))?;
    Ok(if report.faults.is_empty() { Exit::Done } else { Exit::Corrupt })
}

fn text(report: &Report) -> String {
    let count = report.snapshots.len();
    if report.faults.is_empty() {
        return format!("{count} snapshots of {} verified ({}): no fault", report.host, report.level);
    }
    let mut text =
        format!("{} faults in {count} snapshots of {} ({}):\n", report.faults.len(), report.host, report.level);
    for fault in &report.faults {
        text += &format!("snapshot {}: {}: {}\n", fault.snapshot, fault.object, fault.what);
        for entry in &fault.entries {
            text += &format!("    costs {entry}\n");
        }
    }
    text + "what is not named here is sound; `lifeboat extract` still gives it"
}
