//! `lifeboat copy`: snapshots to another vault, without a key.

use std::fmt::Write as _;

use layout::Bytes;
use serde::Serialize;
use vault::Store;

use crate::audit;
use crate::cli::{Copy, Reading};
use crate::commands::Context;
use crate::copying::{self, Done, Pick, Plan};
use crate::exit::{Exit, refusal};
use crate::progress::Bar;
use crate::reading::Opened;
use crate::state::Newest;

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    from: String,
    to: String,
    dry_run: bool,
    new_vault: bool,
    snapshots: Vec<Row>,
    objects: usize,
    bytes: u64,
    read_back: usize,
    proven_by: &'static str,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    host: String,
    serial: u64,
    copied: bool,
    objects: usize,
    bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// When a manifest is refused (20), an object is damaged (21), the vaults disagree (22), the target is something else (30), or has no space (40).
pub fn run(context: &Context, args: &Copy) -> anyhow::Result<Exit> {
    let own = args.host.clone().map_or_else(|| context.config.host_name().map(String::from), Ok)?;
    let reading = Reading { vault: args.from.clone(), signers: args.signers.clone(), host: Some(own) };
    let from = Opened::open(context, &reading)?;
    if *from.place() == args.to {
        return Err(refusal(Exit::Usage, format!("{} would be copied onto itself", args.to)));
    }
    let hosts = if args.host.is_some() { vec![from.host.clone()] } else { from.hosts()? };
    let target = args.to.target_store(context)?;
    let lock = if args.dry_run { None } else { Some(target.store.lock()?) };
    let known = |from: &Opened| from.chain(context);
    let mut plan = copying::plan(&from, &hosts, &pick(args), target.store.clone(), &args.to, known)?;
    let mut done = if args.dry_run { None } else { Some(carry(&mut plan, &from, args)?) };
    if let Some(done) = &mut done {
        done.audit.extend(note(context, &from, args, &plan, target.store.as_ref())?);
        for (host, serial, digest) in &plan.newest {
            let newest = Newest { serial: *serial, digest: digest.clone() };
            context.state.set_copy(from.vault.id(), host, &args.to, &newest)?;
        }
    }
    let report = report(&from, args, &plan, done, target.store.proves_writes());
    drop((lock, plan));
    target.close()?;
    context.print(&report, || text(&report))?;
    Ok(if report.warnings.is_empty() { Exit::Done } else { Exit::Warnings })
}

fn pick(args: &Copy) -> Pick {
    match args.last {
        Some(count) => Pick::Last(usize::try_from(count).unwrap_or(usize::MAX)),
        None if args.snapshots.is_empty() => Pick::All,
        None => Pick::Serials(args.snapshots.clone()),
    }
}

fn carry(plan: &mut Plan, from: &Opened, args: &Copy) -> anyhow::Result<Done> {
    let bar = Bar::new("copying");
    vault::Progress::expect(&bar, plan.bytes(), 0);
    let done = copying::apply(plan, from, args.jobs.into(), args.verify, &bar)?;
    bar.finish();
    Ok(done)
}

/// Says so in the log of the host that copies, where the source is its own vault; the line goes along. Without its key, and for a copy
/// that carried nothing, there is none.
fn note(
    context: &Context,
    from: &Opened,
    args: &Copy,
    plan: &Plan,
    target: &dyn Store,
) -> anyhow::Result<Option<String>> {
    let copied: Vec<String> = plan
        .snapshots
        .iter()
        .filter(|snapshot| !snapshot.present)
        .map(|snapshot| format!("{} {}", snapshot.host, snapshot.manifest.serial))
        .collect();
    if copied.is_empty() {
        return Ok(None);
    }
    audit::note(context, &from.vault, "copy", &format!("{} to {}", copied.join(", "), args.to), Exit::Done);
    copying::copy_audit(from, target)
}

fn report(from: &Opened, args: &Copy, plan: &Plan, done: Option<Done>, proven: bool) -> Report {
    let rows = plan.snapshots.iter().map(|snapshot| Row {
        host: snapshot.host.to_string(),
        serial: snapshot.manifest.serial.0,
        copied: !snapshot.present,
        objects: snapshot.plan.missing.len() + snapshot.plan.damaged.len(),
        bytes: snapshot.plan.bytes(),
    });
    let dry_run = done.is_none();
    let done = done.unwrap_or_else(|| Done { objects: plan.objects(), bytes: plan.bytes(), ..Done::default() });
    Report {
        schema: 1,
        vault: from.vault.id().to_string(),
        from: from.place().to_string(),
        to: args.to.to_string(),
        dry_run,
        new_vault: plan.new,
        snapshots: rows.collect(),
        objects: done.objects,
        bytes: done.bytes,
        read_back: done.read_back,
        proven_by: if proven && !args.verify { "checksum" } else { "read-back" },
        warnings: done.audit,
    }
}

fn text(report: &Report) -> String {
    let would = if report.dry_run { "would copy" } else { "copied" };
    let count = report.snapshots.iter().filter(|row| row.copied).count();
    let mut text = format!(
        "{would} {count} of {} snapshots from {} to {}: {} objects, {}\n",
        report.snapshots.len(),
        report.from,
        report.to,
        report.objects,
        Bytes(report.bytes)
    );
    for row in report.snapshots.iter().filter(|row| report.dry_run && (row.copied || row.objects > 0)) {
        let _ = writeln!(text, "  {} {}: {} objects, {}", row.host, row.serial, row.objects, Bytes(row.bytes));
    }
    if !report.dry_run {
        text += match report.proven_by {
            "checksum" => "the storage compared the SHA-256 of every object that it took; --verify reads them back\n",
            _ => "every object that was copied was read back and compared with what was signed\n",
        };
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
