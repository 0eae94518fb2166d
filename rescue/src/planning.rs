//! Plan: the recorded layout against the disks of this machine, in full, before anything is written.

use std::path::Path;

use jiff::Timestamp;
use layout::Layout;
use layout::matching::{Choice, MatchError, NO_DISK};
use layout::plan::{DiskPlan, Plan, PlanError, plan, required_tools};
use manifest::host::{Held, PlatformKind};
use manifest::{Host, Membership, Scope};
use serde_json::json;

use crate::cards::Cards;
use crate::screen::{Answer, Screen, Stage};
use crate::stick::Stick;
use crate::stop::{Code, Result, Stop};
use crate::trust::Snapshot;
use crate::{adapt, disks, hardware, kernel, modules, offline, zfs};

/// The machine of a snapshot that can be restored onto bare metal.
fn host_of(snapshot: &Snapshot) -> Result<&Host> {
    match &snapshot.host {
        Some(host) if snapshot.scope == Scope::Host => Ok(host),
        _ => Err(Stop::new(
            Code::Guard,
            format!("snapshot {} is of a tree of files and has no disk layout", snapshot.serial),
            "Take it out with `lifeboat extract`, or choose a snapshot of the whole host.",
        )),
    }
}

/// Plans without asking.
///
/// # Errors
/// 30, with what does not fit.
pub fn plan_for(stick: &Stick, snapshot: &Snapshot, choices: &[Choice]) -> Result<Plan> {
    let host = host_of(snapshot)?;
    check_tools(&host.layout)?;
    plan_now(host, stick, choices).map_err(stop).and_then(check_drivers)
}

/// Plans, and asks for a disk where it cannot be told which one is meant. None: nobody answered.
///
/// # Errors
/// As [`plan_for`].
pub fn plan_asking(screen: &Screen, stick: &Stick, snapshot: &Snapshot) -> Result<Option<Plan>> {
    let host = host_of(snapshot)?;
    check_tools(&host.layout)?;
    let mut choices: Vec<Choice> = Vec::new();
    loop {
        let error = match plan_now(host, stick, &choices) {
            Ok(plan) => return check_drivers(plan).map(Some),
            Err(error) => error,
        };
        let open = matches!(&error, PlanError::Match(error) if error.asks());
        if !open || choices.len() > 16 {
            return Err(stop(error));
        }
        if let PlanError::Match(MatchError::NoSuchTarget { .. } | MatchError::SharedSerial { .. }) = &error {
            choices.pop();
        }
        screen.say(&error.to_string());
        let missing = match &error {
            PlanError::Match(MatchError::NoCandidate { node, .. }) => Some(node.0.clone()),
            _ => None,
        };
        if missing.is_some() {
            screen.say("`without` restores the rest, and leaves out what was on that disk.");
        }
        match screen.ask("target", "Serial number of the disk to write to (Enter looks again): ", false) {
            Answer::Line(line) if line.is_empty() => choices.clear(),
            Answer::Line(line) if line == "without" && missing.is_some() => {
                choices.push(Choice { target: NO_DISK.to_owned(), recorded: missing });
            }
            Answer::Line(line) => choices.push(Choice { target: line, recorded: None }),
            Answer::Silence => return Ok(None),
        }
    }
}

fn plan_now(host: &Host, stick: &Stick, choices: &[Choice]) -> Result<Plan, PlanError> {
    plan(&host.layout, &|node| host.coverage.restores(node), &disks::present(&stick.disk), choices)
}

fn stop(error: PlanError) -> Stop {
    let next = match &error {
        PlanError::RootLeftOut(_) | PlanError::BelowLeftOut { .. } => "Attach a disk for it and start again.",
        PlanError::NoRoot => "Choose another snapshot, or take files out with `lifeboat extract`.",
        PlanError::Match(_) => "Attach the disk that is meant and start again.",
        PlanError::Solve { .. } | PlanError::Volumes { .. } => "Attach a larger disk and start again.",
    };
    Stop::new(Code::Guard, error.to_string(), next)
}

