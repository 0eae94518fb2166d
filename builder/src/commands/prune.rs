//! `lifeboat prune`: removes snapshots that no keep rule keeps, and what nothing needs any more.

use std::collections::BTreeMap;

use jiff::Timestamp;
use layout::Bytes;
use manifest::{Serial, Verified};
use serde::Serialize;
use vault::{Named, PrunePlan};

use crate::checks::Checks;
use crate::cli;
use crate::commands::Context;
use crate::exit::{Exit, refusal};
use crate::holdings::{self, Held};
use crate::keep::{self, Reason, Rules};
use crate::progress::Bar;
use crate::reading::{Manifest, Opened};
use crate::writing::Writable;
use crate::{size, snapshot};

/// Grace time unless another is asked for, in seconds.
const GRACE: i64 = 86_400;

#[derive(Serialize)]
struct Report {
    schema: u32,
    vault: String,
    host: String,
    /// Whether it was only planned.
    dry_run: bool,
    kept: Vec<Row>,
    removed: Vec<Row>,
    /// Objects of the vault that are removed now, and those whose grace time is not over.
    objects_removed: usize,
    freed_bytes: u64,
    objects_waiting: usize,
    freed_later_bytes: u64,
    grace_seconds: u64,
    /// The storage keeps versions of what is removed; a lock on them or a retention of the bucket decides when they go.
    kept_as_versions: bool,
}

#[derive(Serialize)]
struct Row {
    snapshot: u64,
    started: Timestamp,
    reasons: Vec<Reason>,
}

/// Runs the command.
///
/// # Errors
/// When another run has the lock (11), any manifest of the vault is refused (20, 21), the rules keep nothing (30), or
/// removing fails.
pub fn run(context: &Context, args: &cli::Prune) -> anyhow::Result<Exit> {
    let rules = rules(context, args)?;
    if args.dry_run {
        let writable = Writable::look(context, &args.writing)?;
        let (_, report) = plan(context, args, &writable.opened, &rules)?;
        context.print(&report, || report.text())?;
        return Ok(Exit::Done);
    }
    let key = context.state.host_key()?;
    let writable = Writable::open(context, &args.writing)?;
    let opened = &writable.opened;
    let lock = opened.vault.lock()?;
    let (plan, report) = plan(context, args, opened, &rules)?;
    let bar = Bar::new("removing");
    opened.vault.prune(&plan, &bar)?;
    bar.finish();
    snapshot::record(&opened.vault, &context.config.host_name()?, &key, "prune", &report.detail(), Exit::Done)?;
    drop(lock);
    writable.close()?;
    context.print(&report, || report.text())?;
    Ok(Exit::Done)
}

/// The rules of the command line, else those of the configuration.
fn rules(context: &Context, args: &cli::Prune) -> anyhow::Result<Rules> {
    let counts = [args.keep_last, args.keep_daily, args.keep_weekly, args.keep_monthly, args.keep_yearly];
    let rules = if counts.iter().any(Option::is_some) || args.keep_within.is_some() {
        let [last, daily, weekly, monthly, yearly] = counts.map(Option::unwrap_or_default);
        Rules { last, daily, weekly, monthly, yearly, within: args.keep_within.unwrap_or(0) }
    } else {
        let config = &context.config.prune;
        Rules {
            last: config.keep_last,
            daily: config.keep_daily,
            weekly: config.keep_weekly,
            monthly: config.keep_monthly,
            yearly: config.keep_yearly,
            within: span(config.keep_within.as_deref(), 0)?,
        }
    };
    if rules.keep_nothing() {
        let message = "these rules keep no snapshot, nothing was removed; name at least one, such as --keep-daily 7";
        return Err(refusal(Exit::Guard, message));
    }
    Ok(rules)
}

/// A span of the configuration, which was checked when it was read, in seconds.
fn span(text: Option<&str>, default: i64) -> anyhow::Result<i64> {
    text.map_or(Ok(default), size::parse_days).map_err(|error| refusal(Exit::Usage, error))
}

