//! Media that fail while the rescue works: it says what failed and in which state the disk is, and ends.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use qemu_tests::bare::Bare;
use qemu_tests::boot_marks::boot_marks;
use qemu_tests::capture::STICK_SERIAL;
use qemu_tests::rescue::{Outcome, Patient, Verdict, follow, nobody};
use qemu_tests::scenario::{SECOND, Scenario, say};
use qemu_tests::tamper;
use serde_json::Value;
use vm::{Bus, Disk, Trouble};

/// Serial number for which an order lies on the stick.
const ORDERED: &str = "LBREFUSED";
/// The stick's place among the disks of [`disks`].
const STICK: usize = 1;
/// Between two events; a rescue that is silent for longer hangs.
const LIMIT: Duration = Duration::from_secs(180);

fn disks(scenario: &Scenario, patient: &Patient, target: Option<Trouble>, stick: Option<Trouble>) -> [Disk; 3] {
    let with = |disk: Disk, trouble: Option<Trouble>| trouble.map_or(disk.clone(), |trouble| disk.with(trouble));
    [
        with(Disk::new(&patient.disk, Bus::Virtio, &patient.serial), target),
        with(Disk::new(&scenario.captured.stick, Bus::Usb, STICK_SERIAL).snapshot(), stick),
        Disk::new(&scenario.captured.key, Bus::Usb, "LBKEY").snapshot(),
    ]
}

/// The event of a failure: its code, its words, the state of the disk.
fn failure(outcome: &Outcome) -> anyhow::Result<(u64, String, String)> {
    let Verdict::Failed(event) = &outcome.verdict else { bail!("the rescue ended otherwise: {:?}", outcome.verdict) };
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    say(&format!("    {} ({})", text("message"), text("disk_state")));
    Ok((event["code"].as_u64().unwrap_or(0), text("message"), text("disk_state")))
}

#[test]
fn a_bad_sector_of_the_target_ends_the_restore_and_the_disk_does_not_boot() -> anyhow::Result<()> {
    let scenario = Scenario::begin("fault-target")?;
    let patient = scenario.occupied(ORDERED)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    // In the middle of the disk: in the root filesystem.
    let bad = Trouble::BadToWrite((1 << 30) / 512);
    let mut running = bare.machine("fault-target", 5, &disks(&scenario, &patient, Some(bad), None))?.start()?;
    let (code, message, state) = failure(&follow(&mut running, nobody, |_| ())?)?;
    ensure!(code == 41 && state == "unbootable", "{code}, {state}: {message}");
    ensure!(message.contains(ORDERED), "the disk that failed is named: {message}");
    let marks = boot_marks(&patient.disk)?;
    ensure!(marks.is_empty(), "the disk may boot: {marks:?}");
    scenario.held();
    Ok(())
}

#[test]
fn a_stick_that_is_pulled_out_ends_the_restore_and_the_disk_does_not_boot() -> anyhow::Result<()> {
    let scenario = Scenario::begin("fault-unplugged")?;
    let patient = scenario.occupied(ORDERED)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    let mut running = bare.machine("fault-unplugged", 5, &disks(&scenario, &patient, None, None))?.start()?;
    let is_restoring = |event: &Value| event["event"] == "stage" && event["name"] == "restore";
    while !is_restoring(&running.event(LIMIT)?) {}
    running.unplug(STICK)?;
    let (code, message, state) = failure(&follow(&mut running, nobody, |_| ())?)?;
    ensure!([21, 41].contains(&code) && state == "unbootable", "{code}, {state}: {message}");
    ensure!(boot_marks(&patient.disk)?.is_empty(), "the disk may boot");
    scenario.held();
    Ok(())
}

#[test]
fn a_stick_that_cannot_be_read_is_noticed_before_the_disk_is_touched() -> anyhow::Result<()> {
    let scenario = Scenario::begin("fault-stick")?;
    let patient = scenario.occupied(ORDERED)?;
    let before = vm::sha256(&patient.disk)?;
    let stick = &scenario.captured.stick;
    let segments = tamper::list_data(stick, "/vault/segments")?;
    let segment = segments.last().context("the stick holds no segment")?;
    let bad = tamper::sector_of(stick, &tamper::read_data(stick, segment)?)?;
    let bare = Bare::of(stick, &scenario.folder, scenario.accel)?;
    let stick = Some(Trouble::BadToRead(bad));
    let mut running = bare.machine("fault-stick", 5, &disks(&scenario, &patient, None, stick))?.start()?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    let (Verdict::Failed(event), count) = (&outcome.verdict, outcome.count("step")) else {
        let (code, message) = outcome.refusal()?;
        say(&format!("    refused with {code}: {message}"));
        return scenario.untouched(&patient, &before, &outcome);
    };
    ensure!(event["disk_state"] == "untouched" && count == 0, "{event}");
    ensure!(vm::sha256(&patient.disk)? == before, "the disk has changed");
    scenario.held();
    Ok(())
}

#[test]
fn a_stick_without_room_for_what_is_saved_ends_before_the_disk_is_touched() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("fault-full")?;
    scenario.own_stick()?;
    tamper::fill(&scenario.captured.stick, 8 << 20)?;
    let patient = scenario.occupied(ORDERED)?;
    let before = vm::sha256(&patient.disk)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    let mut running = bare.machine("fault-full", 5, &disks(&scenario, &patient, None, None))?.start()?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    let (code, message, state) = failure(&outcome)?;
    ensure!(code == 40 && state == "untouched" && outcome.count("step") == 0, "{code}, {state}: {message}");
    ensure!(vm::sha256(&patient.disk)? == before, "the disk has changed");
    scenario.held();
    Ok(())
}

#[test]
fn a_stick_that_gives_one_megabyte_a_second_takes_its_time_and_restores() -> anyhow::Result<()> {
    let scenario = Scenario::begin("fault-slow")?;
    let patient = scenario.occupied(ORDERED)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    let slow = Some(Trouble::Slow(1 << 20));
    let mut running = bare.machine("fault-slow", 5, &disks(&scenario, &patient, None, slow))?.start()?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    scenario.times(&outcome);
    scenario.prove(&patient, SECOND)?;
    scenario.held();
    Ok(())
}