/// A tool that is missing is found now, and not when the disk is half made.
fn check_tools(layout: &Layout) -> Result<()> {
    let missing: Vec<&str> = required_tools(layout).into_iter().filter(|tool| exec::find(tool).is_none()).collect();
    // Checking and resizing come with later versions; making is what this one needs.
    let later = ["e2fsck", "fsck.fat", "resize2fs"];
    let missing: Vec<&str> = missing.into_iter().filter(|tool| !later.contains(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("this stick lacks the tools {} that the recorded layout needs", missing.join(", "));
    Err(Stop::new(Code::Guard, message, "Make the stick again with `lifeboat create`."))
}

/// What will start the restored system, on a machine that runs UEFI or BIOS, from disks of which one has a place for GRUB by BIOS, or an ESP.
fn boot_loaders(uefi: bool, bios_disk: bool, esp: bool) -> &'static str {
    match (uefi, bios_disk, esp) {
        (true, true, true) => {
            "Boot loaders: for UEFI with a boot entry and on the removable path; for BIOS where the host had it."
        }
        (true, false, true) => "Boot loaders: for UEFI with a boot entry and on the removable path.",
        (false, true, true) => {
            "Boot loaders: for BIOS where the host had it; for UEFI on the removable path, without an entry (this machine runs BIOS)."
        }
        (false, true, false) => "Boot loaders: for BIOS where the host had it.",
        (true, true, false) => {
            "Boot loaders: for BIOS only, for the host had no EFI system partition, and THIS MACHINE RUNS UEFI: it will not start from what comes \
             back. Switch its firmware to BIOS (legacy, CSM) and start the stick again, or restore onto a machine that has it."
        }
        (false, false, true) => {
            "Boot loaders: for UEFI only, and THIS MACHINE RUNS BIOS: it will not start from what comes back. Switch its firmware to UEFI and \
             start the stick again."
        }
        (_, false, false) => {
            "Boot loaders: none. There is no EFI system partition, and no place for GRUB by BIOS: nothing starts this machine from these disks."
        }
    }
}

/// ZFS is not part of the kernel: a stick may have its tools and not its module.
fn check_drivers(plan: Plan) -> Result<Plan> {
    if zfs::pools(&plan).next().is_none() {
        return Ok(plan);
    }
    let Err(why) = modules::demand("zfs") else { return Ok(plan) };
    let advice = match kernel::secure_boot() {
        Some(true) => {
            "Secure Boot is enforced, and refuses modules that this machine does not trust: switch it off and start the stick again."
        }
        _ => "Make the stick again with `lifeboat create`, on a host whose kernel has it.",
    };
    Err(Stop::new(Code::Guard, format!("the kernel module for ZFS, which the recorded pools need: {why}"), advice))
}

/// Prints the plan in full, and sends it. `membership` is the way in which a member of a cluster comes back.
pub fn show(screen: &Screen, snapshot: &Snapshot, plan: &Plan, membership: Option<Membership>) {
    screen.stage(Stage::Plan);
    let totals = &snapshot.contents.totals;
    screen.say(&format!(
        "Restore snapshot {} of {}, taken {} ({} entries, {}).",
        snapshot.serial,
        snapshot.host_name,
        snapshot.finished.strftime("%Y-%m-%d %H:%M UTC"),
        totals.entries,
        layout::Bytes(totals.bytes)
    ));
    if snapshot.stale_after.is_some_and(|date| date < Timestamp::now()) {
        screen.say("This snapshot is stale: there should be a newer one. Look for a newer stick first.");
    }
    if !snapshot.problems.is_empty() {
        screen.say(&format!("{} objects were not captured as they should have been:", snapshot.problems.len()));
        for problem in snapshot.problems.iter().take(10) {
            screen.say(&format!("  {}: {}", problem.object, problem.what));
        }
    }
    screen.say(&plan.to_string());
    let cards = snapshot.host.as_ref().map(|host| Cards::of(&host.network)).unwrap_or_default();
    for line in cards.lines() {
        screen.say(&format!("Note: {line}."));
    }
    guests(screen, snapshot);
    let host = snapshot.host.as_ref();
    let offline = host.map(|host| offline::plan::plan(host, plan, membership)).unwrap_or_default();
    let offline: Vec<String> = offline.iter().map(ToString::to_string).collect();
    for line in &offline {
        screen.say(&format!("  {line}"));
    }
    let strangers = hardware::without_driver(Path::new("/sys"));
    for line in &strangers {
        screen.say(&format!("Note: {line}."));
    }
    let (bios, esp) = (plan.disks.iter().any(DiskPlan::starts_by_bios), adapt::has_esp(plan));
    screen.say(boot_loaders(kernel::uefi(), bios, esp));
    screen.event(
        "plan",
        json!({ "plan": plan, "snapshot": snapshot.serial, "without_driver": strangers, "cards": cards, "offline": offline }),
    );
}

/// What becomes of the guests.
fn guests(screen: &Screen, snapshot: &Snapshot) {
    for platform in snapshot.host.iter().flat_map(|host| &host.guests) {
        let archived = |held| {
            let guests = platform
                .guests
                .iter()
                .filter(move |guest| guest.archive.as_ref().is_some_and(|archive| archive.held == held));
            guests.count()
        };
        let (captured, referenced) = (archived(Held::Captured), archived(Held::Referenced));
        let (kind, count) = (platform.kind, platform.guests.len());
        screen.say(&match kind {
            PlatformKind::Proxmox => format!(
                "{kind}: {count} guests; {captured} come back from archives in this snapshot, and {referenced} from archives that must still \
                 lie where they lay; at the first start, but for those that are named here."
            ),
            _ => format!("{kind}: {count} guests, which come back with the host's files; what does not is named here."),
        });
        for guest in platform.guests.iter().filter(|guest| guest.notes.iter().any(|note| note.gap)) {
            let gaps: Vec<&str> = guest.notes.iter().filter(|note| note.gap).map(|note| note.text.as_str()).collect();
            screen.say(&format!("  guest {} {}: {}", guest.id, guest.name, gaps.join("; ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::boot_loaders;

    #[test]
    fn a_machine_that_would_not_start_is_told_before_anything_is_written() {
        let lacks = |uefi, bios_disk, esp| {
            let words = boot_loaders(uefi, bios_disk, esp);
            words.contains("THIS MACHINE RUNS") || words.starts_with("Boot loaders: none")
        };
        for (uefi, bios_disk, esp, expected) in [
            (true, true, true, false),
            (true, false, true, false),
            (true, true, false, true),
            (true, false, false, true),
            (false, true, true, false),
            (false, true, false, false),
            (false, false, true, true),
            (false, false, false, true),
        ] {
            assert_eq!(lacks(uefi, bios_disk, esp), expected, "UEFI {uefi}, BIOS disk {bios_disk}, ESP {esp}");
        }
    }
}
