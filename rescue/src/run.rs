//! The stages in their order. What each does is in its own file; this one decides who is asked and what follows what.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use layout::plan::{Plan, Step};
use manifest::Membership;
use serde_json::json;
use vault::{Identities, Restored};

use crate::adapt::{self, Adaptation};
use crate::apply::{Applier, TARGET};
use crate::consent::{self, Order, Typed};
use crate::containers::{self, Containers};
use crate::journal::{Journal, Start, Unfinished};
use crate::kernel::{self, End};
use crate::offline::{self, Brought};
use crate::prove::{self, Difference};
use crate::report::Report;
use crate::screen::{Screen, Stage};
use crate::stick::write_durably;
use crate::stop::{Code, DiskState, OrStop, Result, Stop};
use crate::trust::{self, Snapshot, Trusted};
use crate::wake::{self, Awake};
use crate::{blocks, extra, guard, membership, planning, restore, resume, saved, unlock};

/// How long somebody may step in before an order is carried out.
const STEP_IN: Duration = Duration::from_secs(3);

/// A restore that somebody consented to.
struct Agreed<'a> {
    snapshot: &'a Snapshot,
    key: Identities,
    plan: Plan,
    containers: Containers,
    order: Option<&'a Order>,
    /// In which way a member of a cluster comes back.
    membership: Option<Membership>,
    /// The restore that was cut and is completed by this one, and where it goes on.
    cut: Option<(&'a Unfinished, Start)>,
}

/// From power-on to the end. Gives what the machine does next.
///
/// # Errors
/// [`Stop`], with the state of the disks in [`DiskState`].
pub fn run(screen: &Screen) -> Result<End> {
    let awake = wake::wake(screen)?;
    let trusted = trust::trust(screen, &awake.stick, &awake.root)?;
    let orders = consent::orders(screen, &awake.stick, &awake.root);
    let secure = kernel::secure_boot();
    let ready = json!({
        "snapshot": trusted.newest(), "seconds": kernel::uptime(), "secure_boot": secure, "slot": awake.root.slot,
    });
    screen.event("ready", ready);
    let unfinished = Unfinished::find(&awake.stick);
    let agreed = match by_order(screen, &awake, &trusted, &orders, unfinished.as_ref())? {
        Some(agreed) => Some(agreed),
        None => by_hand(screen, &awake, &trusted, unfinished.as_ref())?,
    };
    let Some(agreed) = agreed else {
        screen.say(match unfinished {
            Some(_) => "No answer, no restore. In this run no disk of this machine has been written to.",
            None => "No answer, no restore. The disks of this machine have not been written to.",
        });
        return Ok(End::PowerOff);
    };
    carry_out(screen, &awake, &trusted, &agreed)
}

/// The first order that covers what would be done. One that does not is named, and somebody is asked instead. An order that was
/// used covers the rest of the restore that it was used for.
fn by_order<'a>(
    screen: &Screen,
    awake: &Awake,
    trusted: &'a Trusted,
    orders: &'a [Order],
    unfinished: Option<&'a Unfinished>,
) -> Result<Option<Agreed<'a>>> {
    for order in orders {
        let serial = order.snapshot(trusted);
        let own = unfinished.filter(|cut| cut.continues(order.order.id.as_str(), serial));
        if let Err(why) = order.covers(awake, trusted, None, own.is_some()) {
            screen.say(&why);
            continue;
        }
        let Some(snapshot) = trusted.snapshot(serial) else {
            screen.say(&format!("The order {} is for a snapshot that is not on this stick.", order.order.id));
            continue;
        };
        trust::check_sealed(screen, trusted, snapshot)?;
        // An order that does not fit this machine's disks is no order; that is known before a key is needed.
        let plan = planning::plan_for(&awake.stick, snapshot, &order.choices());
        let plan = match plan
            .map_err(|stop| stop.to_string())
            .and_then(|plan| order.covers(awake, trusted, Some(&plan), own.is_some()).map(|()| plan))
            .and_then(|plan| still_its_own(own, &plan).map(|()| plan))
        {
            Ok(plan) => plan,
            Err(why) => {
                screen.say(&format!("The order {} cannot be carried out here: {why}", order.order.id));
                continue;
            }
        };
        let membership = match membership::by_order(snapshot.host.as_ref(), order.order.cluster) {
            Ok(membership) => membership,
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
        planning::show(screen, snapshot, &plan, membership);
        let cut = taken_up(screen, unfinished, snapshot, &plan);
        screen.stage(Stage::Consent);
        let prompt = format!("By order {}: begins in {} seconds. s is a shell.", order.order.id, STEP_IN.as_secs());
        screen.wait_or_shell(&prompt, STEP_IN);
        return Ok(Some(Agreed { snapshot, key, plan, containers, order: Some(order), membership, cut }));
    }
    Ok(None)
}

