//! `lifeboat verify`: every signature, every file against its signed digest, and with an identity every file's content.

use std::collections::HashSet;

use manifest::Verified;
use serde::Serialize;
use vault::Identities;

use crate::checks;
use crate::cli::{Level, Verify};
use crate::commands::Context;
use crate::exit::Exit;
use crate::progress::Bar;
use crate::reading::{Manifest, Opened};
use crate::survey::{Refused, Survey};
use crate::{audit, identity};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    level: &'static str,
    snapshots: Vec<u64>,
    audit: Option<Log>,
    faults: Vec<Fault>,
    /// Objects that no snapshot names. No fault: nothing reads them.
    strays: Vec<String>,
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
/// When the vault cannot be read.
pub fn run(context: &Context, args: &Verify) -> anyhow::Result<Exit> {
    let opened = Opened::open_what_is_left(context, &args.reading)?;
    let detail = format!("{} of {}", word(args.level), opened.host);
    let result = verify(context, args, &opened);
    audit::noted(context, &opened.vault, "verify", &detail, result)
}

fn word(level: Level) -> &'static str {
    if level == Level::Data { "data" } else { "sealed" }
}

fn verify(context: &Context, args: &Verify, opened: &Opened) -> anyhow::Result<Exit> {
    let identities = args.identity.as_deref().map(|file| identity::of(&opened.vault, file)).transpose()?;
    let Survey { manifests, refused, strays, log } = Survey::of(opened, context)?;
    let mut exit = refused.iter().map(|refused| refused.exit).min_by_key(|exit| rank(*exit)).unwrap_or(Exit::Done);
    let mut faults: Vec<Fault> = refused.into_iter().map(Fault::from).collect();
    let mut passed = Vec::new();
    let sealed = if args.level == Level::Sealed { check_sealed(opened, &manifests)? } else { Vec::new() };
    for manifest in &manifests {
        let bar = Bar::new("verifying");
        let found = match (args.level, &identities) {
            (Level::Data, Some(identities)) => check_data(opened, manifest, identities, &bar)?,
            _ => {
                let own: HashSet<String> = manifest.contents.parts().into_iter().map(|part| part.name).collect();
                sealed.iter().filter(|fault| own.contains(&fault.object)).cloned().collect()
            }
        };
        bar.finish();
        if exit == Exit::Done && !found.is_empty() {
            exit = Exit::Corrupt;
        }
        passed.push((manifest, found.is_empty()));
        faults.extend(found.into_iter().map(|fault| Fault {
            snapshot: manifest.serial.0,
            object: fault.object,
            what: fault.what,
            entries: fault.entries.iter().map(ToString::to_string).collect(),
        }));
    }
    checks::remember(&context.state, opened.vault.id(), &opened.host, args.level, &passed);
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_string(),
        host: opened.host.to_string(),
        level: word(args.level),
        snapshots: manifests.iter().map(|manifest| manifest.serial.0).collect(),
        audit: log.map(|log| Log { lines: log.lines().len(), head: log.head().to_string() }),
        faults,
        strays,
    };
    context.print(&report, || text(&report))?;
    Ok(exit)
}

/// A catalogue or its key that is damaged is a fault of this snapshot; the others are looked at all the same.
fn check_data(
    opened: &Opened,
    manifest: &Manifest,
    identities: &Identities,
    bar: &Bar,
) -> vault::Result<Vec<vault::Fault>> {
    match opened.vault.check_data(&manifest.contents, identities, bar) {
        Err(vault::Error::Corrupt { object, what }) => {
            let mut faults = opened.vault.check_sealed(&manifest.contents, &())?;
            if !faults.iter().any(|fault| fault.object == object) {
                faults.push(vault::Fault { object, what, entries: Vec::new() });
            }
            Ok(faults)
        }
        other => other,
    }
}

/// A signature that is refused counts more than a rollback, and that more than damage.
fn rank(exit: Exit) -> u8 {
    match exit {
        Exit::Signature => 0,
        Exit::RolledBack => 1,
        Exit::Corrupt => 2,
        _ => 3,
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let Refused { snapshot, object, what, .. } = refused;
        Fault { snapshot, object, what, entries: Vec::new() }
    }
}

/// Reads every object once, however many snapshots name it: it may lie far away.
fn check_sealed(opened: &Opened, manifests: &[Verified<Manifest>]) -> anyhow::Result<Vec<vault::Fault>> {
    let mut parts: Vec<_> = manifests.iter().flat_map(|manifest| manifest.contents.parts()).collect();
    parts.sort_by(|a, b| (&a.name, a.size, a.sha256).cmp(&(&b.name, b.size, b.sha256)));
    parts.dedup();
    let bar = Bar::new("verifying");
    let found = opened.vault.check_parts(&parts, &bar)?;
    bar.finish();
    Ok(found)
}

fn text(report: &Report) -> String {
    let count = report.snapshots.len();
    let strays: String =
        report.strays.iter().map(|stray| format!("named by no snapshot, and never read: {stray}\n")).collect();
    if report.faults.is_empty() {
        return format!("{count} snapshots of {} verified ({}): no fault\n{strays}", report.host, report.level);
    }
    let mut text =
        format!("{} faults in {count} snapshots of {} ({}):\n", report.faults.len(), report.host, report.level);
    for fault in &report.faults {
        let whose = if fault.snapshot == 0 { "the vault".into() } else { format!("snapshot {}", fault.snapshot) };
        text += &format!("{whose}: {}: {}\n", fault.object, fault.what);
        for entry in &fault.entries {
            text += &format!("    costs {entry}\n");
        }
    }
    text + &strays + "what is not named here is sound; `lifeboat extract --keep-going` gives it"
}
