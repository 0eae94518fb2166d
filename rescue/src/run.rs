//! The stages in their order. What each does is in its own file; this one decides who is asked and what follows what.

use std::time::Duration;

use jiff::Timestamp;
use layout::plan::Plan;
use serde_json::json;
use vault::{Identities, Restored};

use crate::adapt::{self, Adaptation};
use crate::apply::{self, Applier};
use crate::consent::{self, Order, Typed};
use crate::containers::{self, Containers};
use crate::kernel::{self, End};
use crate::prove::{self, Difference};
use crate::report::Report;
use crate::screen::{Screen, Stage};
use crate::stick::write_durably;
use crate::stop::{Code, DiskState, OrStop, Result, Stop};
use crate::trust::{self, Snapshot, Trusted};
use crate::wake::{self, Awake};
use crate::{planning, restore, unlock};

/// How long somebody may step in before an order is carried out.
const STEP_IN: Duration = Duration::from_secs(3);

/// A restore that somebody consented to.
struct Agreed<'a> {
    snapshot: &'a Snapshot,
    key: Identities,
    plan: Plan,
    containers: Containers,
    order: Option<&'a Order>,
}

/// From power-on to the end. Gives what the machine does next.
///
/// # Errors
/// [`Stop`], with the state of the disks in [`DiskState`].
pub fn run(screen: &Screen) -> Result<End> {
    let awake = wake::wake(screen)?;
    let trusted = trust::trust(screen, &awake.stick, &awake.root)?;
    let orders = consent::orders(screen, &awake.stick, &awake.root);
    screen.event("ready", json!({"snapshot": trusted.newest(), "seconds": kernel::uptime()}));
    let agreed = match by_order(screen, &awake, &trusted, &orders)? {
        Some(agreed) => Some(agreed),
        None => by_hand(screen, &awake, &trusted)?,
    };
    let Some(agreed) = agreed else {
        screen.say("No answer, no restore. The disks of this machine have not been written to.");
        return Ok(End::PowerOff);
    };
    carry_out(screen, &awake, &trusted, &agreed)
}

/// The first order that covers what would be done. One that does not is named, and somebody is asked instead.
fn by_order<'a>(
    screen: &Screen,
    awake: &Awake,
    trusted: &'a Trusted,
    orders: &'a [Order],
) -> Result<Option<Agreed<'a>>> {
    for order in orders {
        if let Err(why) = order.covers(awake, trusted, None) {
            screen.say(&why);
            continue;
        }
        let Some(snapshot) = trusted.snapshot(order.snapshot(trusted)) else {
            screen.say(&format!("The order {} is for a snapshot that is not on this stick.", order.order.id));
            continue;
        };
        trust::check_sealed(screen, trusted, snapshot)?;
        // An order that does not fit this machine's disks is no order; that is known before a key is needed.
        let plan = planning::plan_for(&awake.stick, snapshot, &order.choices());
        let plan = match plan
            .map_err(|stop| stop.to_string())
            .and_then(|plan| order.covers(awake, trusted, Some(&plan)).map(|()| plan))
        {
            Ok(plan) => plan,
            Err(why) => {
                screen.say(&format!("The order {} cannot be carried out here: {why}", order.order.id));
                continue;
            }
        };
        let Some(key) = unlock::unlock(screen, &trusted.vault, &awake.stick, snapshot, false)? else { continue };
        // Whoever is not there is not asked: there is no silence to wait for.
        let containers = match containers::prepare(screen, &source(trusted, snapshot, &key), &plan, false) {
            Ok(Some(containers)) => containers,
            Ok(None) => continue,
            Err(stop) => {
                screen.say(&format!("The order {} cannot be carried out here: {stop}", order.order.id));
                continue;
            }
        };
        planning::show(screen, snapshot, &plan);
        screen.stage(Stage::Consent);
        let prompt = format!("By order {}: begins in {} seconds. s is a shell.", order.order.id, STEP_IN.as_secs());
        screen.wait_or_shell(&prompt, STEP_IN);
        return Ok(Some(Agreed { snapshot, key, plan, containers, order: Some(order) }));
    }
    Ok(None)
}

fn by_hand<'a>(screen: &Screen, awake: &Awake, trusted: &'a Trusted) -> Result<Option<Agreed<'a>>> {
    let mut serial = trusted.newest();
    let mut key: Option<Identities> = None;
    loop {
        let missing = || Stop::new(Code::NoMedium, format!("there is no snapshot {serial}"), "Choose another.");
        let snapshot = trusted.snapshot(serial).ok_or_else(missing)?;
        trust::check_sealed(screen, trusted, snapshot)?;
        // A key that opens one snapshot may not open another; that must be known before anything is wiped.
        if key.as_ref().is_none_or(|key| trusted.vault.catalogue(&snapshot.contents, key).is_err()) {
            key = unlock::unlock(screen, &trusted.vault, &awake.stick, snapshot, true)?;
        }
        let Some(opened) = &key else { return Ok(None) };
        let Some(plan) = planning::plan_asking(screen, &awake.stick, snapshot)? else { return Ok(None) };
        let source = source(trusted, snapshot, opened);
        let Some(containers) = containers::prepare(screen, &source, &plan, true)? else { return Ok(None) };
        planning::show(screen, snapshot, &plan);
        match consent::ask(screen, trusted, &plan, serial)? {
            Typed::Consent => {
                return Ok(Some(Agreed { snapshot, key: opened.clone(), plan, containers, order: None }));
            }
            Typed::Other(other) => serial = other,
            Typed::No => return Ok(None),
        }
    }
}