/// An order goes on unasked only with disks that are as its restore left them: what somebody put there since is not its own.
fn still_its_own(cut: Option<&Unfinished>, plan: &Plan) -> Result<(), String> {
    match cut {
        Some(cut) if !cut.has_same_disks(plan) => {
            Err("the restore that it was used for wrote to other disks".to_owned())
        }
        Some(cut) if cut.start(plan) == Start::Trees => resume::check_made(plan)
            .map_err(|why| format!("the disks have been changed since its restore was cut: {why}")),
        _ => Ok(()),
    }
}

fn by_hand<'a>(
    screen: &Screen,
    awake: &Awake,
    trusted: &'a Trusted,
    unfinished: Option<&'a Unfinished>,
) -> Result<Option<Agreed<'a>>> {
    let cut = unfinished.map(|cut| cut.attempt.snapshot).filter(|serial| trusted.snapshot(*serial).is_some());
    let mut serial = cut.unwrap_or(trusted.newest());
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
        let begun = unfinished.filter(|cut| cut.attempt.snapshot == serial).map(Unfinished::choices);
        let known = begun.and_then(|choices| planning::plan_for(&awake.stick, snapshot, &choices).ok());
        let plan = match known {
            Some(plan) => Some(plan),
            None => planning::plan_asking(screen, &awake.stick, snapshot)?,
        };
        let Some(plan) = plan else { return Ok(None) };
        let source = source(trusted, snapshot, opened);
        let Some(containers) = containers::prepare(screen, &source, &plan, true)? else { return Ok(None) };
        let Some(membership) = membership::ask(screen, snapshot.host.as_ref())? else { return Ok(None) };
        planning::show(screen, snapshot, &plan, membership);
        let cut = taken_up(screen, unfinished, snapshot, &plan);
        match consent::ask(screen, trusted, &plan, serial)? {
            Typed::Consent => {
                let key = opened.clone();
                return Ok(Some(Agreed { snapshot, key, plan, containers, order: None, membership, cut }));
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

/// The unfinished restore where the plan is of its snapshot and its disks, and where it goes on; says so.
fn taken_up<'a>(
    screen: &Screen,
    unfinished: Option<&'a Unfinished>,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Option<(&'a Unfinished, Start)> {
    let cut = unfinished?;
    let begun = cut.attempt.begun.strftime("%Y-%m-%d %H:%M UTC");
    if cut.attempt.snapshot != snapshot.serial || !cut.has_same_disks(plan) {
        let of = cut.attempt.snapshot;
        screen.say(&format!("A restore of snapshot {of} to other disks, begun {begun}, is not finished and stays so."));
        return None;
    }
    screen.say(&format!("A restore to these disks, begun {begun}, is not finished: it ended {}.", cut.place(plan)));
    if let Some(why) = cut.failure() {
        screen.say(&format!("It ended by itself: {why}"));
    }
    let mut from = cut.start(plan);
    if from == Start::Trees
        && let Err(why) = resume::check_made(plan)
    {
        from = Start::FirstWrite(why);
    }
    screen.say(&match &from {
        Start::Beginning => "No disk had been written to: it begins anew.".to_owned(),
        Start::FirstWrite(why) => {
            format!("The filesystems are made anew, because {why}. What was on the disks before is saved already.")
        }
        Start::Trees => {
            "The plan and the disks are the same: it goes on with the files, and keeps those that are complete."
                .to_owned()
        }
    });
    Some((cut, from))
}

fn carry_out(screen: &Screen, awake: &Awake, trusted: &Trusted, agreed: &Agreed) -> Result<End> {
    let Agreed { snapshot, key, plan, order, containers, membership, .. } = agreed;
    let mut seconds = vec![("consent", kernel::uptime())];
    screen.event("consent", json!({"by": if order.is_some() { "order" } else { "typed" }}));

    guard::guard(screen, &awake.stick, plan)?;
    let (journal, mut applier, from) = begin(screen, awake, agreed)?;
    make(&journal, &mut applier, plan, &from)?;
    seconds.push(("apply", kernel::uptime()));

    screen.stage(Stage::Restore);
    begin_stage(screen, &journal, "restore")?;
    if from == Start::Trees {
        let removed = extra::remove(&trusted.vault, snapshot, key)?;
        screen.say(&format!("  {removed} things removed that are not in the snapshot."));
    } else {
        restore::remove_new_lost_found(plan, prove::lost_and_found(&trusted.vault, snapshot, key)?);
    }
    let mut restored = restore::everything(screen, &trusted.vault, snapshot, key, plan, from == Start::Trees)?;
    restored.problems.extend(blocks::fill(screen, &trusted.vault, snapshot, key, plan)?);
    let mut brought = bring_guests(screen, &journal, &applier, agreed)?;
    // From here on it may boot: every file is in place.
    begin_stage(screen, &journal, "boot files")?;
    DiskState::Bootable.set();
    plan.after.iter().try_for_each(|step| applier.step(step))?;
    if let Some(late) = restore::mount_points(screen, &trusted.vault, snapshot, key, plan)? {
        // The same paths were restored before, into the folder below the mount point: what counts is the second time.
        restored
            .problems
            .retain(|problem| !restore::late_paths(plan).any(|path| problem.path.to_string().starts_with(path)));
        restored.problems.extend(late.problems);
    }
    seconds.push(("restore", kernel::uptime()));

    begin_stage(screen, &journal, "adapt")?;
    let mut adaptation = match &snapshot.host {
        Some(host) => adapt::adapt(screen, host, plan, &containers.renewals(), snapshot.serial, *membership)?,
        None => Adaptation::default(),
    };
    seconds.push(("adapt", kernel::uptime()));
    begin_stage(screen, &journal, "prove")?;
    prove_guests(screen, &applier, &mut brought, &mut adaptation)?;
    let mut proof = prove::prove(screen, &trusted.vault, snapshot, key, &adaptation, &restore::left_out(plan))?;
    let (volumes, differences) = blocks::compare(&trusted.vault, snapshot, key, plan)?;
    proof.entries += volumes;
    proof.differences.extend(differences);
    seconds.push(("prove", kernel::uptime()));
    let mut report = begin_report(snapshot, plan, *order, &journal, seconds, &restored);
    report.saved = saved::folders(&awake.stick, &journal.stamp, plan);
    report.guests = brought.outcomes();
    report.conclude(proof, adaptation);
    finish(screen, awake, &mut report, &mut applier, journal)?;
    Ok(next(screen, *order, &report))
}

/// The stick is made writable, the journal is begun or taken up, and with it the order is used.
fn begin<'a>(screen: &'a Screen, awake: &'a Awake, agreed: &'a Agreed<'_>) -> Result<(Journal, Applier<'a>, Start)> {
    let Agreed { snapshot, plan, containers, order, cut, .. } = agreed;
    let mut from = cut.as_ref().map_or(Start::Beginning, |(_, from)| from.clone());
    if from == Start::Beginning {
        saved::check_room(plan)?;
    } else {
        DiskState::Unbootable.set();
    }
    awake.stick.make_writable()?;
    let mut applier = Applier::new(screen, &awake.stick, plan, containers);
    if from == Start::Trees
        && let Err(stop) = resume::take_up(plan, &mut applier)
    {
        applier.unmount()?;
        screen.say(&format!("{stop}: the filesystems are made anew."));
        from = Start::FirstWrite(stop.message);
    }
    let by = order.map(|order| order.order.id.as_str());
    let unfinished = cut.as_ref().map(|(unfinished, _)| (*unfinished, &from));
    let journal = Journal::open(&awake.stick, snapshot.serial, plan, by, unfinished)?;
    let log = awake.stick.data("reports").join(format!("{}-restore.log", journal.stamp));
    screen.events().journal_to(&log).or_stop(
        Code::NoSpace,
        "beginning the log on the stick",
        "Free some space on the stick and start again.",
    )?;
    let word = match from {
        Start::Beginning => "beginning",
        Start::FirstWrite(_) => "first-write",
        Start::Trees => "trees",
    };
    screen.event("begin", json!({"from": word, "starts": journal.starts, "stamp": journal.stamp}));
    if let Some(order) = order {
        order.mark_used(awake)?;
    }
    applier.stamp.clone_from(&journal.stamp);
    Ok((journal, applier, from))
}

