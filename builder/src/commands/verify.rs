//! `lifeboat verify`: every signature, every file against its signed digest, and with an identity every file's content.

use std::collections::HashSet;

use manifest::Verified;
use serde::Serialize;

use crate::cli::{Level, Verify};
use crate::commands::Context;
use crate::exit::Exit;
use crate::identity;
use crate::progress::Bar;
use crate::reading::{Manifest, Opened};

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    level: &'static str,
    snapshots: Vec<u64>,
    faults: Vec<Fault>,
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
    let identities = args.identity.as_deref().map(identity::read).transpose()?;
    let manifests = opened.chain(context)?;
    let mut faults = Vec::new();
    let sealed = if args.level == Level::Sealed { check_sealed(&opened, &manifests)? } else { Vec::new() };
    for manifest in &manifests {
        let bar = Bar::new("verifying");
        let found = match (args.level, &identities) {
            (Level::Data, Some(identities)) => opened.vault.check_data(&manifest.contents, identities, &bar)?,
            _ => {
                let own: HashSet<String> = manifest.contents.parts().into_iter().map(|part| part.name).collect();
                sealed.iter().filter(|fault| own.contains(&fault.object)).cloned().collect()
            }
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
        level: if args.level == Level::Data { "data" } else { "sealed" },
        snapshots: manifests.iter().map(|manifest| manifest.serial.0).collect(),
        faults,
    };
    context.print(&report, || text(&report))?;
    Ok(if report.faults.is_empty() { Exit::Done } else { Exit::Corrupt })
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