/// Where the headers of a snapshot's containers come from.
fn source<'a>(trusted: &'a Trusted, snapshot: &'a Snapshot, key: &'a Identities) -> containers::Source<'a> {
    containers::Source { vault: &trusted.vault, contents: &snapshot.contents, host: snapshot.host.as_ref(), key }
}

fn carry_out(screen: &Screen, awake: &Awake, trusted: &Trusted, agreed: &Agreed) -> Result<End> {
    let Agreed { snapshot, key, plan, containers, order } = agreed;
    let started = Timestamp::now();
    let stamp = started.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut seconds = vec![("consent", kernel::uptime())];
    screen.event("consent", json!({"by": if order.is_some() { "order" } else { "typed" }}));

    apply::guard(screen, &awake.stick, plan)?;
    awake.stick.make_writable()?;
    let journal = awake.stick.data("reports").join(format!("{stamp}-restore.log"));
    std::fs::create_dir_all(awake.stick.data("reports")).and_then(|()| screen.events().journal_to(&journal)).or_stop(
        Code::NoSpace,
        "beginning the journal on the stick",
        "Free some space on the stick and start again.",
    )?;
    if let Some(order) = order {
        order.mark_used(awake)?;
    }
    let mut applier = Applier::new(screen, &awake.stick, plan, containers, &stamp);
    plan.before.iter().try_for_each(|step| applier.step(step))?;
    seconds.push(("apply", kernel::uptime()));

    screen.stage(Stage::Restore);
    restore::remove_new_lost_found(plan, prove::lost_and_found(&trusted.vault, snapshot, key)?);
    let mut restored = restore::everything(screen, &trusted.vault, snapshot, key)?;
    plan.after.iter().try_for_each(|step| applier.step(step))?;
    if let Some(late) = restore::mount_points(screen, &trusted.vault, snapshot, key, plan)? {
        // The same paths were restored before, into the folder below the mount point: what counts is the second time.
        restored
            .problems
            .retain(|problem| !restore::late_paths(plan).any(|path| problem.path.to_string().starts_with(path)));
        restored.problems.extend(late.problems);
    }
    seconds.push(("restore", kernel::uptime()));

    let adaptation = match &snapshot.host {
        Some(host) => adapt::adapt(screen, host, plan)?,
        None => Adaptation::default(),
    };
    seconds.push(("adapt", kernel::uptime()));
    let proof = prove::prove(screen, &trusted.vault, snapshot, key, &adaptation)?;
    seconds.push(("prove", kernel::uptime()));
    let mut report = begin_report(snapshot, plan, *order, started, seconds, &restored);
    report.conclude(proof, adaptation);
    finish(screen, awake, &mut report, &mut applier, &stamp)?;
    Ok(next(screen, *order, &report))
}

fn begin_report(
    snapshot: &Snapshot,
    plan: &Plan,
    order: Option<&Order>,
    started: Timestamp,
    seconds: Vec<(&'static str, f64)>,
    restored: &Restored,
) -> Report {
    let problem =
        |problem: &vault::Problem| Difference { path: problem.path.to_string(), reason: problem.what.clone() };
    Report {
        schema: 1,
        verdict: "",
        tool: env!("CARGO_PKG_VERSION"),
        host: snapshot.host_name.to_string(),
        snapshot: snapshot.serial,
        snapshot_finished: snapshot.finished,
        started,
        finished: Timestamp::now(),
        firmware: if kernel::uefi() { "uefi" } else { "bios" },
        consent: if order.is_some() { "order" } else { "typed" },
        order: order.map(|order| order.order.id.to_string()),
        disks: Report::disks(plan),
        seconds,
        entries: restored.entries,
        bytes: restored.bytes,
        problems: restored.problems.iter().map(problem).collect(),
        compared: 0,
        differences: Vec::new(),
        adapted: Vec::new(),
        loaders: Vec::new(),
        not_adapted: Vec::new(),
        notes: plan.notes.clone(),
    }
}

fn finish(screen: &Screen, awake: &Awake, report: &mut Report, applier: &mut Applier, stamp: &str) -> Result<()> {
    report.write_into_system(stamp).or_stop(
        Code::NoSpace,
        "writing the report into the restored system",
        "The system is restored without it.",
    )?;
    let path = awake.stick.data("reports").join(format!("{stamp}-restore.json"));
    write_durably(&path, &report.json()).or_stop(
        Code::NoSpace,
        "writing the report to the stick",
        "The system is restored; the report lies in it at /var/lib/lifeboat/restores.",
    )?;
    applier.unmount()?;
    applier.close_containers();
    DiskState::Proven.set();
    for difference in report.differences.iter().take(20) {
        screen.say(&format!("  differs: {}: {}", difference.path, difference.reason));
    }
    screen.say(&format!(
        "{} entries compared, {} differences, {} changed on purpose, {} problems.",
        report.compared,
        report.differences.len(),
        report.adapted.len(),
        report.problems.len()
    ));
    screen.event("restored", json!({ "report": report }));
    screen.flush();
    screen.events().close_journal();
    awake.stick.unmount();
    Ok(())
}

/// What the order says, or the person. After a typed consent without a word the machine starts what was restored.
fn next(screen: &Screen, order: Option<&Order>, report: &Report) -> End {
    if report.verdict != "restored" {
        screen.say("Not everything is as it was: read the list above, and the report in /var/lib/lifeboat/restores.");
    }
    if let Some(order) = order {
        return order.then();
    }
    let wait = screen.silence.min(Duration::from_secs(60));
    let prompt = format!(
        "Restored. Enter restarts the machine, s is a shell; without a key it restarts in {} seconds. Take the stick out now.",
        wait.as_secs()
    );
    screen.wait_or_shell(&prompt, wait);
    End::Reboot
}