/// The steps before the trees that are not done yet.
fn make(journal: &Journal, applier: &mut Applier<'_>, plan: &Plan, from: &Start) -> Result<()> {
    for (number, step) in plan.before.iter().enumerate() {
        let is_done = match from {
            Start::Beginning => false,
            Start::FirstWrite(_) => matches!(step, Step::Save { .. }),
            Start::Trees => true,
        };
        if !is_done {
            journal.begun(number)?;
            applier.step(step)?;
            rustix::fs::sync();
            journal.done(number)?;
        }
    }
    Ok(())
}

/// The guests that are to be there at the first start get their disks, before anything on the disks boots.
fn bring_guests(screen: &Screen, journal: &Journal, applier: &Applier<'_>, agreed: &Agreed<'_>) -> Result<Brought> {
    let Agreed { snapshot, plan, membership, .. } = agreed;
    let planned = snapshot.host.as_ref().map(|host| offline::plan::plan(host, plan, *membership)).unwrap_or_default();
    if planned.is_empty() {
        return Ok(Brought::default());
    }
    screen.stage(Stage::Guests);
    begin_stage(screen, journal, "guests")?;
    Ok(Brought::restore(screen, Path::new(TARGET), &planned, applier))
}

/// Reads the guests' disks back, and leaves word on them in the restored system.
fn prove_guests(
    screen: &Screen,
    applier: &Applier<'_>,
    brought: &mut Brought,
    adaptation: &mut Adaptation,
) -> Result<()> {
    if brought.is_empty() {
        return Ok(());
    }
    kernel::drop_caches().or_stop(Code::Io, "emptying the page cache", "Start again.")?;
    brought.prove(applier, &|line| screen.say(line));
    adaptation.not_adapted.extend(brought.failures());
    adapt::leave_word(Path::new(TARGET), brought.words(), adaptation);
    Ok(())
}

fn begin_stage(screen: &Screen, journal: &Journal, name: &str) -> Result<()> {
    journal.stage(name)?;
    screen.event("stage", json!({"name": name, "uptime": kernel::uptime()}));
    Ok(())
}

fn begin_report(
    snapshot: &Snapshot,
    plan: &Plan,
    order: Option<&Order>,
    journal: &Journal,
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
        started: journal.begun,
        starts: journal.starts,
        saved: Vec::new(),
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
        guests: Vec::new(),
        not_adapted: Vec::new(),
        notes: plan.notes.clone(),
    }
}

fn finish(
    screen: &Screen,
    awake: &Awake,
    report: &mut Report,
    applier: &mut Applier<'_>,
    journal: Journal,
) -> Result<()> {
    let stamp = journal.stamp.clone();
    report.write_into_system(&stamp).or_stop(
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
    applier.finish()?;
    journal.close()?;
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
