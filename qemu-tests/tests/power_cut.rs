//! The power fails 25 times during one restore. Each time the stick is started again and goes on; what is half restored never boots; in the
//! end nothing is missing, and what was on the disk before is still saved.

use std::time::Duration;

use anyhow::{Context, ensure};
use qemu_tests::bare::Bare;
use qemu_tests::boot_marks::boot_marks;
use qemu_tests::capture::STICK_SERIAL;
use qemu_tests::rescue::{Patient, follow, nobody};
use qemu_tests::scenario::{SECOND, Scenario, say};
use qemu_tests::{place, tamper};
use serde_json::Value;
use vm::{Bus, Disk, Machine};

const TARGET: &str = "LBCUT";
/// Between two events of a rescue that works.
const LIMIT: Duration = Duration::from_secs(300);

/// The power fails this long after an event: its name, what its `name` begins with, and milliseconds.
struct Cut(&'static str, &'static str, u64);

/// The plan's first steps, the trees at growing distances, what makes the disk boot, and the comparison.
const CUTS: [Cut; 25] = [
    Cut("consent", "", 0),
    Cut("begin", "", 0),
    Cut("step", "save", 0),
    Cut("step", "save", 150),
    Cut("step", "clear", 0),
    Cut("step", "clear", 150),
    Cut("step", "write the partition table", 0),
    Cut("step", "make swap", 0),
    Cut("step", "make ext4", 0),
    Cut("step", "make ext4", 1500),
    Cut("step", "mount", 0),
    Cut("stage", "restore", 0),
    Cut("stage", "restore", 500),
    Cut("stage", "restore", 1500),
    Cut("stage", "restore", 3000),
    Cut("stage", "restore", 5000),
    Cut("stage", "restore", 8000),
    Cut("stage", "restore", 12_000),
    Cut("stage", "restore", 16_000),
    Cut("stage", "boot files", 0),
    Cut("step", "make FAT", 700),
    Cut("stage", "adapt", 0),
    Cut("stage", "adapt", 4000),
    Cut("stage", "prove", 0),
    Cut("stage", "prove", 3000),
];

/// How far a start of the rescue came before its cut.
struct Start {
    /// Where it went on.
    from: Option<String>,
    /// Every file is in place.
    files_done: bool,
}

#[test]
fn a_restore_survives_25_power_cuts_and_boots_only_when_it_is_done() -> anyhow::Result<()> {
    let mut scenario = Scenario::begin("power-cut")?;
    scenario.own_stick()?;
    let patient = scenario.occupied(TARGET)?;
    let bare = Bare::of(&scenario.captured.stick, &scenario.folder, scenario.accel)?;
    let mut came_from = Vec::new();
    for (number, cut) in CUTS.iter().enumerate() {
        let start = until_cut(&scenario, &bare, &patient, cut).with_context(|| format!("cut {number}"))?;
        let marks = boot_marks(&patient.disk)?;
        let from = start.from.as_deref().unwrap_or("-");
        say(&format!("    cut {}: {} {} +{} ms, went on from {from}; {marks:?}", number + 1, cut.0, cut.1, cut.2));
        let touched = came_from.iter().any(|from| from != "beginning") || number > 5;
        ensure!(!touched || start.files_done || marks.is_empty(), "cut {number}: the disk may boot: {marks:?}");
        came_from.extend(start.from);
        if number == 16 {
            does_not_boot(&patient)?;
        }
    }
    for word in ["beginning", "first-write", "trees"] {
        ensure!(came_from.iter().any(|from| from == word), "no start went on from {word}: {came_from:?}");
    }
    let mut running = bare.machine("power-cut-last", 15, &disks(&scenario, &patient))?.start()?;
    let outcome = follow(&mut running, nobody, |_| ())?;
    scenario.times(&outcome);
    let report = outcome.report()?;
    ensure!(report["starts"].as_u64() > Some(20), "the report counts {} starts", report["starts"]);
    saved(&scenario, report)?;
    scenario.prove(&patient, SECOND)?;
    scenario.held();
    Ok(())
}

fn disks(scenario: &Scenario, patient: &Patient) -> [Disk; 3] {
    [
        Disk::new(&patient.disk, Bus::Sata, &patient.serial),
        Disk::new(&scenario.captured.stick, Bus::Usb, STICK_SERIAL),
        Disk::new(&scenario.captured.key, Bus::Usb, "LBKEY").snapshot(),
    ]
}

/// Starts the rescue and kills QEMU at the cut.
fn until_cut(scenario: &Scenario, bare: &Bare, patient: &Patient, cut: &Cut) -> anyhow::Result<Start> {
    let mut running = bare.machine("power-cut", 15, &disks(scenario, patient))?.start()?;
    let mut start = Start { from: None, files_done: false };
    loop {
        let event = running.event(LIMIT)?;
        let name = event["event"].as_str().unwrap_or_default();
        let detail = event["name"].as_str().unwrap_or_default();
        match name {
            "begin" => start.from = event["from"].as_str().map(str::to_owned),
            "stage" if detail == "boot files" => start.files_done = true,
            "question" | "refused" | "failed" => anyhow::bail!("the rescue stopped by itself: {event}"),
            _ => {}
        }
        // A step that is done already does not come again: then the next stage is as good a moment.
        let later = name == "stage" && cut.0 == "step" && !cut.1.starts_with("make FAT");
        if (name == cut.0 && detail.starts_with(cut.1)) || later || name == "restored" {
            ensure!(name != "restored", "the restore ended before its cut at {} {}", cut.0, cut.1);
            std::thread::sleep(Duration::from_millis(cut.2));
            drop(running);
            return Ok(start);
        }
    }
}

/// The half-restored disk alone in a machine: no loader and no kernel says a word, and nothing starts.
fn does_not_boot(patient: &Patient) -> anyhow::Result<()> {
    let disk = Disk::new(&patient.disk, Bus::Sata, &patient.serial).snapshot();
    let mut running = Machine::new("power-cut-alone", place::logs()?, patient.accel).disk(disk).start()?;
    // The firmware jumps into boot code that is all zeroes.
    running.expect("Booting from Hard Disk", Duration::from_secs(60))?;
    let started = running.expect("GRUB", Duration::from_secs(20)).is_ok();
    ensure!(!started, "the half-restored disk starts");
    Ok(running.quit()?)
}

/// What was on the disk before the first start is what is saved.
fn saved(scenario: &Scenario, report: &Value) -> anyhow::Result<()> {
    let folder = report["saved"][0].as_str().context("the report names no saved headers")?;
    let first = tamper::read_data(&scenario.captured.stick, &format!("/{folder}/0.bin"))?;
    ensure!(first.len() >= 1 << 20 && first.starts_with(b"somebody's only copy"), "the first MiB was not kept");
    let script = tamper::read_data(&scenario.captured.stick, &format!("/{folder}/put-back.sh"))?;
    ensure!(script.starts_with(b"#!/bin/sh"), "there is no script to put it back");
    Ok(())
}