fn plan(context: &Context, args: &cli::Prune, opened: &Opened, rules: &Rules) -> anyhow::Result<(PrunePlan, Report)> {
    // The chain of the host whose snapshots go must hold, and not be older than what is known.
    opened.chain(context)?;
    let all = holdings::read(opened)?;
    holdings::refuse_half_amended(&all)?;
    let checks = Checks::read(&context.state, opened.vault.id(), &opened.host)?;
    let own: Vec<&Verified<Manifest>> =
        all.iter().filter(|held| held.name.host == opened.host.as_str()).map(|held| &held.manifest).collect();
    let reasons = reasons(rules, &checks, &own);
    let stays = |held: &&Held| {
        held.name.host != opened.host.as_str() || reasons.get(&held.manifest.serial).is_some_and(|why| !why.is_empty())
    };
    let (keep, remove): (Vec<&Held>, Vec<&Held>) = all.iter().partition(stays);
    let grace = match args.grace {
        Some(grace) => grace,
        None => span(context.config.prune.grace.as_deref(), GRACE)?,
    };
    let (keep, remove) = (named(&keep), named(&remove));
    let plan = opened.vault.plan_prune(&vault::Prune {
        keep: &keep,
        remove: &remove,
        grace: grace.unsigned_abs(),
        now: Timestamp::now().as_second().unsigned_abs(),
    })?;
    let row = |manifest: &&Verified<Manifest>| Row {
        snapshot: manifest.serial.0,
        started: manifest.started,
        reasons: reasons.get(&manifest.serial).cloned().unwrap_or_default(),
    };
    let (kept, removed) = own.iter().map(row).partition(|row: &Row| !row.reasons.is_empty());
    let report = Report {
        schema: 1,
        vault: opened.vault.id().to_owned(),
        host: opened.host.to_string(),
        dry_run: args.dry_run,
        kept,
        removed,
        objects_removed: plan.objects.len(),
        freed_bytes: plan.freed(),
        objects_waiting: plan.waiting.len(),
        freed_later_bytes: plan.freed_later(),
        grace_seconds: grace.unsigned_abs(),
        kept_as_versions: opened.vault.store().keeps_removed(),
    };
    Ok((plan, report))
}

fn named<'a>(held: &[&'a Held]) -> Vec<Named<'a>> {
    held.iter().map(|held| held.named()).collect()
}

/// Why each snapshot stays: by a rule, or because it is one that is never removed.
fn reasons(rules: &Rules, checks: &Checks, snapshots: &[&Verified<Manifest>]) -> BTreeMap<Serial, Vec<Reason>> {
    let dated: Vec<keep::Dated> = snapshots.iter().map(|manifest| (manifest.serial, manifest.started)).collect();
    let by_rule = keep::apply(rules, &dated);
    let mut reasons: BTreeMap<_, _> = dated.iter().map(|(serial, _)| *serial).zip(by_rule).collect();
    let newest =
        |passed: fn(&crate::checks::Check) -> Option<Timestamp>| checks.newest(snapshots.iter().copied(), passed);
    let protected = [
        (Reason::Newest, dated.last().map(|(serial, _)| *serial)),
        (Reason::Verified, newest(|check| check.sealed)),
        (Reason::VerifiedData, newest(|check| check.data)),
        (Reason::Drilled, newest(|check| check.drilled)),
    ];
    for (reason, serial) in protected {
        if let Some(reasons) = serial.and_then(|serial| reasons.get_mut(&serial)) {
            reasons.push(reason);
        }
    }
    reasons
}

impl Report {
    /// For the audit log.
    fn detail(&self) -> String {
        let removed: Vec<String> = self.removed.iter().map(|row| row.snapshot.to_string()).collect();
        let removed = if removed.is_empty() { "none".to_owned() } else { removed.join(" ") };
        format!(
            "snapshots of {} removed: {removed}; {} objects, {} bytes",
            self.host, self.objects_removed, self.freed_bytes
        )
    }

    fn text(&self) -> String {
        let line = |word: &str, row: &Row| {
            let reasons: Vec<&str> = row.reasons.iter().map(|reason| reason.text()).collect();
            let time = row.started.strftime("%Y-%m-%d %H:%M:%S UTC");
            let line = format!("{word}  {:>6}  {time}  {}", row.snapshot, reasons.join(", "));
            line.trim_end().to_owned() + "\n"
        };
        let (keep, remove) = if self.dry_run { ("keep  ", "remove") } else { ("kept   ", "removed") };
        let mut text: String = self.kept.iter().map(|row| line(keep, row)).collect();
        text.extend(self.removed.iter().map(|row| line(remove, row)));
        text += &format!(
            "{} {} ({} objects){}",
            if self.dry_run { "would free" } else { "freed" },
            Bytes(self.freed_bytes),
            self.objects_removed,
            if self.dry_run { "; nothing was removed" } else { "" }
        );
        if self.kept_as_versions {
            text += "\nthe bucket keeps versions: what is removed is hidden, and takes its space until the bucket's retention is over and \
                     its lifecycle rules remove noncurrent versions";
        }
        if self.objects_waiting > 0 {
            text += &format!(
                "\n{} more ({} objects) when nothing has needed them for {} hours",
                Bytes(self.freed_later_bytes),
                self.objects_waiting,
                self.grace_seconds / 3600
            );
        }
        text
    }
}
